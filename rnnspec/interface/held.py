"""What a backend is held to: a path, recomputation, the length of chunks, and the workers that it shares calls with."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Self

from rnnspec.contract.capabilities import DTYPES
from rnnspec.contract.kernel import Path
from rnnspec.errors import ArgumentError, UnsupportedError
from rnnspec.interface.owner import Owner
from rnnspec.interface.reopening import opener, reopened
from rnnspec.showing import shown
from rnnspec.workers.group import Group

__all__ = ["Held"]
SAID = {**DTYPES, "tf32": "tf32"}
"""How a `repr` says a precision: tf32 has the arrays of float32, and other products."""


class Held(Owner):
    """A backend that gives itself, held to one thing: with the same arrays, and the same numbers up to rounding.

    A pickle or a copy is a new backend with the same settings, but for its workers, which belong to a process.
    """

    def __init__(self, device: str | None = None, precision: str = "f32") -> None:
        super().__init__(device, precision)
        self.path: Path | None = None
        self.recomputes: bool = False
        self.every: int | None = None
        self.chunk: int | None = None
        self.workers: Any = None
        """What `across` was given."""
        self.group: Group | None = None
        """The workers that this backend shares its losses with; None for a backend alone."""
        self.held: dict[Any, Self] = {}

    def __repr__(self) -> str:
        named = f"{self.name or type(self).__name__} {self.version}".rstrip()
        held = f", held to {self.path.value}" if self.path else ""
        again = ", recomputing" if self.recomputes else ""
        worker = f", worker {self.group.rank} of {self.group.size}" if self.group else ""
        return f"<rnnspec backend {named}, {SAID[self.precision]}, {self.device}{held}{again}{worker}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.group is not None:
            raise UnsupportedError(f"pickle of {self.name}.across(group)", "a pickled backend must have no workers",
                                   f"worker {self.group.rank} of {self.group.size}",
                                   "pickle the backend without them, and call across(group) there")  # fmt: skip
        found = opener(type(self), self.name, self.device, self.precision)
        return reopened, (found, self.device, self.precision, self.path, self.recomputes, self.every,
                          self.chunk)  # fmt: skip

    def make_group(self, workers: Any) -> Group:
        """The group of what `across` is given; a backend overrides it for what its framework calls a group."""
        if isinstance(workers, Group):
            return workers
        raise ArgumentError(f"{self.name}.across(workers)", "workers must be a group that the backend knows",
                            type(workers).__name__, "give an rnnspec.Group")  # fmt: skip

    def through(self, path: Path) -> Self:
        """This backend, restricted to one path.

        Raises UnsupportedError where the backend does not declare the path; so does a call of a layer that cannot run
        on it, with the reason.
        """
        if path not in self.capabilities.paths:
            raise UnsupportedError(f"{self.name}.through({shown(path)})", "path must be one that the backend declares",
                                   shown(path), "choose one of its capabilities.paths")  # fmt: skip
        return self._held(path, self.recomputes, self.every, self.chunk, self.workers)

    def recomputing(self, every: int | None = None) -> Self:
        """This backend, with recomputation: it keeps the states of every `every`-th step, and runs the others again.

        None keeps about the square root of all steps. It takes less memory and about a third more time. Numbers differ
        only by the order in which the parameters' gradients are added up. Raises ArgumentError where `every` is no
        number of steps, and UnsupportedError with `Path.FRAMEWORK`.
        """
        if every is not None and (type(every) is not int or every < 1):
            raise ArgumentError(f"{self.name}.recomputing(every)", "every must be a number of steps, or None",
                                shown(every), "give 1 or more")  # fmt: skip
        return self._held(self.path, True, every, self.chunk, self.workers)

    def chunking(self, chunk: int) -> Self:
        """This backend, with chunks of so many steps where it runs in parallel over time.

        Numbers differ only by the order of sums and products. Raises ArgumentError where `chunk` is no power of 2.
        """
        if type(chunk) is not int or chunk < 1 or chunk & (chunk - 1):
            raise ArgumentError(f"{self.name}.chunking(chunk)", "chunk must be a power of 2", shown(chunk),
                                "give 32, 64 or 128")  # fmt: skip
        return self._held(self.path, self.recomputes, self.every, chunk, self.workers)

    def across(self, workers: Any) -> Self:
        """This backend as one of several workers, each of which calls it with rows of its own, also with none.

        `value_and_grad` and `train_step` then return the loss, the count and the gradients of parameters of all rows,
        with the same bits on every worker; states, and gradients of inputs and states, are those of the worker's own
        rows. `key` is that of the whole batch: a worker's rows follow those of lower ranks. Other calls are as before.
        `workers` is what the framework calls a group, or a Group; `group` of the result has its rank and size. Every
        worker must make the same calls in the same order. Raises ArgumentError where `workers` is no group.
        """
        if workers is None:  # as a framework's group is before it is initialised
            self.make_group(workers)
        return self._held(self.path, self.recomputes, self.every, self.chunk, workers)

    @property
    def alone(self) -> Self:
        """This backend without workers."""
        return self._held(self.path, self.recomputes, self.every, self.chunk, None)

    def _held(self, path: Path | None, recomputes: bool, every: int | None, chunk: int | None, workers: Any) -> Self:
        if path is Path.FRAMEWORK and recomputes:
            raise UnsupportedError(f"{self.name}.recomputing(every)", "recomputation needs the derived adjoint",
                                   str(path), "leave out through(Path.FRAMEWORK)")  # fmt: skip
        own = (self.path, self.recomputes, self.every, self.chunk, _known(self.workers))
        self.held.setdefault(own, self)
        key = (path, recomputes, every, chunk, _known(workers))
        if key not in self.held:
            group = None if workers is None else self.make_group(workers)
            made = type(self)(self.device, self.precision)
            made.path, made.recomputes, made.every, made.chunk = key[:-1]
            made.workers, made.group, made.held = workers, group, self.held
            self.held[key] = made
        return self.held[key]


def _known(workers: Any) -> Any:
    """What one tells workers by: themselves, or which object they are where they have no hash, as communicators."""
    return workers if isinstance(workers, Hashable) else id(workers)
