"""One layer of a network: a cell, its widths and its direction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from rnnspec.checks import check_hashable, check_initial, is_pairs, is_size, require
from rnnspec.control.recurrence import HOOKS, Recurrence, trace_hook
from rnnspec.initialisers import Initialiser
from rnnspec.noise.equations import Masked, check, expected, masked
from rnnspec.noise.kinds import KINDS, Noise
from rnnspec.noise.passing import PASSING
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Shape

__all__ = ["DIRECTIONS", "Layer"]

DIRECTIONS = {"forward": ("forward",), "reverse": ("reverse",), "bidirectional": ("forward", "reverse")}
"""The halves of a layer by its direction, in the order of their features."""


@dataclass(frozen=True)
class Layer:
    """One layer: a cell, its widths, its direction, its gradient policy and its initial values.

    `hidden` is the width of every state, or `{name: width}` where widths differ. `direction` is "forward", "reverse" or
    "bidirectional". `gradient` is a policy inside the recurrence, or None. `initial` maps a kind of parameter ("W",
    "b", "U", "p") or one map ("b.f") to an initialiser; a map's entry takes precedence, and `Uniform()` is the default.
    With `heads`, the equations hold for each of so many heads of `hidden` units: recurrent maps are (heads, out, in),
    states (batch, heads, width), and outputs stand side by side. What `shared` names, such as "x.k", "R.i" or "p.d", is
    one for all heads; `x` itself is split among them unless it is shared. A `cell` with heads keeps them where `heads`
    is None. `inputs` is the number of input features, which the network gives to a layer whose equations use `x`
    itself. With `mapped=False` the layer has no `W` and no `b`: its inputs are the x.name themselves, side by side in
    the order of the names, and then `x` itself, whose features `inputs` gives where nothing else does. With `residual`
    the layer's inputs are added to its outputs, which must be as wide. For a cell without a state, `hidden` is the
    width of the output, and a policy has nothing to act on. `noise` is one kind of `rnnspec.noise`, or several, which
    act in calls with a key. Raises NetworkError where an argument is not valid.
    """

    cell: Cell
    hidden: int | Mapping[str, int] | tuple[tuple[str, int], ...]
    direction: str = "forward"
    gradient: Recurrence | None = None
    initial: Mapping[str, Initialiser] = field(default_factory=dict, compare=False, repr=False)
    heads: int | None = None
    shared: tuple[str, ...] = ()
    inputs: int | None = field(default=None, repr=False)
    mapped: bool = True
    residual: bool = False
    learned_state: bool = False
    noise: Noise | tuple[Noise, ...] = ()

    def __post_init__(self) -> None:
        call = "Layer(...)"
        require(call, isinstance(self.cell, Cell), "cell must be a cell", self.cell,
                "decorate a function of equations with @rnnspec.cell")
        self._give_heads(call)
        require(call, self.direction in tuple(DIRECTIONS), f"direction must be one of {', '.join(DIRECTIONS)}",
                self.direction, "choose one")  # fmt: skip
        require(call, self.gradient is None or isinstance(self.gradient, Recurrence),
                "gradient must be a policy inside the recurrence, or None", self.gradient,
                "give policies on finished gradients to train_step, in rnnspec.chain")  # fmt: skip
        check_hashable(call, "gradient", self.gradient)
        if not self.cell.states:
            object.__setattr__(self, "gradient", None)
        require(call, isinstance(self.residual, bool), "residual must be True or False", self.residual,
                "write residual=True to add the inputs to the outputs")  # fmt: skip
        if self.gradient is not None:
            for hook in HOOKS:
                trace_hook(self.gradient, hook, self.cell.states)
        widths: Any = dict(self.hidden) if isinstance(self.hidden, tuple) and is_pairs(self.hidden) else self.hidden
        named = isinstance(widths, Mapping) and all(isinstance(name, str) for name in widths)
        require(call, isinstance(widths, int) or named,
                "hidden must be a whole number, or map names to whole numbers", self.hidden,
                "write hidden=64")  # fmt: skip
        if isinstance(widths, Mapping):
            object.__setattr__(self, "hidden", tuple(sorted(widths.items())))
        self.cell.widths(self.widths_given, self.inputs)
        given = None if self.mapped else self.cell.given_widths(self.widths_given, self.inputs)
        if self.cell.given != given:
            object.__setattr__(self, "cell", replace(self.cell, given=given))
        require(call, isinstance(self.learned_state, bool) and (bool(self.cell.states) or not self.learned_state),
                "learned_state must be True or False, and the cell must have a state to learn", self.learned_state,
                "leave learned_state out")  # fmt: skip
        learned = {"initial": set(self.cell.states)} if self.learned_state else {}
        check_initial(call, self.initial, {**self.cell.parameter_names, **learned})
        self._give_noise(call)

    def _give_noise(self, call: str) -> None:
        noise = (self.noise,) if isinstance(self.noise, Noise) else self.noise
        require(call, isinstance(noise, Iterable) and all(type(one) in KINDS for one in noise),
                "noise must be one kind of rnnspec.noise, or several", self.noise,
                "write noise=Zoneout(0.1)")  # fmt: skip
        noise = tuple(noise)
        require(call, len({type(one) for one in noise}) == len(noise), "each kind of noise must be given once", noise,
                "leave one out")  # fmt: skip
        check(call, self.cell, noise)
        object.__setattr__(self, "noise", noise)
        require(call, self.mapped or not masked(self.cell, noise), "a layer without maps must have no noise on states "
                "or gates", noise, "leave it out")  # fmt: skip

    def _give_heads(self, call: str) -> None:
        """Check the heads, and give them to the cell, so that no kernel takes it for the cell without heads."""
        if self.heads is None and self.shared == ():
            object.__setattr__(self, "heads", self.cell.heads)
            object.__setattr__(self, "shared", self.cell.shared)
        require(call, self.heads is None or is_size(self.heads), "heads must be a whole number of at least 1, or None",
                self.heads, "leave heads out for one set of equations")  # fmt: skip
        require(call, isinstance(self.shared, Iterable) and not isinstance(self.shared, str),
                "shared must be a tuple of names", self.shared, "write shared=('x.k',)")  # fmt: skip
        known = self.cell.sharable if self.heads else ()
        for name in self.shared:
            require(call, name in known, f"shared must name what heads can share: {', '.join(known) or 'nothing'}",
                    name, "give a name of the cell's equations" if self.heads else "give heads too")  # fmt: skip
        shared = tuple(sorted(self.shared))
        object.__setattr__(self, "shared", shared)
        if (self.cell.heads, self.cell.shared) != (self.heads, shared):
            object.__setattr__(self, "cell", replace(self.cell, heads=self.heads, shared=shared))

    @cached_property
    def evaluated(self) -> Cell:
        """The cell of a call without a key: with `Zoneout` the expectation, else the cell itself."""
        return expected(self.cell, self.noises)

    @cached_property
    def masked(self) -> Masked | None:
        """The cell of a call with a key, given all x.name and the masks; None where its equations have no masks."""
        found = masked(self.cell, self.noises)
        if found is None:
            return None
        given = found.cell.given_widths(self.widths_given, self.inputs)
        return replace(found, cell=replace(found.cell, given=given))

    @property
    def noises(self) -> tuple[Noise, ...]:
        """`noise`, as a tuple."""
        return self.noise if isinstance(self.noise, tuple) else (self.noise,)

    @cached_property
    def passes(self) -> bool:
        """Whether the equations only pass the inputs on: a `Dropout` among the layers."""
        return self.cell == PASSING

    def __repr__(self) -> str:
        shown_fields = (f for f in fields(self) if f.repr and getattr(self, f.name) != f.default)
        return f"Layer({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in shown_fields)})"

    @property
    def widths_given(self) -> int | dict[str, int]:
        """`hidden` as given; a mapping is a dict."""
        return self.hidden if isinstance(self.hidden, int) else dict(self.hidden)

    @cached_property
    def halves(self) -> tuple[str, ...]:
        """The halves of this layer, `forward` and `reverse`, in the order of their features."""
        return DIRECTIONS[self.direction]

    @cached_property
    def state_shapes(self) -> dict[str, Shape]:
        """The shape of each state in one row of one half: (width) or (rows, columns), after (heads) with heads."""
        return self.cell.state_shapes(self.widths_given, self.inputs)

    @property
    def state_sizes(self) -> dict[str, int]:
        """The number of entries of each state of one row of one half."""
        return {state: math.prod(shape) for state, shape in self.state_shapes.items()}

    @cached_property
    def half_width(self) -> int:
        """The width of one half's output."""
        return self.cell.output_width(self.widths_given, self.inputs)

    @property
    def width(self) -> int:
        """The width of the output, which concatenates the halves."""
        return self.half_width * len(self.halves)
