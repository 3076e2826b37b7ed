"""The parameters of one layer, packed for the products of its schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rnnspec.contract.arrays import Array, Arrays, Values
from rnnspec.derivation.schedule import Schedule
from rnnspec.running.given import place, width
from rnnspec.running.heads import Heads
from rnnspec.tracing.graph import MAPS, Node, iterate
from rnnspec.tracing.ranks import MATRIX, NUMBERS, VECTOR
from rnnspec.tracing.widths import INPUT
from rnnspec.tree import Tree

__all__ = ["Maps"]

Product = Callable[[Array], Array]


class Maps:
    """The products of a layer's maps: those that share their argument are one."""

    def __init__(self, arrays: Arrays, plan: Schedule, params: Tree, state: Values, inputs: Array) -> None:
        self.arrays, self.plan, self.params, self.state = arrays, plan, params, state
        self.features, rows = inputs.shape[-1], inputs.shape[1]
        self.heads = Heads(arrays, plan.cell)
        recurrent = {pack for packs in plan.recurrent_packs.values() for pack in packs}
        mapped = plan.input_packs if plan.cell.given is None else ()
        self.inputs = {pack: self._flattened(arrays.projection(self._pack("W", pack), rows)) for pack in mapped}
        self.biases = {pack: self._pack("b", pack) for pack in mapped}
        self.recurrent = {pack: self._through(pack, rows) for pack in recurrent}
        turned = {pack for _, n in iterate(plan.nodes, "transposed") for pack in plan.transposed_packs(n.name)}
        self.transposed = {pack: self._back_through(pack) for pack in turned}

    def of_inputs(self, pack: tuple[str, ...], x: Array) -> dict[str, Array]:
        """`W_name x + b_name` of every map of a pack, or what is given for it, with heads as values have them."""
        if self.plan.cell.given is not None:
            return {name: self.heads.apart(x[..., place(self.plan.cell, name)], f"x.{name}") for name in pack}
        product = self.arrays.functions["add"](self.inputs[pack](x), self.biases[pack])
        parts = self._split(product, "W", pack)
        return {name: self.heads.apart(part, f"x.{name}") for name, part in parts.items()}

    def of(self, pack: tuple[str, ...], v: Array) -> dict[str, Array]:
        """`U_name v` of every map of a pack."""
        return self._split(self.recurrent[pack](v), "U", pack)

    def sizes(self, index: int) -> tuple[int, ...]:
        """The number of features of a forward node, or of rows and of columns of a matrix."""
        node = self.plan.nodes[index]
        if node.op in _SIZES:
            return _SIZES[node.op](self, node)
        if node.op in NUMBERS:
            return (1,)
        own = [self.sizes(arg) for arg in node.args]
        return tuple(map(max, zip(*(s for s in own if len(s) == max(map(len, own))), strict=True)))

    def _given(self, node: Node) -> tuple[int, ...]:
        """The sizes of a leaf, or of what a map gives, by the shapes of what the call was given."""
        params, cell = self.params, self.plan.cell
        match node.op:
            case "x":
                return (width(cell, INPUT, self.features) // cell.beside(INPUT),)
            case "input" if cell.given is not None:
                return (width(cell, node.name, self.features) // cell.beside(f"x.{node.name}"),)
            case "input":
                return (params["W"][node.name].shape[0] // cell.beside(f"x.{node.name}"),)
            case "state":
                return tuple(self.state[node.name].shape[-cell.ranks.get(node.name, VECTOR) :])
            case "vector":
                rank, shape = cell.ranks[f"p.{node.name}"], params["p"][node.name].shape
                return tuple(shape[-2:]) if rank == MATRIX else (shape[0] // cell.beside(f"p.{node.name}"),)
            case _:
                return (params["U"][node.name].shape[-2 if node.op == "map" else -1],)

    def _of_matrices(self, node: Node) -> tuple[int, ...]:
        one, other = (self.sizes(arg) for arg in node.args)
        if node.op == "outer":
            return one[0], other[0]
        return (one[0],) if len(one) > len(other) else (other[1],)

    def _pack(self, kind: str, names: Iterable[str]) -> Array:
        """The maps stacked below each other."""
        maps = [self.params[kind][name] for name in names]
        return self.arrays.concatenate(maps, -2 if kind == "U" else 0)

    def _through(self, names: Iterable[str], rows: int) -> Product:
        maps = self._pack("U", names)
        product = self.arrays.projection(maps, rows)
        return self._flattened(product) if len(maps.shape) == 2 else lambda a: self.heads.through(a, product)

    def _back_through(self, names: Iterable[str]) -> Product:
        """The function from the concatenated cotangents of recurrent maps to the cotangent of their argument."""
        maps = self._pack("U", names)
        if len(maps.shape) == 2:
            return self._flattened(lambda a: self.arrays.matmul(a, maps))
        return lambda a: self.heads.through(a, lambda rows: self.arrays.matmul(rows, maps))

    def _flattened(self, product: Product) -> Product:
        """A product of rows for values with more axes."""

        def of_values(a: Array) -> Array:
            found = product(self.arrays.reshape(a, (-1, a.shape[-1])))
            return self.arrays.reshape(found, (*a.shape[:-1], found.shape[-1]))

        return of_values

    def _split(self, packed: Array, kind: str, names: Iterable[str]) -> dict[str, Array]:
        """The parts of a packed array by map."""
        found, low = {}, 0
        for name in names:
            high = low + self.params[kind][name].shape[-2]
            found[name] = packed[..., low:high]
            low = high
        return found


_SIZES: dict[str, Callable[[Maps, Node], tuple[int, ...]]] = {
    **dict.fromkeys(("x", "input", "state", "vector", *MAPS), Maps._given),
    **dict.fromkeys(("outer", "matmul"), Maps._of_matrices),
}
"""What tells the sizes of a node that is no primitive entry by entry."""
