"""A matrix whose rows are looked up: the gradient of a row is one sum over the places that read it, in any order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conformance.oracle.arithmetic import Array
from conformance.oracle.number import Number, Parameter

__all__ = ["Table"]


@dataclass(frozen=True)
class _Picked:
    """A cotangent of the rows at an index."""

    index: Array
    cotangent: Array


class Table(Parameter):
    """A parameter `(runs, classes, features)`, of which some uses read rows, and others are products."""

    __slots__ = ()

    def look_up(self, index: Array) -> Number:
        """The rows at an index, `(runs, rows, features)`."""
        return self.tape.record(self.value[:, index], [self], lambda d: [_Picked(index, d)])

    def gradient(self) -> Array:
        picked = [part for part in self.parts if isinstance(part, _Picked)]
        self.parts = [part for part in self.parts if not isinstance(part, _Picked)]
        for part in picked:
            Number.receive(self, self._by_class(part))
        return super().gradient()

    def _by_class(self, part: _Picked) -> Array:
        rounding, shape = self.tape.rounding, self.value.shape[1:]
        own = np.broadcast_to(part.cotangent, (rounding.runs, *part.cotangent.shape[1:]))
        y, size = (rounding.array(np.zeros((runs, *shape))) for runs in (rounding.runs, 1))
        for run, d in zip(y, own, strict=True):
            np.add.at(run, part.index, d)
        if not rounding.arithmetic.runs:
            return y
        np.add.at(size[0], part.index, np.abs(own[0]))
        terms = np.bincount(part.index, minlength=shape[0])[None, :, None]
        grown = rounding.arithmetic.accumulator * np.sqrt(terms)
        return rounding.round(y, grown * size + rounding.arithmetic.unit * np.abs(y))
