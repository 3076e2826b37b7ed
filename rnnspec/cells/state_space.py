"""State space models: a linear system, whose steps a learned or an input's time scale sets."""

from rnnspec.primitives import cos, exp, number, outer, sin, softplus
from rnnspec.tracing.cell import cell, out


@cell
def lru(x, R, p, re, im):
    """Orvieto et al. (2023), sections 3.3 and 3.4, the linear recurrent unit: a diagonal of complex numbers.

    The complex state is two real ones. Each entry turns by exp(p.theta) and shrinks by exp(-exp(p.nu)) in a step. The
    paper starts p.gamma as the log of sqrt(1 - size^2), and then learns it.
    """
    size, turn, scale = exp(-exp(p.nu)), exp(p.theta), exp(p.gamma)
    a, b = size * cos(turn), size * sin(turn)
    re, im = a * re - b * im + scale * R.B_re(x), b * re + a * im + scale * R.B_im(x)
    return out(R.C_re(re) - R.C_im(im) + p.D * x), re, im


@cell
def s5(x, R, p, re, im):
    """Smith, Warrington and Linderman (2023), section 3, S5: a diagonal system, discretised by zero-order hold.

    p.re and p.im are the eigenvalues, exp(p.dt) the time scales. One of each pair of conjugates is a state, so the
    output takes twice the real part, as in the authors' code; the paper's equations have all of them, and the factor 1.
    """
    dt, norm = exp(p.dt), p.re * p.re + p.im * p.im
    a, b = exp(dt * p.re) * cos(dt * p.im), exp(dt * p.re) * sin(dt * p.im)
    g, k = ((a - 1) * p.re + b * p.im) / norm, (b * p.re - (a - 1) * p.im) / norm
    u, v = R.B_re(x), R.B_im(x)
    re, im = a * re - b * im + g * u - k * v, b * re + a * im + k * u + g * v
    return out(2 * (R.C_re(re) - R.C_im(im)) + p.D * x), re, im


@cell
def s4d(x, p, re, im):
    """Gu, Gupta, Goel and Ré (2022), section 3, S4D: a diagonal system for each feature, by zero-order hold.

    B is 1, as in the authors' short code, where zero-order hold scales C; here it scales the input, so states differ
    and outputs do not. Their longer code also offers bilinear discretisation.
    """
    dt, r, w = outer(exp(p.dt), 1), -exp(p.re), p.im
    a, b, norm = exp(dt * r) * cos(dt * w), exp(dt * r) * sin(dt * w), r * r + w * w
    g, k = ((a - 1) * r + b * w) / norm, (b * r - (a - 1) * w) / norm
    re, im = a * re - b * im + g * outer(x, 1), b * re + a * im + k * outer(x, 1)
    return out(2 * ((p.C_re * re - p.C_im * im) @ 1) + p.D * x), re, im


@cell
def mamba(x, p, S):
    """Gu and Dao (2023), section 3.2, the selective system S6: the input sets the time scales, B and C.

    The convolution before it and the gate after it stand outside. Zero-order hold is for A alone and B is multiplied by
    the time scale, as in the authors' code; the paper's equation 4 has zero-order hold for both. x.dt is one whole map,
    which the authors' code has as a product of two; their B and C have no bias.
    """
    dt = softplus(x.dt)
    S = exp(outer(dt, 1) * -exp(p.A)) * S + outer(dt * x, x.B)
    return out(S @ x.C + p.D * x), S


@cell
def mamba2(x, p, S):
    """Dao and Gu (2024), section 7, the recurrence of Mamba-2: A, D and the time scale are one number for each head.

    x.v is the paper's X. The convolution before and the gated norm after stand outside. Heads that share B and C are
    `shared=("x.B", "x.C")`.
    """
    dt = softplus(number(x.dt))
    S = exp(-dt * exp(number(p.A))) * S + outer(dt * x.v, x.B)
    return out(S @ x.C + number(p.D) * x.v), S
