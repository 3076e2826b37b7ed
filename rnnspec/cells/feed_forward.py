"""Layers of single steps: equations without a state, so that no step depends on another."""

from rnnspec.primitives import mean, sqrt
from rnnspec.tracing.cell import cell


@cell
def dense(x):
    """Rumelhart, Hinton and Williams (1986), equation 1, with biases: each unit is a weighted sum of the inputs.

    In a network write `Dense(features)`, or with an activation `Dense(features, tanh)`.
    """
    return x.y


@cell
def layer_norm(x, p, *, epsilon=1e-5):
    """Ba, Kiros and Hinton (2016), equations 3 and 4: a step with mean 0 and variance 1, scaled and shifted.

    The paper's gain g is p.scale, its bias b is p.shift. It adds nothing to the variance, which is 0 where all features
    are equal; epsilon does, as in torch.nn, flax and Keras.
    """
    centred = x - mean(x)
    return p.scale * centred / sqrt(mean(centred * centred) + epsilon) + p.shift


@cell
def rms_norm(x, p, *, epsilon=1e-6):
    """Zhang and Sennrich (2019), equation 4: the features of a step divided by their root mean square, then scaled.

    The paper's gain g is p.scale. It adds nothing under the root, which is 0 where all features are; epsilon does.
    """
    return p.scale * x / sqrt(mean(x * x) + epsilon)
