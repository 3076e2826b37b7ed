"""A network as one C99 header: a struct for its state, a function for each layer, and the weights."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping

import numpy as np

from rnnspec.errors import ArgumentError
from rnnspec.export.c_cell import CHalf
from rnnspec.export.c_plan import Plan
from rnnspec.export.c_running import Running
from rnnspec.export.c_template import BOUND, HEADER, LOAD
from rnnspec.export.c_weights import Member, around, of_half, to_bytes
from rnnspec.export.c_words import HELPERS, Words
from rnnspec.export.equations import equations
from rnnspec.export.exported import Exported
from rnnspec.export.fixed import fixed
from rnnspec.export.origin import described
from rnnspec.export.rounding import error_of_rounding
from rnnspec.export.settings import Asked, asked
from rnnspec.network import Network
from rnnspec.showing import shown
from rnnspec.tree import Tree

__all__ = ["to_c"]

MAGIC = b"rnnspec1"
NUMBERS = 8
"""The numbers on a line."""


def to_c(
    net: Network, params: Tree, *, name: str = "net", precision: str = "f32", beside: bool = False, int8: bool = False,
    most_steps: int = 256,
) -> Exported:
    """The network as a C99 header that needs libm alone, with `NAME_run` and, if it is forward, `NAME_step`.

    `beside` puts the weights into a file `.bin`, which `NAME_load` checks and takes. With `int8`, matrices have 8 bits,
    each row a scale, and the largest error is measured. `most_steps` is the longest sequence of a network that also
    reads backwards, which a macro can change. Raises an RnnSpecError where an argument is not valid.
    """
    given = asked("c", net, params, precision, name)
    if type(most_steps) is not int or most_steps < 1:
        raise ArgumentError(given.call, "most_steps must be a whole number of at least 1", shown(most_steps),
                            "give the longest sequence")  # fmt: skip
    source = _Source(given, int8, most_steps)
    files = {".h": source.text(beside).encode()}
    if beside:
        files[".bin"] = source.header() + to_bytes(source.members)
    error = error_of_rounding(given.net, given.params) if int8 else None
    return Exported(files, source.notes(), error)


class _Source:
    """What a header is made of."""

    def __init__(self, given: Asked, int8: bool, most_steps: int) -> None:
        self.given, self.net, self.int8, self.most_steps = given, given.net, int8, most_steps
        self.words = Words(given.name, given.precision)
        self.running = Running(given.net, self.words, int8)
        self.functions, self.helpers, self.work = list[str](), set[str](), 0
        found = list[Member]()
        inputs = self.net.input_features
        for kind, i, layer in self.running.stacks:
            for half in layer.halves:
                place, own = self.running.place(kind, i, half), given.params[kind][i][half]
                written, vectors = fixed(equations(layer), own["p"])
                plan, own = Plan(written), {**own, "p": vectors}
                writer = CHalf(place, plan, self.words, inputs, int8)
                says = [f"{kind}.{i}.{half}", *described(layer.evaluated)]
                self.functions.append(writer.function(says))
                self.helpers |= writer.helpers
                self.work = max(self.work, writer.memory)
                found += of_half(place, plan, self.words, own, int8)
            self.helpers |= {"add"} if layer.residual else set()
            inputs = layer.width
        self.helpers |= self.running.helpers
        found += around(given.params, self.words, int8)
        found = found or [Member("none", np.zeros(1, given.dtype))]  # no struct of C99 is empty
        self.members = [*(m for m in found if not m.in_8), *(m for m in found if m.in_8)]

    def notes(self) -> tuple[str, ...]:
        """What there is to say of the header."""
        weights = len(to_bytes(self.members))
        said = [f"weights: {weights} bytes; state and memory of a stream: {self.running.state_text(self.work)}"]
        return (*said, *(() if self.given.is_forward else ("it has no step: a layer reads backwards, and needs whole "
                                                           "sequences",)))  # fmt: skip

    def text(self, beside: bool) -> str:
        """The header."""
        named = {"name": self.given.name, "NAME": self.given.name.upper(), "real": self.words.real}
        declared = self.running.declared(beside)
        bound = "" if self.given.is_forward else BOUND.substitute(named, most_steps=self.most_steps)
        helpers = [self.words.helper(helper) for helper in HELPERS if helper in self.helpers]
        weights = "\n".join(f"    {self._kind(m)} {m.name}[{m.values.size}];" for m in self.members)
        head = HEADER.substitute(
            named, **self.running.reads, features=self.net.features, usage="", bound=bound,
            members=_members(self.words.real, self.running.members(self.work)), declarations="\n".join(declared),
            weights=weights,
        )  # fmt: skip
        taken = self._load(named) if beside else self._inside()
        parts = [head, taken, *helpers, *(f"\n{function}" for function in self.functions), self.running.reset(),
                 self.running.functions(), "\n#endif\n"]  # fmt: skip
        return "".join(parts)

    def _kind(self, member: Member) -> str:
        return "signed char" if member.in_8 else self.words.real

    def header(self) -> bytes:
        """What a file of weights begins with: the signature of the network, and how numbers are written."""
        one = struct.pack({"f32": "<f4x", "f64": "<d"}[self.given.precision], 1.0)
        return self._signature() + one

    def _signature(self) -> bytes:
        """Sixteen bytes that tell the network, its precision and the layout of its weights from others."""
        layout = repr([(m.name, m.in_8, m.values.size) for m in self.members])
        digest = hashlib.sha256("".join([self.words.real, layout, *self.functions]).encode()).digest()
        return MAGIC + digest[:8]

    def _load(self, named: Mapping[str, str]) -> str:
        signature = ", ".join(map(str, self._signature()))
        return LOAD.substitute(named, signature=signature, one=self.words.number(1.0), size=len(to_bytes(self.members)))

    def _inside(self) -> str:
        """The weights as numbers in the header."""
        name = self.given.name
        rows = ",\n".join(self._numbers(member) for member in self.members)
        return f"static const {name}_weights_type {name}_weights = {{\n{rows}\n}};\n"

    def _numbers(self, member: Member) -> str:
        flat = member.values.ravel()
        write = str if member.in_8 else self.words.number
        texts = [write(value) for value in flat.tolist()]
        lines = (", ".join(texts[low : low + NUMBERS]) for low in range(0, len(texts), NUMBERS))
        return f"    {{ /* {member.name} */\n        " + ",\n        ".join(lines) + "\n    }"


def _members(real: str, members: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"    {real} {name}[{length}];" for name, length in members)
