"""The function of one half of a layer in C: its pointers, its products, and its loops."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rnnspec.export.c_plan import Loop, Pack, Plan
from rnnspec.export.c_text import indented, needed, plus, words
from rnnspec.export.c_words import Words
from rnnspec.export.equations import Size
from rnnspec.export.notation import ATOM, PRODUCT, SIGNS, SUM, enclosed
from rnnspec.running.given import place as place_of
from rnnspec.tracing.cell import OUTPUT
from rnnspec.tracing.graph import Node
from rnnspec.tracing.ranks import MATRIX
from rnnspec.tracing.widths import INPUT

__all__ = ["CHalf"]

VECTOR, ENTRY = ("at",), ("row", "column")
"""The variables of loops over vectors and over matrices."""


class CHalf:
    """Writes the function of one half of a layer.

    `place` is its name in C, such as layer0. Afterwards `memory` is how many numbers it works with, and `helpers` are
    the functions that it calls.
    """

    def __init__(self, place: str, plan: Plan, words: Words, inputs: int, int8: bool) -> None:
        self.place, self.plan, self.words, self.inputs, self.int8 = place, plan, words, inputs, int8
        self.cell, self.nodes, self.sizes = plan.own.cell, plan.nodes, plan.own.sizes
        self.memory, self.mapped = 0, ""
        self.helpers: set[str] = set()
        self.lines: list[str] = []
        self.taken = {"x", "y", "state", "work", "head", words.prefix, *VECTOR, *ENTRY}
        self.names: dict[int, str] = {}
        """Numbers by their names, vectors and matrices by their pointers."""
        self.states: dict[str, str] = {}
        """The pointers of the states."""
        self.packed: dict[tuple[tuple[str, ...], int], str] = {}
        """The pointers of the products that are there."""
        self.locals: dict[int, str] = {}
        """The names of values within the loop that is written."""

    def function(self, says: Sequence[str]) -> str:
        """The function of one step: it reads x, changes the state, and writes y."""
        self._map_inputs()
        before, self.lines = self.lines, []
        self._point()
        self._save()
        for stage in range(self.plan.last + 1):
            for index in self.plan.gathers(stage):
                self._gather(index)
            for loop in self.plan.loops(stage):
                self._loop(loop)
        self._copy()
        body = self.lines
        if self.cell.heads is not None:
            body = [f"for (int head = 0; head < {self.cell.heads}; head++) {{", *indented(body), "}"]
        work = [f"{self.words.real} *const work = state->work;"]
        lines = needed(indented([*work, *before, *body]))
        known = {word for line in lines for word in words(line)}
        lines += [f"    (void){name};" for name in ("x", "state") if name not in known]
        comment = "\n".join(f" * {line}".rstrip().replace("*/", "* /") for line in says)
        real, prefix, text = self.words.real, self.words.prefix, "\n".join(lines)
        arguments = f"const {real} *restrict x, {prefix}_state *restrict state, {real} *restrict y"
        return f"/*\n{comment}\n */\nstatic void {prefix}_{self.place}({arguments})\n{{\n{text}\n}}\n"

    # Names and memory.

    def _named(self, wanted: str) -> str:
        name = self.words.identifier(wanted, self.taken)
        self.taken.add(name)
        return name

    def _room(self, wanted: str, count: int) -> str:
        """A pointer to so many numbers of memory."""
        name = self._named(wanted)
        self.lines.append(f"{self.words.real} *const {name} = work{plus(self.memory)};")
        self.memory += count
        return name

    def _point_to(self, wanted: str, where: str, kind: str = "", changes: bool = False) -> str:
        name = self._named(wanted)
        self.lines.append(f"{'' if changes else 'const '}{kind or self.words.real} *const {name} = {where};")
        return name

    def _weights(self, *parts: str) -> str:
        return f"{self.words.prefix}_weights.{self.words.member(self.place, *parts)}"

    def _of_head(self, count: int, is_one: bool) -> str:
        """What is added to a pointer for the part of a head, where heads have their own."""
        return "" if self.cell.heads is None or is_one else f" + head * {count}"

    # What a step reads.

    def _map_inputs(self) -> None:
        """W x + b of all maps of the input, of all heads, in one product."""
        own = [] if self.cell.given is not None else [(n, s) for n, s in self._leaves("input")]
        if own:
            out = sum(self.cell.beside(f"x.{node.name}") * self.sizes[i][0] for i, node in own)
            self.mapped = self._room("from_x", out)
            self._multiply(self._weights("W"), "", self.inputs, out, "x", self.mapped, self._weights("b"))

    def _leaves(self, op: str) -> list[tuple[int, Node]]:
        return [(index, node) for index, node in enumerate(self.nodes) if node.op == op]

    def _point(self) -> None:
        """A pointer for each input, learned vector and state, to the part of a head."""
        low = 0
        for index, node in self._leaves("input"):
            width, parts = self.sizes[index][0], self.cell.beside(f"x.{node.name}")
            head = self._of_head(width, parts == 1)
            if self.cell.given is None:
                self.names[index] = self._point_to(f"x_{node.name}", f"{self.mapped}{plus(low)}{head}")
                low += parts * width
            else:
                self.names[index] = self._point_to(f"x_{node.name}", f"x{plus(self._place(node.name))}{head}")
        for index, _ in self._leaves("x"):
            head = self._of_head(self.sizes[index][0], self.cell.beside(INPUT) == 1)
            begin = 0 if self.cell.given is None else self._place(INPUT)
            self.names[index] = self._point_to("own", f"x{plus(begin)}{head}") if begin or head else "x"
        for index, node in self._leaves("vector"):
            self._point_to_vector(index, node)
        read = {node.name: index for index, node in self._leaves("state")}
        for state in self.cell.states:
            count = math.prod(self.sizes[self.plan.own.result(state)])
            where = f"state->{self.words.member(self.place, state)}{self._of_head(count, False)}"
            self.states[state] = self._point_to(state, where, changes=True)
            self.names |= {read[state]: self.states[state]} if state in read else {}

    def _place(self, name: str) -> int:
        return int(place_of(self.cell, name).start)

    def _point_to_vector(self, index: int, node: Node) -> None:
        size, is_one = self.sizes[index], self.cell.beside(f"p.{node.name}") == 1
        in_8 = self.int8 and len(size) == MATRIX
        where = self._weights("p", node.name)
        own = f"{where}{self._of_head(math.prod(size), is_one)}"
        self.names[index] = self._point_to(f"p_{node.name}", own, kind="signed char" if in_8 else "")
        if in_8:
            self._point_to(f"{self.names[index]}_scale", f"{where}_scale{self._of_head(size[0], is_one)}")

    def _save(self) -> None:
        """Copies of old states that become another state, or the output."""
        for index in self.plan.saved:
            count, old = math.prod(self.sizes[index]), self.names[index]
            self.names[index] = self._room(f"old_{self.nodes[index].name}", count)
            self._for((count,), [f"{self.names[index]}[at] = {old}[at];"])

    # Products and sums.

    def _gather(self, index: int) -> None:
        node = self.nodes[index]
        if node.op == "map":
            self._map(index, node)
        elif node.op == "transposed":
            self._turn(index, node)
        elif node.op == "matmul":
            self._matmul(index, node)
        else:
            name = self._named(self.plan.own.names.get(index, node.op))
            self._sum(node, name)
            self.names[index] = name

    def _map(self, index: int, node: Node) -> None:
        """A product with a recurrent map, together with all others of its pack."""
        pack, arg = self.plan.pack(node.name), node.args[0]
        if (pack.names, arg) not in self.packed:
            v, z = self._vector(arg), self._room("_".join(("R", *pack.names)), pack.out)
            self.packed[pack.names, arg] = z
            where = self._pack(pack)
            self._multiply(where, self._of_head(pack.width * pack.out, pack.is_shared), pack.width, pack.out, v, z,
                           scale=self._of_head(pack.out, pack.is_shared))  # fmt: skip
        where = f"{self.packed[pack.names, arg]}{plus(pack.rows[node.name])}"
        self.names[index] = self._point_to(f"R_{node.name}", where)

    def _pack(self, pack: Pack) -> str:
        return self._weights(f"U{self.plan.packs.index(pack)}")

    def _turn(self, index: int, node: Node) -> None:
        """A product with a map turned around."""
        pack, v = self.plan.pack(node.name), self._vector(node.args[0])
        out, low = math.prod(self.sizes[node.args[0]]), pack.rows[node.name]
        self.names[index] = self._room(f"R_{node.name}_T", pack.width)
        head = self._of_head(pack.width * pack.out, pack.is_shared)
        arguments = [f"{self._pack(pack)}{plus(low)}{head}"]
        if self.int8:
            arguments.append(f"{self._pack(pack)}_scale{plus(low)}{self._of_head(pack.out, pack.is_shared)}")
        called = self._helper("turned8" if self.int8 else "turned")
        self.lines.append(f"{called}({', '.join(arguments)}, {pack.width}, {out}, {pack.out}, {v}, "
                          f"{self.names[index]});")  # fmt: skip

    def _multiply(self, where: str, head: str, width: int, out: int, v: str, z: str, bias: str = "NULL", *,
                  scale: str = "") -> None:  # fmt: skip
        own = [f"{where}{head}", *([f"{where}_scale{scale}"] if self.int8 else []), bias]
        called = self._helper("affine8" if self.int8 else "affine")
        self.lines.append(f"{called}({', '.join(own)}, {width}, {out}, {v}, {z});")

    def _helper(self, name: str) -> str:
        self.helpers.add(name)
        return f"{self.words.prefix}_{name}"

    def _vector(self, index: int) -> str:
        """The pointer to a vector, also to a number as one."""
        if self.sizes[index]:
            return self.names[index]
        name = self._named("one")
        self.lines.append(f"const {self.words.real} {name}[1] = {{{self._entry(index, ())}}};")
        return name

    def _sum(self, node: Node, name: str) -> None:
        """A number from all entries of a value."""
        [arg], real = node.args, self.words.real
        size, zero = self.sizes[arg], self.words.number(0.0)
        value = self._entry(arg, _variables(size))
        if node.op == "number" or not size:
            first = self._entry(arg, ("0",) if size else ())
            self.lines.append(f"const {real} {name} = {first};")
        elif node.op == "total":
            self.lines.append(f"{real} {name} = {zero};")
            self._for(size, [f"{name} += {value};"])
        else:
            self._logsumexp(name, size, value)

    def _logsumexp(self, name: str, size: Size, value: str) -> None:
        real, w, largest = self.words.real, self.words, self._named("largest")
        self.lines.append(f"{real} {largest} = {self.words.number(-math.inf)}, {name} = {w.number(0.0)};")
        self._for(size, [f"{largest} = {self._helper('maximum')}({largest}, {value});"])
        self.lines.append(f"{largest} = fabs{w.suffix}({largest}) <= {self._largest} ? {largest} : {w.number(0.0)};")
        self._for(size, [f"{name} += exp{w.suffix}({value} - {largest});"])
        self.lines.append(f"{name} = {largest} + log{w.suffix}({name});")

    @property
    def _largest(self) -> str:
        return {"f32": "FLT_MAX", "f64": "DBL_MAX"}[self.words.precision]

    def _matmul(self, index: int, node: Node) -> None:
        """S b, or S' a: sums over the columns, or over the rows, of a matrix."""
        is_left = len(self.sizes[node.args[0]]) == MATRIX
        matrix, vector = node.args if is_left else node.args[::-1]
        width, wide = math.prod(self.sizes[index]), self.sizes[matrix]
        over = max(wide[1 if is_left else 0], next(iter(self.sizes[vector]), 1))
        z = self.names[index] = self._room(self.plan.own.names.get(index, "product"), width)
        own, other = ENTRY if is_left else ENTRY[::-1]
        term = f"{self._entry(matrix, ENTRY, ATOM)} * {self._entry(vector, (other,), ATOM)}"
        self._for((width,), [f"{z}[at] = {self.words.number(0.0)};"])
        sizes = {own: width, other: over}
        loops = [f"for (int {v} = 0; {v} < {sizes[v]}; {v}++)" for v in ENTRY]
        self.lines += [loops[0], f"    {loops[1]}", f"        {z}[{own}] += {term};"]
        if not self.sizes[index]:
            self.names[index] = f"{z}[0]"

    # Loops.

    def _for(self, size: Size, body: Sequence[str]) -> None:
        """A loop over all entries of a size."""
        variables = _variables(size)
        for depth, (variable, end) in enumerate(zip(variables, size, strict=True)):
            brace = " {" if len(body) > 1 and depth == len(size) - 1 else ""
            self.lines.append(f"{'    ' * depth}for (int {variable} = 0; {variable} < {end}; {variable}++){brace}")
        self.lines += [f"{'    ' * len(size)}{line}" for line in body]
        if len(body) > 1:
            self.lines.append(f"{'    ' * (len(size) - 1)}}}")

    def _loop(self, loop: Loop) -> None:
        """The values of a loop, and then what they are kept in; numbers are one value each."""
        size, inside = loop[1], self.plan.inside(loop)
        if not size:
            for index in inside:
                name = self._named(self.plan.own.names.get(index, "number"))
                self.lines.append(f"const {self.words.real} {name} = {self._write(index, loop)};")
                self.names[index] = name
            return
        variables, output = _variables(size), self.plan.own.result(OUTPUT)
        for index in inside:
            if index in self.plan.stored:
                self.names[index] = self._room(self.plan.own.names.get(index, "value"), math.prod(size))
        body, ends = list[str](), list[str]()
        for index in inside:
            if index in self.plan.stored:
                body.append(f"{self._entry(index, variables)} = {self._write(index, loop)};")
            elif index in self.plan.own.names:
                self.locals[index] = self._named(self.plan.own.names[index])
                body.append(f"const {self.words.real} {self.locals[index]} = {self._write(index, loop)};")
            for state in self.plan.direct.get(index, ()):
                ends.append(f"{self.states[state]}[{_subscript(size, variables)}] = {self.locals[index]};")
            if index == output:
                value = self._operand(index, loop)
                ends.append(f"{self._y(_subscript(size, variables))} = {value};")
        self._for(size, [*body, *ends])
        for index in inside:
            for state in self.plan.direct.get(index, ()):
                self.names[index] = self.states[state]
            self.locals.pop(index, None)

    def _y(self, subscript: str) -> str:
        """An entry of the output, in which heads stand side by side."""
        width = math.prod(self.sizes[self.plan.own.result(OUTPUT)])
        return f"y[{subscript}]" if self.cell.heads is None else f"y[head * {width} + {subscript}]"

    def _copy(self) -> None:
        """The output and the new states that no loop has written."""
        for state, index in sorted(self.plan.copies(), key=lambda copy: copy[0] != OUTPUT):
            size = self.sizes[index]
            variables = _variables(size)
            at = _subscript(size, variables) if size else "0"
            target = f"{self.states[state]}[{at}]" if state else self._y(at)
            self._for(size, [f"{target} = {self._entry(index, variables)};"])

    # Expressions.

    def _write(self, index: int, loop: Loop, at_least: int = SUM) -> str:
        """The expression of a value that is computed entry by entry."""
        node = self.nodes[index]
        if node.op == "outer":
            parts = zip(node.args, ENTRY, strict=True)
            return enclosed(" * ".join(self._entry(arg, (v,), PRODUCT) for arg, v in parts), PRODUCT, at_least)
        if node.op == "where":
            first, second = (self._operand(arg, loop, SUM) for arg in node.args[1:])
            return enclosed(f"{self._condition(node.args[0], loop)} ? {first} : {second}", -1, at_least)
        if node.op in SIGNS:
            sign, binding, least = SIGNS[node.op]
            first, second = (self._operand(arg, loop, at) for arg, at in zip(node.args, (binding, least), strict=True))
            return enclosed(f"{first} {sign} {second}", binding, at_least)
        if node.op == "negate":
            return enclosed(f"-{self._operand(node.args[0], loop, ATOM)}", SUM, at_least)
        arguments = ", ".join(self._operand(arg, loop) for arg in node.args)
        called = self.words.function(node.op)
        if self.words.is_helper(node.op):
            self.helpers.add(node.op)
        return f"{called}({arguments})"

    def _condition(self, index: int, loop: Loop) -> str:
        node = self.nodes[index]
        sign, _, least = SIGNS[node.op]
        first, second = (self._operand(arg, loop, least) for arg in node.args)
        return f"{first} {sign} {second}"

    def _operand(self, index: int, loop: Loop, at_least: int = SUM) -> str:
        """A value within a loop: by its name, its entry, or written out."""
        if index in self.locals:
            return self.locals[index]
        is_here = self.plan.is_inner(index) and self.sizes[index] and self.plan.loop(index) == loop
        if is_here and index not in self.plan.stored:
            return self._write(index, loop, at_least)
        return self._entry(index, _variables(loop[1]), at_least)

    def _entry(self, index: int, variables: Sequence[str], at_least: int = SUM) -> str:
        """An entry of a value that is in memory, or a number."""
        node, size = self.nodes[index], self.sizes[index]
        if node.op == "constant":
            return enclosed(self.words.number(node.value), SUM if node.value < 0 else ATOM, at_least)
        if not size:
            return self.names[index]
        subscript = _subscript(size, variables)
        if node.op == "vector" and len(size) == MATRIX and self.int8:
            return f"({self.names[index]}[{subscript}] * {self.names[index]}_scale[{variables[0]}])"
        return f"{self.names[index]}[{subscript}]"


def _variables(size: Size) -> tuple[str, ...]:
    return ENTRY if len(size) == MATRIX else VECTOR[: len(size)]


def _subscript(size: Size, variables: Sequence[str]) -> str:
    """The place of an entry; an axis of one entry fits every row or column."""
    if len(size) < MATRIX:
        return variables[0]
    (rows, columns), (row, column) = size, variables
    own = [f"{row} * {columns}" if columns > 1 else row] * (rows > 1) + [column] * (columns > 1)
    return " + ".join(own) or "0"
