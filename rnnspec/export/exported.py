"""What an export gives: files that stand side by side, and what there is to say of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rnnspec.errors import ArgumentError
from rnnspec.storage import write_whole

__all__ = ["Difference", "Exported"]


@dataclass(frozen=True)
class Difference:
    """The largest difference in an output over drawn inputs, and the largest output."""

    largest: float
    output: float


@dataclass(frozen=True)
class Exported:
    """The files of an exported network, by their endings, and the notes on them.

    The first file is the one that is named; the others stand beside it, with its stem. `error` is what
    8-bit weights change in the outputs, and None where weights are not rounded.
    """

    files: Mapping[str, bytes]
    notes: tuple[str, ...] = ()
    error: Difference | None = None

    @property
    def main(self) -> bytes:
        """The file that is named."""
        return next(iter(self.files.values()))

    def save(self, path: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Write the files, each whole or not at all, and return their paths; the named one is written last.

        Raises ArgumentError where the path has another ending.
        """
        target, (main, *beside) = Path(path), self.files
        if target.suffix != main:
            raise ArgumentError(f"save({os.fspath(path)!r})", f"the name must end in {main}", repr(target.name),
                                f"write {target.stem}{main}")  # fmt: skip
        for ending in (*beside, main):
            write_whole(target.with_suffix(ending), self.files[ending])
        return tuple(target.with_suffix(ending) for ending in self.files)
