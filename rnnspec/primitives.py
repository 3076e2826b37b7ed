"""The primitives: the closed list of functions and operators that equations are written with.

A primitive does not compute. It calls `apply` of its operand: a symbolic vector returns a node of a graph, and the
oracle of the conformance suite returns numbers.

>>> from rnnspec.primitives import PRIMITIVES
>>> PRIMITIVES["sigmoid"]
Primitive(operands=1, says='1 / (1 + exp(-a))')
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import Any, NoReturn, Protocol

from rnnspec.errors import EquationError, RnnSpecError
from rnnspec.showing import nearest, shown

__all__ = [
    "PRIMITIVES",
    "Expression",
    "Operand",
    "Primitive",
    "cos",
    "erf",
    "exp",
    "log",
    "logsumexp",
    "maximum",
    "mean",
    "minimum",
    "number",
    "outer",
    "relu",
    "remainder",
    "sigmoid",
    "sin",
    "softplus",
    "sqrt",
    "stop",
    "tanh",
    "total",
    "total_in",
    "total_out",
    "where",
    "width",
]


@dataclass(frozen=True)
class Primitive:
    """One function of the closed list: the number of its operands, and its meaning in words."""

    operands: int
    says: str


PRIMITIVES = {
    "add": Primitive(2, "a + b"),
    "subtract": Primitive(2, "a - b"),
    "multiply": Primitive(2, "a * b"),
    "divide": Primitive(2, "a / b"),
    "negate": Primitive(1, "-a"),
    "tanh": Primitive(1, "the hyperbolic tangent"),
    "sigmoid": Primitive(1, "1 / (1 + exp(-a))"),
    "relu": Primitive(1, "a where a > 0, else 0; its derivative at 0 is 0"),
    "softplus": Primitive(1, "log(1 + exp(a)), without overflow"),
    "exp": Primitive(1, "e to the power a"),
    "log": Primitive(1, "the natural logarithm"),
    "sqrt": Primitive(1, "the square root"),
    "cos": Primitive(1, "the cosine"),
    "sin": Primitive(1, "the sine"),
    "erf": Primitive(1, "the error function: 2 / sqrt(pi) times the integral of exp(-t * t) from 0 to a"),
    "stop": Primitive(1, "a; no gradient passes through it"),
    "maximum": Primitive(2, "the larger; where equal, the derivative is that of a"),
    "minimum": Primitive(2, "the smaller; where equal, the derivative is that of a"),
    "remainder": Primitive(2, "a minus the largest multiple of b up to a, for b > 0; differentiable between the jumps"),
    "greater": Primitive(2, "a > b, a condition for where"),
    "greater_equal": Primitive(2, "a >= b, a condition for where"),
    "where": Primitive(3, "b where the condition a holds, else c"),
    "total": Primitive(1, "the sum over features; in a policy, over all entries of a map"),
    "logsumexp": Primitive(1, "log of the sum over features of exp(a), without overflow"),
    "number": Primitive(1, "a, which has one feature, as a number"),
    "outer": Primitive(2, "the matrix of all products a_i b_j; a number has one row or column"),
    "matmul": Primitive(2, "S @ b, the sums of S_ij b_j over j, or a @ S, those of a_i S_ij over i, for a matrix S"),
    "width": Primitive(1, "the number of features; in a policy, of entries of a map"),
    "spread": Primitive(2, "a repeated to the width of b, for the derivative of a total"),
}

_MUST = "equations must use the primitives only"
_WHAT_CAN_BE_WRITTEN = (
    "write it with + - * / @, > < >= <=, tanh, sigmoid, relu, softplus, exp, log, sqrt, cos, sin, erf, maximum, "
    "minimum, remainder, where, total, mean, width, logsumexp, number, outer, stop and numbers, all from "
    "rnnspec.primitives; maps are x.name, R.name(v), R.name.T(v) and p.name, and x is the input itself"
)


_OPERATORS = {
    "add": ("add", False),
    "subtract": ("subtract", False),
    "multiply": ("multiply", False),
    "divide": ("divide", False),
    "greater": ("greater", False),
    "greater_equal": ("greater_equal", False),
    "less": ("greater", True),
    "less_equal": ("greater_equal", True),
}
"""The primitive of each NumPy function of two operands, and whether the operands change places."""


class Operand(Protocol):
    """The protocol of a primitive's operands."""

    def apply(self, op: str, *operands: Any) -> Any:
        """The result of the primitive `op` on the operands, some of which may be numbers."""


