"""The closed list of what equations are written with, and the operators that read like the book.

A primitive does not compute: it asks its operand what it means. A symbolic vector answers with a node of a graph, the
oracle of the conformance suite with numbers.

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

__all__ = [
    "PRIMITIVES",
    "Expression",
    "Operand",
    "Primitive",
    "exp",
    "log",
    "logsumexp",
    "maximum",
    "minimum",
    "relu",
    "remainder",
    "sigmoid",
    "softplus",
    "sqrt",
    "tanh",
    "total",
    "total_in",
    "total_out",
    "where",
]


@dataclass(frozen=True)
class Primitive:
    """One function of the closed list: how many operands it takes, and what it says."""

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
    "maximum": Primitive(2, "the larger; where equal, the derivative is that of a"),
    "minimum": Primitive(2, "the smaller; where equal, the derivative is that of a"),
    "remainder": Primitive(2, "what is left of a after whole multiples of b > 0; differentiable between the jumps"),
    "greater": Primitive(2, "a > b, a condition for where"),
    "greater_equal": Primitive(2, "a >= b, a condition for where"),
    "where": Primitive(3, "b where the condition a holds, else c"),
    "total": Primitive(1, "the sum over features (of a whole map, in a policy)"),
    "logsumexp": Primitive(1, "log of the sum over features of exp(a), without overflow"),
    "spread": Primitive(2, "a, as wide as b: what the derivative of a total needs"),
}

_WHAT_CAN_BE_WRITTEN = (
    "write it with + - * /, > < >= <=, tanh, sigmoid, relu, softplus, exp, log, sqrt, maximum, minimum, remainder, "
    "where, total, logsumexp and numbers, all from rnnspec.primitives; maps are x.name, R.name(v) and p.name"
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
"""What NumPy calls an operator between two operands, and whether they are turned around."""


class Operand(Protocol):
    """What a primitive asks of its operands."""

    def apply(self, op: str, *operands: Any) -> Any:
        """The result of the primitive `op` on the operands, numbers among them."""


def refuse(call: str, got: str) -> NoReturn:
    """Raise the error that says what equations can be written with."""
    raise EquationError(call, "equations must use the primitives only", got, _WHAT_CAN_BE_WRITTEN)


@contextmanager
def reading(call: str) -> Iterator[None]:
    """Turn whatever a function of equations raises while it is read into the error that says what can be written."""
    try:
        yield
    except RnnSpecError:
        raise
    except Exception as error:
        got = f"{type(error).__name__}: {error}"
        raise EquationError(call, "equations must use the primitives only", got, _WHAT_CAN_BE_WRITTEN) from error


class Expression:
    """A value that equations are written with; `apply` says what a primitive means to it."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # an expression has no truth value, so it cannot be a key

    def apply(self, op: str, *operands: Any) -> Any:
        """What the primitive `op` is on the operands, this value among them, for values of this kind."""
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
        """NumPy asks here what `number + a` is, where the number is one of its own."""
        operands = [a.item() if getattr(a, "ndim", None) == 0 else a for a in inputs]
        if ufunc.__name__ in _OPERATORS and all(isinstance(a, Expression | Real) for a in operands):
            op, turned = _OPERATORS[ufunc.__name__]
            return self.apply(op, *(reversed(operands) if turned else operands))
        refuse(f"numpy.{ufunc.__name__}", "a NumPy function or array")

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        refuse("numpy.asarray", "a vector that has no numbers yet")

    def __matmul__(self, other: Any) -> NoReturn:
        refuse("a @ b", "a product of two vectors")

    __rmatmul__ = __matmul__

    def __pow__(self, other: Any) -> NoReturn:
        refuse("a ** b", "a power")

    __rpow__ = __pow__

    def __eq__(self, other: object) -> NoReturn:
        refuse("a == b", "a comparison of rounded numbers for equality")

    def __ne__(self, other: object) -> NoReturn:
        refuse("a != b", "a comparison of rounded numbers for equality")

    def __bool__(self) -> NoReturn:  # noqa: PLE0304  # there is none
        refuse("if a", "a Python branch on a value that has no number yet")

    def __getitem__(self, index: Any) -> NoReturn:
        refuse("a[...]", "a part of a vector")

    def __iter__(self) -> NoReturn:
        refuse("iter(a)", "a loop over the features of a vector")

    def __len__(self) -> NoReturn:  # noqa: PLE0303  # there is none
        refuse("len(a)", "the width of a vector")

    def __float__(self) -> NoReturn:
        refuse("float(a)", "a vector that has no number yet")

    def __abs__(self) -> NoReturn:
        refuse("abs(a)", "an absolute value (write maximum(a, -a))")


def _apply(op: str, *operands: Any) -> Any:
    for operand in operands:
        if isinstance(operand, Expression):
            return operand.apply(op, *operands)
    refuse(f"{op}(...)", " and ".join(type(operand).__name__ for operand in operands))


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


def maximum(a: Any, b: Any) -> Any:
    """The larger of two; where they are equal, the derivative is that of `a`."""
    return _apply("maximum", a, b)


def minimum(a: Any, b: Any) -> Any:
    """The smaller of two; where they are equal, the derivative is that of `a`."""
    return _apply("minimum", a, b)


def remainder(a: Any, b: Any) -> Any:
    """What is left of `a` after whole multiples of `b` > 0; the derivative is that between the jumps."""
    return _apply("remainder", a, b)


def where(condition: Any, a: Any, b: Any) -> Any:
    """`a` where the condition (`u > v`) holds, else `b`: a selection, so that what is not chosen touches nothing."""
    return _apply("where", condition, a, b)


def total(a: Any) -> Any:
    """The sum over features; in a policy, over the whole map."""
    return _apply("total", a)


def total_in(a: Any) -> Any:
    """In a policy: for each unit, the sum over what it reads; of a bias or vector, each element itself."""
    return _apply("total_in", a)


def total_out(a: Any) -> Any:
    """In a policy: for each thing that is read, the sum over units; of a bias or vector, its sum."""
    return _apply("total_out", a)


def logsumexp(a: Any) -> Any:
    """log of the sum over features of exp(a), without overflow."""
    return _apply("logsumexp", a)
