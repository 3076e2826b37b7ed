"""The functions of a header that run all layers: over a step, or over a whole sequence in both directions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from string import Template

from rnnspec.export.c_template import RUN, SAYS
from rnnspec.export.c_words import Words
from rnnspec.network import Layer, Network
from rnnspec.output import Last

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

    def place(self, index: int, half: str) -> str:
        """The name of a half in C."""
        return f"layer{index}" if half == "forward" else f"reverse{index}"

    # The struct of a stream.

    def members(self, work: int) -> str:
        """The members of the struct: states first, in the order of the network's, then what lies between layers."""
        real, found = self.words.real, list[str]()
        for i, layer in enumerate(self.net.layers):
            for half in layer.halves:
                found += [f"{real} {self.words.member(self.place(i, half), state)}[{math.prod(shape)}];"
                          for state, shape in layer.state_shapes.items()]  # fmt: skip
        if self.is_forward:
            last = len(self.net.layers) - (0 if self.net.output else 1)
            found += [f"{real} outputs{i}[{layer.width}];" for i, layer in enumerate(self.net.layers[:last])]
        else:
            size = f"{self.words.prefix.upper()}_MAX_STEPS * {self._widest}"
            found.append(f"{real} sequences[2][{size}];")
        if isinstance(self.net.read, Last) and not self.is_forward:
            found.append(f"{real} last[{self.net.layers[-1].width}];")
        if work:
            found.append(f"{real} work[{work}];")
        return "\n".join(f"    {member}" for member in found)

    @property
    def _widest(self) -> int:
        return max(layer.width for layer in self.net.layers)

    def state_text(self, work: int) -> str:
        """The memory of a stream in words."""
        size = {"float": 4, "double": 8}[self.words.real]
        states = sum(sum(layer.state_sizes.values()) * len(layer.halves) for layer in self.net.layers)
        if not self.is_forward:
            step = 2 * self._widest * size
            return f"{size * (states + work)} bytes, and {step} for each step of {self.words.prefix.upper()}_MAX_STEPS"
        last = len(self.net.layers) - (0 if self.net.output else 1)
        between = sum(layer.width for layer in self.net.layers[:last])
        return f"{size * (states + between + work)} bytes"

    # The functions.

    def declared(self, beside: bool) -> list[str]:
        """The declarations, each with what the function does."""
        name, real, NAME = self.words.prefix, self.words.real, self.words.prefix.upper()
        arguments = {"reset": f"void {name}_reset({name}_state *state);",
                     "step": f"void {name}_step(const {real} *x, {name}_state *state, {real} *y);",
                     "run": f"int {name}_run(const {real} *x, size_t steps, {name}_state *state, {real} *y);",
                     "load": f"int {name}_load(const void *file, size_t size);"}  # fmt: skip
        wanted = ["reset", *(["step"] if self.is_forward else []), "run", *(["load"] if beside else [])]
        is_last = isinstance(self.net.read, Last)
        where = "y gets the outputs of the last" if is_last else f"y gets {NAME}_FEATURES for each"
        refused = "" if self.is_forward else f", or -1 where steps are more than {NAME}_MAX_STEPS"
        said = {"NAME": NAME, "where": where, "refused": refused, "file": f"{name}.bin"}
        return [f"/* {Template(SAYS[one]).substitute(said)} */\n{arguments[one]}\n" for one in wanted]

    def functions(self) -> str:
        """The functions that run a step, where there is one, and a sequence."""
        if not self.is_forward:
            return self._run(self._both_ways())
        is_last, name = isinstance(self.net.read, Last), self.words.prefix
        NAME, zero = name.upper(), self.words.number(0.0)
        at = "y" if is_last else f"y + t * {NAME}_FEATURES"
        first = [f"for (t = 0; t < {NAME}_FEATURES; t++)", f"    y[t] = {zero};"] if is_last else []
        return self._step() + self._run([*first, "for (t = 0; t < steps; t++)",
                                         f"    {name}_step(x + t * {NAME}_INPUTS, state, {at});"])  # fmt: skip

    def _run(self, body: list[str]) -> str:
        lines = "\n".join(f"    {line}" for line in body)
        return RUN.substitute(name=self.words.prefix, real=self.words.real, body=lines)

    def _step(self) -> str:
        name, real, x, lines = self.words.prefix, self.words.real, "x", list[str]()
        for i in range(len(self.net.layers)):
            is_end = i == len(self.net.layers) - 1 and not self.net.output
            y = "y" if is_end else f"state->outputs{i}"
            lines.append(f"    {name}_{self.place(i, 'forward')}({x}, state, {y});")
            x = y
        lines += [f"    {self._dense(x, 'y')}"] if self.net.output else []
        body = "\n".join(lines)
        return f"\nvoid {name}_step(const {real} *x, {name}_state *state, {real} *y)\n{{\n{body}\n}}\n"

    def _dense(self, v: str, y: str) -> str:
        """The output layer."""
        name = self.words.prefix
        own = [f"{name}_weights.output_W", *([f"{name}_weights.output_W_scale"] if self.int8 else []),
               f"{name}_weights.output_b", str(self.net.layers[-1].width), str(self.net.features), v, y]  # fmt: skip
        return f"{name}_affine{'8' if self.int8 else ''}({', '.join(own)});"

    def _both_ways(self) -> list[str]:
        """All steps of one layer after all of the one before."""
        NAME, lines = self.words.prefix.upper(), list[str]()
        lines += [f"if (steps > {NAME}_MAX_STEPS)", "    return -1;"]
        x, wide = "x", self.net.inputs
        for i, layer in enumerate(self.net.layers):
            is_end = i == len(self.net.layers) - 1 and not self.net.output and not isinstance(self.net.read, Last)
            y = "y" if is_end else f"state->sequences[{i % 2}]"
            lines += self._layer(i, layer, f"{x} + t * {wide}", f"{y} + t * {layer.width}")
            x, wide = y, layer.width
        if isinstance(self.net.read, Last):
            return lines + self._last(x)
        if self.net.output:
            lines += ["for (t = 0; t < steps; t++)",
                      f"    {self._dense(f'{x} + t * {wide}', f'y + t * {NAME}_FEATURES')}"]  # fmt: skip
        return lines

    def _layer(self, index: int, layer: Layer, x: str, y: str) -> list[str]:
        found, low = list[str](), 0
        for half in layer.halves:
            order = "for (t = 0; t < steps; t++)" if half == "forward" else "for (t = steps; t-- > 0;)"
            at = f"{y} + {low}" if low else y
            found += [order, f"    {self.words.prefix}_{self.place(index, half)}({x}, state, {at});"]
            low += layer.half_width
        return found

    def _last(self, values: str) -> list[str]:
        """Each direction's last step, that of time 0 of a reverse half; zeros without a step."""
        layer, real, NAME, low = self.net.layers[-1], self.words.real, self.words.prefix.upper(), 0
        zero = self.words.number(0.0)
        lines = [f"for (t = 0; t < {NAME}_FEATURES; t++)", f"    y[t] = {zero};", "if (!steps)", "    return 0;"]
        for half in layer.halves:
            begin = f"(steps - 1) * {layer.width} + {low}" if half == "forward" else f"{low}"
            lines.append(f"memcpy(state->last + {low}, {values} + {begin}, {layer.half_width} * sizeof({real}));")
            low += layer.half_width
        if self.net.output:
            return [*lines, self._dense("state->last", "y")]
        return [*lines, f"memcpy(y, state->last, {layer.width} * sizeof({real}));"]
