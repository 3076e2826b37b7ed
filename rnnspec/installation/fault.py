"""One thing that is wrong with an installation, with what mends it.

>>> from rnnspec.errors import BackendConflict
>>> error = BackendConflict("get_backend('twin')", "one distribution must offer it", "two", "keep one: pip uninstall b")
>>> Fault.of(error).command
'pip uninstall b'
"""

from __future__ import annotations

from dataclasses import dataclass

from rnnspec.errors import RnnSpecError

__all__ = ["Fault"]

COMMAND = "pip "
"""How a command begins, at the end of what to do."""


@dataclass(frozen=True)
class Fault:
    """What must hold and does not, and what to do; `command` does it, and is "" where none can be known.

    `kind` is the class of the error that a caller would get, `about` the call.
    """

    kind: str
    about: str
    says: str
    do: str
    command: str = ""

    @staticmethod
    def of(error: RnnSpecError) -> Fault:
        """The fault that an error tells of."""
        _, begins, rest = error.do.partition(COMMAND)
        return Fault(type(error).__name__, error.call, f"{error.must}, got {error.got}", error.do, begins + rest)
