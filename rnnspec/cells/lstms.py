"""Long short-term memories: a cell state that gates write to, keep and read."""

from rnnspec.primitives import mean, sigmoid, sqrt, tanh
from rnnspec.tracing.cell import cell, out


@cell
def lstm_original(x, R, h, c):
    """Hochreiter and Schmidhuber (1997), section 4: no forget gate.

    The paper squashes by 2 tanh(a/2) and tanh(c/2) where this has tanh, as everybody has it today.
    """
    i = sigmoid(x.i + R.i(h))
    g = tanh(x.g + R.g(h))
    o = sigmoid(x.o + R.o(h))
    c = c + i * g
    return o * tanh(c), c


@cell
def lstm(x, R, h, c):
    """Hochreiter and Schmidhuber (1997) with the forget gate of Gers, Schmidhuber and Cummins (2000), equations 2-7."""
    i = sigmoid(x.i + R.i(h))
    f = sigmoid(x.f + R.f(h))
    g = tanh(x.g + R.g(h))
    o = sigmoid(x.o + R.o(h))
    c = f * c + i * g
    return o * tanh(c), c


@cell
def lstm_peephole(x, R, p, h, c):
    """Gers, Schraudolph and Schmidhuber (2002), section 3: i and f see the old cell state, o the new one."""
    i = sigmoid(x.i + R.i(h) + p.i * c)
    f = sigmoid(x.f + R.f(h) + p.f * c)
    g = tanh(x.g + R.g(h))
    c = f * c + i * g
    o = sigmoid(x.o + R.o(h) + p.o * c)
    return o * tanh(c), c


@cell
def lstm_projected(x, R, h, c):
    """Sak, Senior and Beaufays (2014), equations 1-6, without their peepholes."""
    i = sigmoid(x.i + R.i(h))
    f = sigmoid(x.f + R.f(h))
    g = tanh(x.g + R.g(h))
    o = sigmoid(x.o + R.o(h))
    c = f * c + i * g
    return R.p(o * tanh(c)), c


@cell
def lstm_coupled(x, R, h, c):
    """Greff et al. (2017), the variant CIFG: one gate writes and forgets, as much of one as of the other.

    Without their peepholes. ONNX couples by f = 1 - i: the same function, with the signs of the gate's maps turned.
    """
    f = sigmoid(x.f + R.f(h))
    g = tanh(x.g + R.g(h))
    o = sigmoid(x.o + R.o(h))
    c = f * c + (1 - f) * g
    return o * tanh(c), c


@cell
def mclstm(x, R, v, c):
    """Ben-Ari and Shwartz-Ziv (2017), the memory controller: a control vector v is fed back in place of the output."""
    i = sigmoid(x.i + R.i(v))
    f = sigmoid(x.f + R.f(v))
    g = tanh(x.g + R.g(v))
    o = sigmoid(x.o + R.o(v))
    m = sigmoid(x.m + R.m(v))
    c = f * c + i * g
    return out(o * tanh(c)), m * tanh(c), c


@cell
def wmclstm(x, R, h, c):
    """Landi et al. (2021), working memory connections: a gate also sees tanh of a map of the cell state.

    i and f see the old cell state, o the new one. The maps of the cell state have no bias; torchrecurrent adds one.
    """
    i = sigmoid(x.i + R.i(h) + tanh(R.ic(c)))
    f = sigmoid(x.f + R.f(h) + tanh(R.fc(c)))
    g = tanh(x.g + R.g(h))
    c = f * c + i * g
    o = sigmoid(x.o + R.o(h) + tanh(R.oc(c)))
    return o * tanh(c), c


@cell
def lstm_residual(x, R, p, h, c):
    """Kim, El-Khamy and Lee (2017), section 3, the residual LSTM: the output gate also lets a map of the input pass.

    With peepholes. The paper's layers of equal width let the input itself pass; this is its form with a map.
    """
    i = sigmoid(x.i + R.i(h) + p.i * c)
    f = sigmoid(x.f + R.f(h) + p.f * c)
    g = tanh(x.g + R.g(h))
    c = f * c + i * g
    o = sigmoid(x.o + R.o(h) + p.o * c)
    return o * (R.p(tanh(c)) + R.x(x)), c


@cell
def lstm_layer_norm(x, R, p, h, c, *, epsilon=1e-5):
    """Ba, Kiros and Hinton (2016), equations 20-22 of the supplement: an LSTM with layer normalisation.

    All four maps of the input are normalised as one vector, those of the state as another, and then the cell state.
    TensorFlow's LayerNormBasicLSTMCell normalises the sum of both, each gate by itself. The paper adds nothing to the
    variance; for a state of zeros it would divide by zero.
    """
    xi, xf, xg, xo = R.xi(x), R.xf(x), R.xg(x), R.xo(x)
    hi, hf, hg, ho = R.hi(h), R.hf(h), R.hg(h), R.ho(h)
    mx, mh = (mean(xi) + mean(xf) + mean(xg) + mean(xo)) / 4, (mean(hi) + mean(hf) + mean(hg) + mean(ho)) / 4
    xi, xf, xg, xo = xi - mx, xf - mx, xg - mx, xo - mx
    hi, hf, hg, ho = hi - mh, hf - mh, hg - mh, ho - mh
    sx = sqrt((mean(xi * xi) + mean(xf * xf) + mean(xg * xg) + mean(xo * xo)) / 4 + epsilon)
    sh = sqrt((mean(hi * hi) + mean(hf * hf) + mean(hg * hg) + mean(ho * ho)) / 4 + epsilon)
    i = sigmoid(p.xi * xi / sx + p.hi * hi / sh + p.i)
    f = sigmoid(p.xf * xf / sx + p.hf * hf / sh + p.f)
    g = tanh(p.xg * xg / sx + p.hg * hg / sh + p.g)
    o = sigmoid(p.xo * xo / sx + p.ho * ho / sh + p.o)
    c = f * c + i * g
    d = c - mean(c)
    return o * tanh(p.c * d / sqrt(mean(d * d) + epsilon) + p.d), c


@cell
def multiplicative_lstm(x, R, h, c):
    """Krause et al. (2017), section 3: factors m of input and state take the place of the state in an LSTM.

    Their width is free: that of `R.m`. Their maps have no bias, as in the paper; torchrecurrent adds one to each.
    """
    m = R.x(x) * R.m(h)
    return lstm(x, R, m, c)


@cell
def mogrifier_lstm(x, R, h, c):
    """Melis, Kocisky and Blunsom (2020), equations 1-2, the Mogrifier LSTM: input and state first gate each other.

    The maps of the gates have no bias. The paper chooses the number of rounds for each task; here there are five.
    """
    v = 2 * sigmoid(R.q1(h)) * x
    h = 2 * sigmoid(R.r2(v)) * h
    v = 2 * sigmoid(R.q3(h)) * v
    h = 2 * sigmoid(R.r4(v)) * h
    v = 2 * sigmoid(R.q5(h)) * v
    return lstm(v, R, h, c)


@cell
def fast_slow(x, R, h, c, s, d):
    """Mujika, Meier and Steger (2017), section 3, the Fast-Slow RNN: LSTMs that read one another within a step.

    Two fast ones share the states h and c; between them a slow one, with s and d, reads the first. As in the authors'
    code, without their dropout, zoneout and layer normalisation.
    """
    h, c = lstm.prefixed("first")(x, R, h, c)
    s, d = lstm.prefixed("slow")(h, R, s, d)
    h, c = lstm.prefixed("second")(s, R, h, c)
    return h, c, s, d
