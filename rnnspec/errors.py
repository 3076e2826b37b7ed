"""rnnspec's own errors: every error that a caller can cause, in one tree.

    RnnSpecError
    |- EquationError        (TypeError)     a cell, loss or policy is not written in the primitives
    |- NetworkError         (ValueError)    a network, layer or rule is declared inconsistently
    |- ArgumentError        (TypeError)     an argument is of the wrong kind: not an array, not a tree
    |  |- DtypeError                        an array holds the wrong kind of numbers
    |  `- DeviceError                       an array lives on another device
    |- ShapeError           (ValueError)    an array has the wrong rank or size
    |- TreeError            (ValueError)    a tree of parameters or states has other names than declared
    |- LengthsError         (ValueError)    lengths are outside 0..time
    |- TargetError          (ValueError)    a target at a real step is not valid
    |- InputError           (ValueError)    a class number at a real step is none of the embedding's
    |- NonFiniteError       (ArithmeticError)  a gradient is not finite, and the rule is to raise
    |- FileFormatError      (ValueError)    a file holds no network of rnnspec, or numbers that are not finite
    |- UnsupportedError     (NotImplementedError)  a backend, or a conversion, lacks what the call needs
    |- WorkerError          (RuntimeError)  another of the workers that share a call failed, or does not answer
    `- BackendError         (RuntimeError)  a backend is missing, in conflict, or broken
       |- UnknownBackend    (LookupError)   no installed distribution offers the name
       |- BackendUnavailable                its framework is not installed
       |- BackendConflict                   two distributions offer one name
       |- IncompatibleBackend               it was written for another version of the contract
       `- BrokenBackend                     its code raised, or returned what no backend returns

Every message reads `<call>: <what must hold>, got <evidence>; <what to do>`.
"""

from __future__ import annotations

__all__ = [
    "ArgumentError",
    "BackendConflict",
    "BackendError",
    "BackendUnavailable",
    "BrokenBackend",
    "DeviceError",
    "DtypeError",
    "EquationError",
    "FileFormatError",
    "IncompatibleBackend",
    "InputError",
    "LengthsError",
    "NetworkError",
    "NonFiniteError",
    "RnnSpecError",
    "ShapeError",
    "TargetError",
    "TreeError",
    "UnknownBackend",
    "UnsupportedError",
    "WorkerError",
]


class RnnSpecError(Exception):
    """The base class of rnnspec's own errors: what must hold, the evidence, and what to do."""

    def __init__(self, call: str, must: str, got: str, do: str) -> None:
        super().__init__(f"{call}: {must}, got {got}; {do}")
        self.call, self.must, self.got, self.do = call, must, got, do

    def __reduce__(self) -> tuple[type[RnnSpecError], tuple[str, str, str, str]]:
        return type(self), (self.call, self.must, self.got, self.do)


class EquationError(RnnSpecError, TypeError):
    """A cell, loss or policy is not written in the primitives."""


class NetworkError(RnnSpecError, ValueError):
    """A network, layer or rule is declared inconsistently."""


class ArgumentError(RnnSpecError, TypeError):
    """An argument is of the wrong kind."""


class DtypeError(ArgumentError):
    """An array holds the wrong kind of numbers."""


class DeviceError(ArgumentError):
    """An array lives on another device than the backend."""


class ShapeError(RnnSpecError, ValueError):
    """An array has the wrong rank or size."""


class TreeError(RnnSpecError, ValueError):
    """A tree of parameters or states has other names than the network declares."""


class LengthsError(RnnSpecError, ValueError):
    """Lengths are outside 0..time."""


class TargetError(RnnSpecError, ValueError):
    """A target at a real step is not valid."""


class InputError(RnnSpecError, ValueError):
    """A class number at a real step is none of the embedding's classes."""


class NonFiniteError(RnnSpecError, ArithmeticError):
    """A gradient is not finite, and the rule is `RaiseNonFinite`."""


class FileFormatError(RnnSpecError, ValueError):
    """A file holds no network of rnnspec, or numbers that are not finite."""


class UnsupportedError(RnnSpecError, NotImplementedError):
    """A backend, or a conversion, lacks what the call needs."""


class WorkerError(RnnSpecError, RuntimeError):
    """Another of the workers that share a call failed, does not answer, or has other numbers."""


class BackendError(RnnSpecError, RuntimeError):
    """A backend is missing, in conflict, or broken."""


class UnknownBackend(BackendError, LookupError):
    """No installed distribution offers a backend of that name."""


class BackendUnavailable(BackendError):
    """The framework of a backend is not installed."""


class BackendConflict(BackendError):
    """Two distributions offer a backend of the same name."""


class IncompatibleBackend(BackendError):
    """A backend was written for another version of the contract; the message says which distribution to upgrade."""


class BrokenBackend(BackendError):
    """The code of a backend raised an error, or returned what no backend returns."""
