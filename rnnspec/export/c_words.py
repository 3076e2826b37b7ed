"""The words of C: identifiers, numbers and functions of one precision, and the helpers that a header has for them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from string import Template

__all__ = ["HELPERS", "Words"]

KEYWORDS = frozenset((
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern", "float",
    "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return", "short", "signed", "sizeof",
    "static", "struct", "switch", "typedef", "union", "unsigned", "void", "volatile", "while",
))  # fmt: skip
LIBM = ("tanh", "exp", "log", "sqrt", "cos", "sin", "erf")
"""The primitives that libm has; the others are helpers of the header, also tanh of floats, which takes libm long."""
NAMES = frozenset(name + suffix for name in (*LIBM, "fabs", "fmod", "log1p", "fmax") for suffix in ("", "f"))


@dataclass(frozen=True)
class Words:
    """The words of a header with a prefix, in f32 or f64."""

    prefix: str
    precision: str

    @property
    def real(self) -> str:
        """The type of numbers."""
        return {"f32": "float", "f64": "double"}[self.precision]

    @property
    def suffix(self) -> str:
        """What libm's names and numbers of the type end in."""
        return {"f32": "f", "f64": ""}[self.precision]

    def number(self, value: float) -> str:
        """A number, exact in the precision."""
        if math.isnan(value):
            return "NAN"
        if math.isinf(value):
            return "INFINITY" if value > 0 else "-INFINITY"
        text = f"{value:.{9 if self.suffix else 17}g}"
        return f"{text}{'' if '.' in text or 'e' in text else '.0'}{self.suffix}"

    def is_helper(self, op: str) -> bool:
        """Whether the function of a primitive is one of the header's own."""
        return op not in LIBM or (op == "tanh" and self.precision == "f32")

    def function(self, op: str) -> str:
        """The function of a primitive."""
        return f"{self.prefix}_{op}" if self.is_helper(op) else f"{op}{self.suffix}"

    def identifier(self, wanted: str, taken: set[str]) -> str:
        """A name like the wanted one, in letters of C, that is no word of C and not taken."""
        name = "".join(letter if letter.isascii() else f"u{ord(letter):x}" for letter in wanted)
        while name in taken or name in KEYWORDS or name in NAMES:
            name += "_"
        return name

    def member(self, *parts: str) -> str:
        """The name of a member of a struct, such as layer0_h."""
        return self.identifier("_".join(part for part in parts if part), set())

    def helper(self, name: str) -> str:
        """The definition of a helper."""
        return HELPERS[name].substitute(prefix=self.prefix, real=self.real, f=self.suffix, zero=self.number(0.0),
                                        one=self.number(1.0))  # fmt: skip


