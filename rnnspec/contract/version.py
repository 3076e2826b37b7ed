"""The version of the contract between rnnspec and its backends, and the check that a backend fits it.

The first number changes when a promise changes, the second when one is added. A backend fits where its first number is
the same and its second is no higher than rnnspec's.
"""

from __future__ import annotations

from rnnspec.errors import BrokenBackend, IncompatibleBackend

__all__ = ["SPEC_VERSION", "fitting"]

SPEC_VERSION = "1.0"
"""The version of the contract in this rnnspec."""


def fitting(call: str, owner: str, version: object) -> None:
    """Check the `spec_version` of a backend of the distribution `owner`.

    Raises IncompatibleBackend, which says which distribution to upgrade, or BrokenBackend where it is no version.
    """
    theirs, ours = _numbers(version), _numbers(SPEC_VERSION)
    if theirs is None or ours is None:
        raise BrokenBackend(call, f"the backend of {owner} must have the spec_version that it was written for",
                            repr(version)[:40], f"write a version such as {SPEC_VERSION!r}")  # fmt: skip
    if theirs[0] != ours[0] or theirs[1] > ours[1]:
        behind = owner.partition(" ")[0] if theirs < ours else "rnnspec"
        raise IncompatibleBackend(call, f"the backend of {owner} must fit version {SPEC_VERSION} of the contract",
                                  f"one for {version}", f"upgrade {behind}: pip install -U {behind}")  # fmt: skip


def _numbers(version: object) -> tuple[int, int] | None:
    major, dot, minor = version.partition(".") if isinstance(version, str) else ("", "", "")
    whole = all(part.isascii() and part.isdecimal() and len(part) < 5 for part in (major, minor))
    return (int(major), int(minor)) if dot and whole else None
