"""The functions of a header that run all layers: over a step, or over a whole sequence in both directions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from string import Template

from rnnspec.embedding import Embedding
from rnnspec.export.c_template import RUN, SAYS
from rnnspec.export.c_text import indented, looped, plus
from rnnspec.export.c_words import Words
from rnnspec.layer import Layer
from rnnspec.network import Network
from rnnspec.output import Last, Tied

__all__ = ["Running"]


@dataclass(frozen=True)
class Running:
    """How the layers of a network follow one another in C."""

    net: Network
    words: Words
    int8: bool

    @property
    def is_forward(self) -> bool:
        """Whether the network runs step by step."""
        return all(layer.direction == "forward" for layer in self.net.layers)

    @property
    def has_classes(self) -> bool:
        """Whether a step reads a class number."""
        return isinstance(self.net.inputs, Embedding)

    @property
    def given(self) -> str:
        """The type of what a step reads."""
        return "int" if self.has_classes else self.words.real

    @property
    def reads(self) -> dict[str, str]:
        """What a step reads, and how many."""
        if isinstance(self.net.inputs, Embedding):
            return {"inputs": "1", "reads": f"a class number below {self.net.inputs.classes}"}
        return {"inputs": f"{self.net.inputs}", "reads": f"{self.net.inputs} numbers"}

    @property
    def helpers(self) -> set[str]:
        """The helpers that what lies around the layers calls."""
        suffix, found = "8" if self.int8 else "", set[str]()
        if self.has_classes:
            found.add(f"look{suffix}")
        if self.net.output:
            found.add(f"{'rows' if isinstance(self.net.output, Tied) else 'affine'}{suffix}")
        return found

    @property
    def is_last(self) -> bool:
        """Whether the outputs are those of the last step."""
        return isinstance(self.net.read, Last)

    def place(self, kind: str, index: int, half: str) -> str:
        """The name of a half in C; `kind` is that of the stack, layers or head."""
        return f"reverse{index}" if half == "reverse" else f"{kind.removesuffix('s')}{index}"

    @property
    def stacks(self) -> list[tuple[str, int, Layer]]:
        """All layers that do more than pass on, with their places: those of the network, then those of its head."""
        named = {"layers": self.net.layers, "head": self.net.head}
        return [(kind, i, layer) for kind, layers in named.items() for i, layer in enumerate(layers)
                if not layer.passes]  # fmt: skip

    @property
    def _head(self) -> list[tuple[str, int, Layer]]:
        return [one for one in self.stacks if one[0] == "head"]

    # The struct of a stream.

    def members(self, work: int) -> list[tuple[str, str]]:
        """The members of the struct, with their lengths: states in the order of the network's, then memory."""
        found = list[tuple[str, str]]()
        for i, layer in enumerate(self.net.layers):
            for half in layer.halves:
                found += [(self.words.member(self.place("layers", i, half), state), f"{math.prod(shape)}")
                          for state, shape in layer.state_shapes.items()]  # fmt: skip
        if not self.is_forward:
            found.append(("sequences", f"2 * {self.words.prefix.upper()}_MAX_STEPS * {self._widest}"))
        if self.has_classes and self.is_forward:
            found.append(("embedded", f"{self.net.input_features}"))
        found += [(f"outputs{i}", f"{width}") for i, width in enumerate(self._between)]
        found += [("work", f"{work}")] if work else []
        return found or [("none", "1")]

    @property
    def _between(self) -> list[int]:
        """The widths of what one layer hands to the next in a step."""
        if self.is_forward:
            widths = [layer.width for _, _, layer in self.stacks]
        else:
            widths = [self.net.read_layer.width, *(layer.width for _, _, layer in self._head)] if self.is_last else []
        return widths if self.net.output else widths[:-1] if self.is_forward else widths

    @property
    def _widest(self) -> int:
        return max(self.net.input_features, *(layer.width for _, _, layer in self.stacks))

    def state_text(self, work: int) -> str:
        """The memory of a stream in words."""
        size = {"float": 4, "double": 8}[self.words.real]
        numbers = sum(int(length) for _, length in self.members(work) if length.isdecimal())
        text = f"{size * numbers} bytes"
        if self.is_forward:
            return text
        return f"{text}, and {2 * size * self._widest} for each step of {self.words.prefix.upper()}_MAX_STEPS"

    # The functions.

    def declared(self, beside: bool) -> list[str]:
        """The declarations, each with what the function does."""
        name, real, NAME = self.words.prefix, self.words.real, self.words.prefix.upper()
        arguments = {"reset": f"void {name}_reset({name}_state *state);",
                     "step": f"{self._kind} {name}_step(const {self.given} *x, {name}_state *state, {real} *y);",
                     "run": f"int {name}_run(const {self.given} *x, size_t steps, {name}_state *state, {real} *y);",
                     "load": f"int {name}_load(const void *file, size_t size);"}  # fmt: skip
        wanted = ["reset", *(["step"] if self.is_forward else []), "run", *(["load"] if beside else [])]
        where = "y gets the outputs of the last" if self.is_last else f"y gets {NAME}_FEATURES for each"
        why = [] if self.is_forward else [f"steps are more than {NAME}_MAX_STEPS"]
        why += ["a number is no class"] if self.has_classes else []
        refused = f", or -1 where {' or '.join(why)}" if why else ""
        learned = self.net.learns_states
        said = {"NAME": NAME, "begin": "what is learned" if learned else "zeros",
                "where": where, "refused": refused, "file": f"{name}.bin",
                "x": "a class number" if self.has_classes else f"{NAME}_INPUTS numbers",
                "wrong": " Returns 0, or -1 and changes nothing\n * where x is no class." if self.has_classes else ""}
        return [f"/* {Template(SAYS[one]).substitute(said)} */\n{arguments[one]}\n" for one in wanted]

    def functions(self) -> str:
        """The functions that run a step, where there is one, and a sequence."""
        if not self.is_forward:
            return self._run(self._both_ways())
        name, NAME = self.words.prefix, self.words.prefix.upper()
        at = "y" if self.is_last else f"y + t * {NAME}_FEATURES"
        call = f"{name}_step(x + t * {NAME}_INPUTS, state, {at})"
        call = f"if ({call})\n            return -1;" if self.has_classes else f"{call};"
        first = self._zeros() if self.is_last else []
        return self._step() + self._run([*first, "for (t = 0; t < steps; t++)", f"    {call}"])

    def reset(self) -> str:
        """The function that begins a stream: from learned states, or from zeros."""
        name, lines = self.words.prefix, ["memset(state, 0, sizeof *state);"]
        for i, layer in enumerate(self.net.layers):
            for half in layer.halves if layer.learned_state else ():
                place = self.place("layers", i, half)
                lines += [f"memcpy(state->{self.words.member(place, state)}, {name}_weights."
                          f"{self.words.member(place, 'initial', state)}, {size} * sizeof({self.words.real}));"
                          for state, size in layer.state_sizes.items()]  # fmt: skip
        body = "\n".join(indented(lines))
        return f"\nvoid {name}_reset({name}_state *state)\n{{\n{body}\n}}\n"

    def _zeros(self) -> list[str]:
        return [f"for (t = 0; t < {self.words.prefix.upper()}_FEATURES; t++)", f"    y[t] = {self.words.number(0.0)};"]

    def _run(self, body: list[str]) -> str:
        lines = "\n".join(indented(body))
        return RUN.substitute(name=self.words.prefix, real=self.words.real, given=self.given, body=lines)

    @property
    def _kind(self) -> str:
        """The type of what a step returns."""
        return "int" if self.has_classes else "void"

    def _step(self) -> str:
        name, real = self.words.prefix, self.words.real
        own = self._upwards(self.stacks, "state->embedded" if self.has_classes else "x", 0)
        if self.has_classes:
            own = [*self._refused("*x"), self._look("*x", "state->embedded"), *own, "return 0;"]
        lines = "\n".join(indented(own))
        return f"\n{self._kind} {name}_step(const {self.given} *x, {name}_state *state, {real} *y)\n{{\n{lines}\n}}\n"

    def _refused(self, x: str) -> list[str]:
        """An end where a number is no class."""
        return [f"if ({x} < 0 || {x} >= {self._classes})", "    return -1;"]

    @property
    def _classes(self) -> int:
        return self.net.inputs.classes if isinstance(self.net.inputs, Embedding) else 0

    def _look(self, x: str, y: str) -> str:
        return f"{self.words.prefix}_look{'8' if self.int8 else ''}({x}, {self.net.input_features}, {y});"

    def _upwards(self, stacks: list[tuple[str, int, Layer]], x: str, first: int) -> list[str]:
        """One step of some layers and of the output layer, from x to y; what lies between begins at `first`."""
        lines = list[str]()
        for between, (kind, i, layer) in enumerate(stacks, first):
            is_end = (kind, i, layer) == stacks[-1] and not self.net.output
            y = "y" if is_end else f"state->outputs{between}"
            lines += self._half(kind, i, "forward", x, y, layer)
            x = y
        return lines + ([self._dense(x, "y")] if self.net.output else [])

    def _half(self, kind: str, index: int, half: str, x: str, y: str, layer: Layer) -> list[str]:
        """One step of a half; of a residual layer, its part of the inputs is added."""
        place = f"{self.words.prefix}_{self.place(kind, index, half)}"
        low = layer.half_width if half == "reverse" and len(layer.halves) > 1 else 0
        own = f"{y} + {low}" if low else y
        from_x = f"{x} + {low}" if low else x
        added = [f"{self.words.prefix}_add({layer.half_width}, {from_x}, {own});"] if layer.residual else []
        return [f"{place}({x}, state, {own});", *added]

    def _dense(self, v: str, y: str) -> str:
        """The output layer, whose matrix may be that of the embedding."""
        name, is_tied = self.words.prefix, isinstance(self.net.output, Tied)
        matrix, called = ("embedding_E", "rows") if is_tied else ("output_W", "affine")
        own = [f"{name}_weights.{matrix}", *([f"{name}_weights.{matrix}_scale"] if self.int8 else []),
               f"{name}_weights.output_b", str(self.net.width), str(self.net.features), v, y]  # fmt: skip
        return f"{name}_{called}{'8' if self.int8 else ''}({', '.join(own)});"

    def _both_ways(self) -> list[str]:
        """All steps of one layer after all of the one before."""
        NAME = self.words.prefix.upper()
        lines, x, wide = [f"if (steps > {NAME}_MAX_STEPS)", "    return -1;"], "x", self.net.input_features
        if self.has_classes:
            x = f"state->sequences + {NAME}_MAX_STEPS * {self._widest}"
            lines += looped("for (t = 0; t < steps; t++)",
                             [*self._refused("x[t]"), self._look("x[t]", f"{x} + t * {wide}")])  # fmt: skip
        stacks = [one for one in self.stacks if one not in self._head] if self.is_last else self.stacks
        for place, (kind, i, layer) in enumerate(stacks):
            is_end = place == len(stacks) - 1 and not self.net.output and not self.is_last
            y = "y" if is_end else f"state->sequences + {place % 2} * {NAME}_MAX_STEPS * {self._widest}"
            for half in layer.halves:
                order = "for (t = 0; t < steps; t++)" if half == "forward" else "for (t = steps; t-- > 0;)"
                body = self._half(kind, i, half, f"{x} + t * {wide}", f"{y} + t * {layer.width}", layer)
                lines += looped(order, body)
            x, wide = y, layer.width
        if self.is_last:
            return lines + self._last(x)
        if self.net.output:
            lines += looped("for (t = 0; t < steps; t++)",
                             [self._dense(f"{x} + t * {wide}", f"y + t * {NAME}_FEATURES")])  # fmt: skip
        return lines

    def _last(self, values: str) -> list[str]:
        """Each direction's last step, that of time 0 of a reverse half, and the head; zeros without a step."""
        layer, real, low = self.net.read_layer, self.words.real, 0
        lines = [*self._zeros(), "if (!steps)", "    return 0;"]
        y = "state->outputs0" if self._head or self.net.output else "y"
        for half in layer.halves:
            begin = f"(steps - 1) * {layer.width} + {low}" if half == "forward" else f"{low}"
            lines.append(f"memcpy({y}{plus(low)}, {values} + {begin}, {layer.half_width} * sizeof({real}));")
            low += layer.half_width
        return lines + (self._upwards(self._head, y, 1) if self._head or self.net.output else [])
