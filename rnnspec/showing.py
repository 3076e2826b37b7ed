"""What an error message shows: a value, short and without failing itself; the names to choose from; the nearest one.

>>> shown([1, 2]), len(shown(list(range(10_000))))
('[1, 2]', 300)
>>> choice("trch", ("numpy", "torch"))
"did you mean 'torch'? Choose one of numpy, torch"
>>> choice("mxnet", ("numpy", "torch"))
'choose one of numpy, torch'
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["choice", "guided", "missing", "nearest", "shown"]

LONGEST = 300
"""Characters of a value."""

LONGEST_NAME = 60
"""Characters of a name that may be a misspelt one."""

LIKE = 0.6
"""From which share of equal characters on a name may be a misspelt one: that of `difflib.get_close_matches`."""


def shown(value: object) -> str:
    """The `repr` of a value, cut to `LONGEST`; only its type where `repr` fails."""
    try:
        text = repr(value)
    except Exception:  # an error of __repr__ must not hide the error that is being raised
        return f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def nearest(given: str, known: Iterable[str]) -> str | None:
    """The known name that `given` most nearly is, whatever its capitals, or None; of equals the first.

    The last part of a dotted name is what counts.
    """
    from difflib import SequenceMatcher  # noqa: PLC0415  # only errors need it

    def likeness(name: str) -> float:
        return SequenceMatcher(None, name.rpartition(".")[2].casefold(), given.casefold()).ratio()

    best = max(known, key=likeness, default="") if len(given) <= LONGEST_NAME else ""
    return best if best and likeness(best) >= LIKE else None


def guided(given: str, known: Iterable[str], do: str) -> str:
    """What to do about a name that is not among the known ones, with the one that was meant in front of it."""
    meant = nearest(given, known)
    return f"did you mean {meant!r}? {do[0].upper()}{do[1:]}" if meant else do


def choice(given: str, known: Iterable[str]) -> str:
    """As `guided`, where all known names are to be listed."""
    known = tuple(known)
    return guided(given, known, f"choose one of {', '.join(known)}")


def missing(module: str, name: str, known: Iterable[str]) -> AttributeError:
    """Python's own error for a name that a module lacks, with the one that was meant.

    It holds no object, or a traceback would add Python's own guess.
    """
    meant = None if name.startswith("_") else nearest(name, known)
    guess = f". Did you mean: {meant!r}?" if meant else ""
    return AttributeError(f"module {module!r} has no attribute {name!r}{guess}", name=name)
