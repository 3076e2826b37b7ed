"""Results that the processes of one run leave for each other, since they ask their backends the same cases.

A backend may break more in its process than its own numbers, so whoever reads a result must not blame a backend for it.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TypeVar

__all__ = ["FOLDER", "SHELF", "Shelf"]

FOLDER = "RNNSPEC_SHELF"
"""The variable of the environment that names the folder, which the runner makes and removes."""
MOST = 2**26
"""The bytes of the largest result that is left: those above fill the disk, and save little time."""

T = TypeVar("T")


class Shelf:
    """Results by name in the files of a folder; without a folder nothing is left, and nothing found.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Shelf(folder).get(lambda: "sum", lambda: 1 + 2), Shelf(folder).get(lambda: "sum", lambda: 0)
    ((3, False), (3, True))
    >>> Shelf().get(lambda: "sum", lambda: 0)
    (0, False)
    """

    def __init__(self, folder: str = "") -> None:
        self._folder = Path(folder) if folder else None

    def get(self, name: Callable[[], str], make: Callable[[], T]) -> tuple[T, bool]:
        """A result, and whether it was found; the name must tell it from any other result of the run."""
        if self._folder is None:
            return make(), False
        file = self._folder / sha256(name().encode()).hexdigest()
        if file.exists():
            return pickle.loads(file.read_bytes()), True
        made = make()
        self._leave(file, pickle.dumps(made, pickle.HIGHEST_PROTOCOL))
        return made, False

    def _leave(self, file: Path, written: bytes) -> None:
        """Write a file whole, or not at all, as on a full disk: another process may read it at any time."""
        if len(written) > MOST:
            return
        with suppress(OSError):
            with NamedTemporaryFile(dir=self._folder, delete=False) as part:
                part.write(written)
            Path(part.name).replace(file)


SHELF = Shelf(os.environ.get(FOLDER, ""))
"""That of this process."""