def refuse(call: str, got: str, must: str = _MUST, do: str = _WHAT_CAN_BE_WRITTEN) -> NoReturn:
    """Raise the EquationError of a call; by default it lists what equations can be written with."""
    raise EquationError(call, must, got, do)


@contextmanager
def reading(call: str) -> Iterator[None]:
    """Raise an EquationError for any other error of a function of equations, which says what can be written."""
    try:
        yield
    except RnnSpecError:
        raise
    except Exception as error:
        raise EquationError(call, _MUST, *_explained(error)) from error


def _explained(error: Exception) -> tuple[str, str]:
    """The evidence of a Python error in equations, and what to write."""
    if isinstance(error, NameError) and error.name:
        meant = nearest(error.name, (name for name in __all__ if name.islower()))
        do = f"write {meant}, and import it from rnnspec.primitives" if meant else _WHAT_CAN_BE_WRITTEN
        return f"the name {error.name}, which is not defined", do
    if isinstance(error, AttributeError) and isinstance(error.obj, Expression):
        return f"the attribute {error.name} of a vector", "write x.name, R.name(v) or p.name, with x, R, p as arguments"
    return f"{type(error).__name__}: {error}", _WHAT_CAN_BE_WRITTEN


class Expression:
    """A value in equations; its `apply` gives the primitives their meaning."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # an expression has no truth value, so it cannot be a key

    def apply(self, op: str, *operands: Any) -> Any:
        """The result of the primitive `op` on the operands, of which this value is one."""
        raise NotImplementedError

    def __add__(self, other: Any) -> Any:
        return self.apply("add", self, other)

    def __radd__(self, other: Any) -> Any:
        return self.apply("add", other, self)

    def __sub__(self, other: Any) -> Any:
        return self.apply("subtract", self, other)

    def __rsub__(self, other: Any) -> Any:
        return self.apply("subtract", other, self)

    def __mul__(self, other: Any) -> Any:
        return self.apply("multiply", self, other)

    def __rmul__(self, other: Any) -> Any:
        return self.apply("multiply", other, self)

    def __truediv__(self, other: Any) -> Any:
        return self.apply("divide", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self.apply("divide", other, self)

    def __neg__(self) -> Any:
        return self.apply("negate", self)

    def __gt__(self, other: Any) -> Any:
        return self.apply("greater", self, other)

    def __lt__(self, other: Any) -> Any:
        return self.apply("greater", other, self)

    def __ge__(self, other: Any) -> Any:
        return self.apply("greater_equal", self, other)

    def __le__(self, other: Any) -> Any:
        return self.apply("greater_equal", other, self)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """NumPy calls this for `number + a` where the number is NumPy's."""
        operands = [a.item() if getattr(a, "ndim", None) == 0 else a for a in inputs]
        if ufunc.__name__ in _OPERATORS and all(isinstance(a, Expression | Real) for a in operands):
            op, turned = _OPERATORS[ufunc.__name__]
            return self.apply(op, *(reversed(operands) if turned else operands))
        refuse(f"numpy.{ufunc.__name__}", "a NumPy function or array")

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        refuse("numpy.asarray", "a vector that has no numbers yet")

    def __matmul__(self, other: Any) -> Any:
        return self.apply("matmul", self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return self.apply("matmul", other, self)

    def __pow__(self, other: Any) -> NoReturn:
        refuse("a ** b", "a power", do="write a * a, or exp(b * log(a)) where a is above 0")

    __rpow__ = __pow__

    def __eq__(self, other: object) -> NoReturn:
        refuse("a == b", "a comparison of rounded numbers for equality", do="write a > b or a >= b")

    def __ne__(self, other: object) -> NoReturn:
        refuse("a != b", "a comparison of rounded numbers for equality", do="write a > b or a >= b")

    def __bool__(self) -> NoReturn:  # noqa: PLE0304  # there is none
        refuse("bool(a)", "the truth value of a vector, which if, and, or, not, max and min ask for",
               "equations must not branch in Python: a vector has no numbers yet",
               "write where(a > b, u, v), maximum(a, b) or minimum(a, b)")  # fmt: skip

    def __getitem__(self, index: Any) -> NoReturn:
        refuse("a[...]", "a part of a vector", do="give each part a map or a state of its own")

    def __iter__(self) -> NoReturn:
        refuse("iter(a)", "a loop over the features of a vector", do="write total(a) for their sum")

    def __len__(self) -> NoReturn:  # noqa: PLE0303  # there is none
        refuse("len(a)", "the width of a vector", do="write width(a)")

    def __float__(self) -> NoReturn:
        refuse("float(a)", "a vector that has no number yet")

    def __abs__(self) -> NoReturn:
        refuse("abs(a)", "an absolute value", do="write maximum(a, -a)")


def _apply(op: str, *operands: Any) -> Any:
    for operand in operands:
        if isinstance(operand, Expression):
            return operand.apply(op, *operands)
    got, must = " and ".join(map(shown, operands)), "a primitive must be given a vector"
    if all(isinstance(operand, Real) for operand in operands):
        refuse(f"{op}(...)", f"{got} alone", must, "compute the number in Python, as with math.exp, and write it")
    refuse(f"{op}(...)", got, must)


def tanh(a: Any) -> Any:
    """The hyperbolic tangent."""
    return _apply("tanh", a)


def sigmoid(a: Any) -> Any:
    """1 / (1 + exp(-a))."""
    return _apply("sigmoid", a)


def relu(a: Any) -> Any:
    """`a` where it is positive, else 0; the derivative at 0 is 0."""
    return _apply("relu", a)


def softplus(a: Any) -> Any:
    """log(1 + exp(a)), without overflow."""
    return _apply("softplus", a)


def exp(a: Any) -> Any:
    """e to the power `a`."""
    return _apply("exp", a)


def log(a: Any) -> Any:
    """The natural logarithm."""
    return _apply("log", a)


def sqrt(a: Any) -> Any:
    """The square root."""
    return _apply("sqrt", a)


def cos(a: Any) -> Any:
    """The cosine."""
    return _apply("cos", a)


def sin(a: Any) -> Any:
    """The sine."""
    return _apply("sin", a)


def erf(a: Any) -> Any:
    """The error function: 2 / sqrt(pi) times the integral of exp(-t * t) from 0 to `a`."""
    return _apply("erf", a)


def stop(a: Any) -> Any:
    """`a`; no gradient passes through it, so that it is a constant for the derivative."""
    return _apply("stop", a)


def maximum(a: Any, b: Any) -> Any:
    """The larger of two; where they are equal, the derivative is that of `a`."""
    return _apply("maximum", a, b)


def minimum(a: Any, b: Any) -> Any:
    """The smaller of two; where they are equal, the derivative is that of `a`."""
    return _apply("minimum", a, b)


def remainder(a: Any, b: Any) -> Any:
    """`a` minus the largest multiple of `b` up to `a`, for `b` > 0; the derivative is that between the jumps."""
    return _apply("remainder", a, b)


def where(condition: Any, a: Any, b: Any) -> Any:
    """`a` where the condition, such as `u > v`, holds, else `b`; NaN in what is not chosen has no effect."""
    return _apply("where", condition, a, b)


def total(a: Any) -> Any:
    """The sum over features; in a policy, over all entries of a map."""
    return _apply("total", a)


def total_in(a: Any) -> Any:
    """In a policy: the sum over each row of a map, one for each unit; a bias or vector stays as it is."""
    return _apply("total_in", a)


def total_out(a: Any) -> Any:
    """In a policy: the sum over each column of a map, one for each input; for a bias or vector, the sum."""
    return _apply("total_out", a)


def number(a: Any) -> Any:
    """`a` as a number: a gate `number(x.i)` or a learned `number(p.k)` has one feature, for vectors of any width."""
    return _apply("number", a)


def outer(a: Any, b: Any) -> Any:
    """The matrix of all products a_i b_j; `outer(a, 1)` is the column of `a`, which fits every matrix with its rows."""
    return _apply("outer", a, b)


def width(a: Any) -> Any:
    """The number of features of `a`, as a number; in a policy, of entries of a map."""
    return _apply("width", a)


def mean(a: Any) -> Any:
    """The mean over features, `total(a) / width(a)`; in a policy, over all entries of a map."""
    return total(a) / width(a)


def logsumexp(a: Any) -> Any:
    """log of the sum over features of exp(a), without overflow."""
    return _apply("logsumexp", a)