HELPERS = {
    "tanh": Template("""
/* The hyperbolic tangent, to 2.5 units in the last place: a polynomial near 0, where 1 - 2 / (exp(2 a) + 1) cancels. */
static float ${prefix}_tanh(float a)
{
    const float size = fabsf(a), q = a * a;
    if (size < 0.625f)
        return a + a * q * (-0.33333284f + q * (0.13331491f + q * (-0.0537435f + q * (0.020650588f
                                                                                     - 0.0057170466f * q))));
    const float t = 1.0f - 2.0f / (expf(2.0f * size) + 1.0f);
    return a < 0.0f ? -t : t;
}
"""),
    "sigmoid": Template("""
/* 1 / (1 + exp(-a)), without overflow. */
static $real ${prefix}_sigmoid($real a)
{
    const $real e = exp$f(-fabs$f(a));
    return (a >= $zero ? $one : e) / ($one + e);
}
"""),
    "relu": Template("""
/* a where it is positive, else 0; NaN stays NaN. */
static $real ${prefix}_relu($real a)
{
    return a <= $zero ? $zero : a;
}
"""),
    "softplus": Template("""
/* log(1 + exp(a)), without overflow. */
static $real ${prefix}_softplus($real a)
{
    return (a <= $zero ? $zero : a) + log1p$f(exp$f(-fabs$f(a)));
}
"""),
    "maximum": Template("""
/* The larger of two, NaN where one of them is. */
static $real ${prefix}_maximum($real a, $real b)
{
    return a >= b || a != a ? a : b;
}
"""),
    "minimum": Template("""
/* The smaller of two, NaN where one of them is. */
static $real ${prefix}_minimum($real a, $real b)
{
    return a <= b || a != a ? a : b;
}
"""),
    "remainder": Template("""
/* a minus the largest multiple of b up to a, for b > 0. */
static $real ${prefix}_remainder($real a, $real b)
{
    const $real r = fmod$f(a, b);
    return r < $zero ? r + b : r;
}
"""),
    "affine": Template("""
/* z = map v + bias. The map lies column by column, so that the inner loop adds up all rows at once. */
static void ${prefix}_affine(const $real *restrict map, const $real *restrict bias, int in, int out,
                             const $real *restrict v, $real *restrict z)
{
    int i, j = 0;
    for (i = 0; i < out; i++)
        z[i] = bias ? bias[i] : $zero;
    for (; j + 4 <= in; j += 4, map += 4 * (size_t)out) {
        const $real *const second = map + out, *const third = second + out, *const fourth = third + out;
        for (i = 0; i < out; i++)
            z[i] += map[i] * v[j] + second[i] * v[j + 1] + third[i] * v[j + 2] + fourth[i] * v[j + 3];
    }
    for (; j < in; j++, map += out)
        for (i = 0; i < out; i++)
            z[i] += map[i] * v[j];
}
"""),
    "affine8": Template("""
/* z = scale (map v) + bias, where the map has 8 bits and each row a scale. */
static void ${prefix}_affine8(const signed char *restrict map, const $real *restrict scale,
                              const $real *restrict bias, int in, int out, const $real *restrict v, $real *restrict z)
{
    int i, j = 0;
    for (i = 0; i < out; i++)
        z[i] = $zero;
    for (; j + 4 <= in; j += 4, map += 4 * (size_t)out) {
        const signed char *const second = map + out, *const third = second + out, *const fourth = third + out;
        for (i = 0; i < out; i++)
            z[i] += map[i] * v[j] + second[i] * v[j + 1] + third[i] * v[j + 2] + fourth[i] * v[j + 3];
    }
    for (; j < in; j++, map += out)
        for (i = 0; i < out; i++)
            z[i] += map[i] * v[j];
    for (i = 0; i < out; i++)
        z[i] = scale[i] * z[i] + (bias ? bias[i] : $zero);
}
"""),
    "add": Template("""
/* y = y + x. */
static void ${prefix}_add(int width, const $real *restrict x, $real *restrict y)
{
    for (int i = 0; i < width; i++)
        y[i] += x[i];
}
"""),
    "rows": Template("""
/* z = matrix v + bias, for a matrix that lies row by row. */
static void ${prefix}_rows(const $real *restrict matrix, const $real *restrict bias, int in, int out,
                           const $real *restrict v, $real *restrict z)
{
    for (int i = 0; i < out; i++, matrix += in) {
        $real sums[4] = {$zero, $zero, $zero, $zero};
        for (int j = 0; j < in; j++)
            sums[j % 4] += matrix[j] * v[j];
        z[i] = (sums[0] + sums[1]) + (sums[2] + sums[3]) + bias[i];
    }
}
"""),
    "rows8": Template("""
/* z = scale (matrix v) + bias, for a matrix of 8 bits that lies row by row. */
static void ${prefix}_rows8(const signed char *restrict matrix, const $real *restrict scale,
                            const $real *restrict bias, int in, int out, const $real *restrict v, $real *restrict z)
{
    for (int i = 0; i < out; i++, matrix += in) {
        $real sums[4] = {$zero, $zero, $zero, $zero};
        for (int j = 0; j < in; j++)
            sums[j % 4] += matrix[j] * v[j];
        z[i] = scale[i] * ((sums[0] + sums[1]) + (sums[2] + sums[3])) + bias[i];
    }
}
"""),
    "look": Template("""
/* The row of a class. */
static void ${prefix}_look(int class_number, int width, $real *restrict y)
{
    for (int i = 0; i < width; i++)
        y[i] = ${prefix}_weights.embedding_E[class_number * width + i];
}
"""),
    "look8": Template("""
/* The row of a class, which has 8 bits and a scale. */
static void ${prefix}_look8(int class_number, int width, $real *restrict y)
{
    const signed char *const row = ${prefix}_weights.embedding_E + class_number * width;
    for (int i = 0; i < width; i++)
        y[i] = row[i] * ${prefix}_weights.embedding_E_scale[class_number];
}
"""),
    "turned": Template("""
/* z = map' v, for some rows of a map whose columns are `rows` long. */
static void ${prefix}_turned(const $real *restrict map, int in, int out, int rows, const $real *restrict v,
                             $real *restrict z)
{
    for (int j = 0; j < in; j++, map += rows) {
        z[j] = $zero;
        for (int i = 0; i < out; i++)
            z[j] += map[i] * v[i];
    }
}
"""),
    "turned8": Template("""
/* z = map' (scale v), for some rows of a map of 8 bits whose columns are `rows` long. */
static void ${prefix}_turned8(const signed char *restrict map, const $real *restrict scale, int in, int out, int rows,
                              const $real *restrict v, $real *restrict z)
{
    for (int j = 0; j < in; j++, map += rows) {
        z[j] = $zero;
        for (int i = 0; i < out; i++)
            z[j] += map[i] * (scale[i] * v[i]);
    }
}
"""),
}
