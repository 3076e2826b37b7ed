"""Structures of steps in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rnnspec.derivation.structure import Bend, Factor, Kind, Structure

__all__ = ["backward", "forward", "running"]

States = tuple[str, ...]

FACTORS = {
    Factor.ONE: "the {} 1",
    Factor.NUMBER: "one {}",
    Factor.VECTOR: "a {} for each feature",
    Factor.ROWS: "a {} for each row",
    Factor.COLUMNS: "a {} for each column",
    Factor.MATRIX: "a {} for each entry",
}
OPERATIONS = {
    "multiply": "a product", "divide": "a quotient", "matmul": "a product with a matrix", "outer": "an outer product",
    "where": "a choice", "greater": "a comparison", "greater_equal": "a comparison", "total": "a sum over features",
}  # fmt: skip
"""Operations that have no name of a function in the equations."""
COUNTS = ("no", "one", "two", "three", "four")
IT = "it"
MOST = 6
"""The most maps that a sentence names."""


def forward(states: States, step: Structure) -> str:
    """How the step depends on the states before it."""
    old, new, many = listed(states), _new(states), len(states) > 1
    match step.kind:
        case Kind.SHIFT:
            return f"{new} {'do' if many else 'does'} not depend on {old}."
        case Kind.MAXIMUM:
            return f"{new} is the larger of {old} plus a term and of a value that does not depend on {old}."
        case Kind.BENT:
            return f"{new} {'are' if many else 'is'} not affine in {old}: {_bends(states, step.bends)}."
    return f"{new} {'are' if many else 'is'} affine in {old}: {_factors(states, step, old)}."


def backward(group: States, step: Structure, back: Structure) -> str:
    """How the cotangents of the states before the step depend on those after it; they are always affine in them."""
    many = len(group) > 1
    own = f"The cotangent{'s' * many} of {listed(group)}"
    those = f"{'those' if many else 'that'} of {_new(group)}"
    if back.kind is Kind.SHIFT:
        return f"{own} {'do' if many else 'does'} not depend on {those}."
    more = ", so a scan could run it" if back.has_scan and step.kind is Kind.BENT else ""
    return f"{own} {'are' if many else 'is'} affine in {those}: {_factors(group, back, IT)}{more}."


def running(groups: Sequence[tuple[States, Structure]], reason: str) -> str:
    """How a layer runs in parallel over time, or why it does not."""
    if not groups:
        return "No step depends on another: a layer keeps no state, and runs all steps at once."
    if reason:
        return f"A layer runs one step after the other; Path.PARALLEL refuses it: {reason}."
    scanned = [state for states, step in groups if step.has_scan for state in states]
    chunked = [state for states, step in groups if not step.has_scan for state in states]
    parts = [f"{listed(names)} by {what}" for names, what in ((scanned, "scans"), (chunked, "chunks")) if names]
    return f"A layer runs in parallel over time: {', '.join(parts)}."


def listed(names: Iterable[str]) -> str:
    """Names in a row: a, b and c."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else str(last)


def _new(states: States) -> str:
    return listed(f"{state}'" for state in states)


def _factors(states: States, found: Structure, read: str) -> str:
    if found.kind is Kind.DENSE:
        return f"{_mixing(found.through)} features"
    factor = FACTORS[found.factor or Factor.ONE]
    if found.kind is Kind.ENTRYWISE:
        block = f"{len(states)} by {len(states)} block"
        return factor.format("factor" if len(states) == 1 else block)
    parts = ["no decay" if found.factor is Factor.ONE else factor.format("decay")]
    parts += [f"{_counted(found.writes, 'write')} of rank one"] if found.writes else []
    back = f"which read{'s' * (found.corrections == 1)} {read} back"
    parts += [f"{_counted(found.corrections, 'correction')} of rank one, {back}"] if found.corrections else []
    return listed(parts)


def _mixing(through: States) -> str:
    """What mixes features, with its verb."""
    maps = [name for name in through if name not in OPERATIONS]
    others = [OPERATIONS[name] for name in through if name in OPERATIONS]
    names = [*sorted(maps), *others] if len(maps) <= MOST else [f"{len(maps)} maps", *others]
    return f"{listed(names)} mix{'es' * (len(names) == 1 and len(maps) <= MOST)}"


def _counted(count: int, noun: str) -> str:
    number = COUNTS[count] if count < len(COUNTS) else str(count)
    return f"{number} {noun}{'s' * (count != 1)}"


def _bends(group: States, bends: Sequence[Bend]) -> str:
    """What bends which states, operations with one effect together."""
    found: dict[tuple[States, States], list[str]] = {}
    for bend in bends:
        found.setdefault((bend.states, bend.results), []).append(OPERATIONS.get(bend.op, bend.op))
    return "; ".join(
        f"{listed(names)} bend{'s' * (len(names) == 1)} {listed(states)}{'' if results == group else _within(results)}"
        for (states, results), names in found.items()
    )


def _within(results: States) -> str:
    return f" in {_new(results)}"
