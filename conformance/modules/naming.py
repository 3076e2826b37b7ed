"""The parameters of a module found by the names of a layout, whatever prefix they have."""

from __future__ import annotations

from collections.abc import Sequence

from rnnspec.convert.layout import Layout
from rnnspec.errors import TreeError

__all__ = ["outside", "placed"]

EXAMPLE = '{"weight_ih": "W.i W.f W.g W.o", ...}'


def placed(
    call: str, names: Sequence[str], row: Layout, own: Sequence[str] = ("",), others: Sequence[str] = ()
) -> dict[str, str]:
    """The name of each tensor's parameter: the tensor's name with a prefix and one of the suffixes `own`.

    Parameters with one of the suffixes `others` belong to the other half. Raises TreeError where a tensor has no
    parameter or several, or a parameter is neither in the layout nor outside.
    """
    found = {tensor: _named(names, tensor, own) for tensor in row.tensors}
    if any(len(places) != 1 for places in found.values()):
        wanted = ", ".join(sorted(row.tensors))
        raise TreeError(call, f"the module must have exactly the parameters {wanted} each, perhaps below a prefix"
                        + (" or ending in _l0" if len(own) > 1 else ""), ", ".join(names) or "none",
                        f"rename them, or give the class a `layout` such as {EXAMPLE}, which gives the maps in "
                        "each")  # fmt: skip
    known = {name for tensor in row.tensors for name in _named(names, tensor, (*own, *others))}
    unknown = [name for name in names if name not in known and name not in outside(names, row)]
    if unknown:
        raise TreeError(call, "every parameter must be in the layout", f"{', '.join(unknown)} besides",
                        f'say in a `layout` what each holds; "{unknown[0]}": "" says that it holds no map of the cell')
    return {tensor: places[0] for tensor, places in found.items()}


def outside(names: Sequence[str], row: Layout) -> list[str]:
    """The parameters that hold no map of the cell, as the layout says."""
    return [name for name in names
            if any(row.is_outside(".".join(name.split(".")[i:])) for i in range(name.count(".") + 1))]  # fmt: skip


def _named(names: Sequence[str], tensor: str, suffixes: Sequence[str]) -> list[str]:
    return [name for name in names
            if any(f".{name}".endswith(f".{tensor}{suffix}") for suffix in suffixes)]  # fmt: skip
