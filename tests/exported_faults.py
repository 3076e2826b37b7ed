"""Faults of exported programs, as substitutions in what was written, for the suite to detect."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from conformance.cases import Case
from conformance.exported import ExportedBackend, Kind
from conformance.exported.c_program import CProgram, loaded
from conformance.exported.numpy_program import NumpyProgram
from rnnspec import Dense, Embedding, Last, Layer, LayerNorm, Network, Tied, cells
from rnnspec.export import to_c, to_numpy

CASES = {
    "lstm": Case(Network(3, [Layer(cells.lstm, 4)]), 5, 3, lengths=(5, 0, 3)),
    "from zeros": Case(Network(3, [Layer(cells.lstm, 4)]), 5, 3, lengths=(5, 0, 3), fresh=True),
    "stack": Case(Network(3, [Layer(cells.gru, 4), Layer(cells.lstm, 5)], output=Dense(2)), 5, 3),
    "both ways": Case(Network(3, [Layer(cells.gru, 4, "bidirectional")], Last()), 5, 3, lengths=(5, 0, 3)),
    "constants": Case(Network(3, [Layer(cells.cornn, 4)]), 5, 3),
    "heads": Case(Network(4, [Layer(cells.deltanet, {"S.rows": 3, "S.columns": 2}, heads=2)]), 5, 3),
    "whole": Case(Network(Embedding(7, 4), [Layer(cells.gru, 4, residual=True, learned_state=True), LayerNorm()],
                          output=Tied()), 5, 3, lengths=(5, 0, 3), unset=True),
    "wide": Case(Network(3, [Layer(cells.elman, 4)], output=Dense(2)), 5, 3),
}


@dataclass(frozen=True)
class Fault:
    """What is wrong in a program, the network that shows it, and the text that makes it so."""

    says: str
    target: str
    case: str
    old: str
    new: str
    precision: str = "f64"

    @property
    def backend(self):
        """The faulty program as a backend; raises ValueError where the old text is not in it."""
        return ExportedBackend(f"exported:{self.target}", Kind(partial(MAKE[self.target], self)), self.precision)

    def changed(self, text):
        if self.old not in text:
            raise ValueError(f"{self.says}: {self.old!r} is not in\n{text}")
        return text.replace(self.old, self.new)


def _python(fault, net, params, precision):
    return NumpyProgram(fault.changed(to_numpy(net, params, precision=precision).main.decode()).encode())


def _c(fault, net, params, precision):
    files = to_c(net, params, precision=precision, beside=True).files
    return CProgram(net, precision, partial(loaded, {**files, ".h": fault.changed(files[".h"].decode()).encode()}))


MAKE = {"numpy": _python, "c": _c}

FAULTS = (
    Fault("two gates change places", "c", "lstm", "*const x_f = from_x + 4;", "*const x_f = from_x + 8;"),
    Fault("a bias is missing", "c", "lstm", "net_weights.layer0_b", "NULL"),
    Fault("a reset changes nothing", "c", "from zeros", "memset(state, 0, sizeof *state);", "(void)state;"),
    Fault("a layer works where its inputs are", "c", "stack", "*const R_i_f_g_o = work + 20;",
          "*const R_i_f_g_o = state->outputs0;"),
    Fault("the last unit is left out", "c", "lstm", "at < 4; at++", "at < 3; at++"),
    Fault("a product leaves out the last input", "c", "lstm", "j < in; j++", "j < in - 1; j++"),
    Fault("the reverse half runs forward", "c", "both ways", "for (t = steps; t-- > 0;)",
          "for (t = 0; t < steps; t++)"),
    Fault("the reverse half ends where the row does", "c", "both ways", "NET_MAX_STEPS * 8 + 4,",
          "NET_MAX_STEPS * 8 + (steps - 1) * 8 + 4,"),
    Fault("a constant has three digits", "c", "lstm", "0.13331491f", "0.133f", "f32"),
    Fault("weights of another size are taken", "c", "lstm", "size != 24 + 1024", "size == 1"),
    Fault("weights of another network are taken", "c", "lstm", "memcmp(bytes, signature, 16)",
          "memcmp(bytes, signature, 0)"),
    Fault("the new state is written before the old one is read", "c", "lstm", "const double new_c = f * c[at] + i * g;",
          "c[at] = i * g; const double new_c = f * c[at] + i * g;"),
    Fault("all heads have the state of the first", "c", "heads", "state->layer0_S + head * 6", "state->layer0_S"),
    Fault("the output layer reads the layer before", "c", "stack", "5, 2, state->outputs1", "5, 2, state->outputs0"),
    Fault("a reset forgets what is learned", "c", "whole", "memcpy(state->layer0_h,", "memcpy(state->work,"),
    Fault("a residual layer adds less than its inputs", "c", "whole", "net_add(4, ", "net_add(3, "),
    Fault("a class reads the row of the one before", "c", "whole", "class_number * width",
          "(class_number ? class_number - 1 : 0) * width"),
    Fault("a tied output has no bias", "c", "whole", " + bias[i];", " + 0 * bias[i];"),
    Fault("a stream forgets what is learned", "numpy", "whole", "DTYPE) + learned[name]", "DTYPE) + 0 * learned[name]"),
    Fault("another layer is residual", "numpy", "whole", "if i in RESIDUAL", "if i not in RESIDUAL"),
    Fault("two gates change places", "numpy", "lstm", "b.f + h @ U.f.T", "b.i + h @ U.i.T"),
    Fault("a bias is missing", "numpy", "lstm", "x @ W.o.T + b.o", "x @ W.o.T"),
    Fault("a row goes on for a step", "numpy", "lstm", "real = t < lengths", "real = t <= lengths"),
    Fault("the reverse half runs forward", "numpy", "both ways",
          'half.run(turned(values, lengths) if name == "reverse" else values,', "half.run(values,"),
    Fault("the reverse half reads padding first", "numpy", "both ways", "lengths - 1 - t", "len(a) - 1 - t"),
    Fault("a stream begins with ones", "numpy", "from zeros", "name: np.zeros((batch, *shape), DTYPE)",
          "name: np.ones((batch, *shape), DTYPE)"),
    Fault("a map is turned around", "numpy", "wide", "h @ U.h.T", "h @ U.h"),
    Fault("a constant has three digits", "numpy", "constants", "0.042", "0.0421"),
    Fault("heads are mixed up", "numpy", "heads", "a.reshape(*a.shape[:-1], heads, a.shape[-1] // heads)",
          "np.swapaxes(a.reshape(*a.shape[:-1], a.shape[-1] // heads, heads), -1, -2)"),
)  # fmt: skip
