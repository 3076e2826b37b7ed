"""The delta rule: what a matrix has under a key is replaced by the new value, and not added to."""

from rnnspec.primitives import exp, number, outer, sigmoid, softplus, sqrt, total
from rnnspec.tracing.cell import cell, out


@cell
def deltanet(x, S, *, epsilon=1e-6):
    """Schlag, Irie and Schmidhuber (2021), section 4.2, with keys and queries of norm 1 as in Yang et al. (2024b).

    The first paper divides keys and queries by their sums instead. epsilon is that of the second authors' code, and 0
    in both papers; convolution and SiLU stand before the cell, and so does their code's division of queries by sqrt(d).
    """
    b = sigmoid(number(x.b))
    q, k = x.q / sqrt(total(x.q * x.q) + epsilon), x.k / sqrt(total(x.k * x.k) + epsilon)
    S = S + outer(b * (x.v - S @ k), k)
    return out(S @ q), S


@cell
def gated_deltanet(x, p, S, *, epsilon=1e-6):
    """Yang, Kautz and Hatamizadeh (2025), section 3.1, the gated delta rule: it decays as Mamba-2, then replaces.

    epsilon is that of the authors' code. Convolution and SiLU stand before the cell, norm and output gate after it.
    """
    a, b = exp(-exp(number(p.A)) * softplus(number(x.a))), sigmoid(number(x.b))
    q, k = x.q / sqrt(total(x.q * x.q) + epsilon), x.k / sqrt(total(x.k * x.k) + epsilon)
    S = a * S
    S = S + outer(b * (x.v - S @ k), k)
    return out(S @ q), S


@cell
def kda(x, p, S, *, epsilon=1e-6):
    """Kimi Team (2025), section 3, Kimi delta attention: the gated delta rule with a decay for each key feature.

    The state has keys for rows, unlike that of gated_deltanet, as in both papers. x.a is one whole map, in the paper a
    product of two. epsilon is that of the authors' code, which divides queries by sqrt(d) too.
    """
    a, b = exp(-exp(number(p.A)) * softplus(x.a)), sigmoid(number(x.b))
    q, k = x.q / sqrt(total(x.q * x.q) + epsilon), x.k / sqrt(total(x.k * x.k) + epsilon)
    S = outer(a, 1) * S
    S = S + outer(k, b * (x.v - k @ S))
    return out(q @ S), S


@cell
def gdn2(x, p, S, *, epsilon=1e-6):
    """Hatamizadeh, Choi and Kautz (2026), Gated DeltaNet-2: kda with a gate b that erases and a gate w that writes."""
    a, b, w = exp(-exp(number(p.A)) * softplus(x.a)), sigmoid(x.b), sigmoid(x.w)
    q, k = x.q / sqrt(total(x.q * x.q) + epsilon), x.k / sqrt(total(x.k * x.k) + epsilon)
    S = outer(a, 1) * S
    S = S + outer(k, w * x.v - (b * k) @ S)
    return out(q @ S), S


@cell
def deltaproduct(x, S, *, epsilon=1e-6):
    """Siems et al. (2025), section 3, DeltaProduct with two steps of the delta rule for each input, without its gate.

    The gates that replace reach 2, so that a step can turn a value's sign, as the paper has it for tracking states.
    """
    q = x.q / sqrt(total(x.q * x.q) + epsilon)
    for b, key, v in ((x.b1, x.k1, x.v1), (x.b2, x.k2, x.v2)):
        k = key / sqrt(total(key * key) + epsilon)
        S = S + outer(2 * sigmoid(number(b)) * (v - S @ k), k)
    return out(S @ q), S


@cell
def rwkv7(x, R, p, S, last, *, rate=0.6065306597126334, epsilon=1e-12):
    """Peng et al. (2025), section 4, Goose: the key that removes has norm 1, and is another than the key that writes.

    Each map sees x mixed with the step before it, which `last` keeps. With heads write `shared=("x", "p.mix_r", ...)`,
    so that each sees all of x. rate is exp(-1/2). The maps of w and a are whole, in the paper products of two. epsilon
    is added to the square of a norm; the authors' code divides by no less than 1e-12. The mix of values between layers,
    the norm, the bonus and the output gate stand outside.
    """
    past = last - x
    r, k, v = R.r(x + p.mix_r * past), R.k(x + p.mix_k * past), R.v(x + p.mix_v * past)
    w = exp(-rate * sigmoid(R.w(x + p.mix_w * past) + p.w))
    a = sigmoid(R.a(x + p.mix_a * past) + p.a)
    removed = k * p.removal / sqrt(total(k * p.removal * k * p.removal) + epsilon)
    S = S * outer(1, w) - outer(S @ removed, a * removed) + outer(v, k * (1 + p.replace * (a - 1)))
    return out(S @ r), S, x
