"""Faults with what a rule governs: one half, one layer, matrices alone."""

from __future__ import annotations

from typing import ClassVar

from conformance.mutants.control.misgoverned import (
    HeldForwardHalves,
    UnscaledForwardHalves,
    first_layer,
    forward_halves,
    global_norm_of,
    no_bias,
    no_vector,
    partly,
    still,
)
from conformance.mutants.control.ruled import Ruled
from rnnspec.policies import ClipByNorm, ClipByUnitNorm, ClipByValue, ScaleLoss, ZeroNonFinite
from rnnspec.updates import SGD, Adam, HoldSpectralNorm


class ValueOfForwardHalves(Ruled):
    """Values are clipped in forward halves only."""

    instead: ClassVar = partly(ClipByValue, forward_halves)


class ValueOfTheFirstLayer(Ruled):
    """Values are clipped in the first layer only."""

    instead: ClassVar = partly(ClipByValue, first_layer)


class ValueForgetsBiases(Ruled):
    """Values of biases are not clipped."""

    instead: ClassVar = partly(ClipByValue, no_bias)


class ValueForgetsVectors(Ruled):
    """Values of vectors inside the equations are not clipped."""

    instead: ClassVar = partly(ClipByValue, no_vector)


class NormOfForwardHalves(Ruled):
    """Norms are clipped in forward halves only."""

    instead: ClassVar = partly(ClipByNorm, forward_halves)


class NormOfTheFirstLayer(Ruled):
    """Norms are clipped in the first layer only."""

    instead: ClassVar = partly(ClipByNorm, first_layer)


class NormForgetsVectors(Ruled):
    """Norms of vectors inside the equations are not clipped."""

    instead: ClassVar = partly(ClipByNorm, no_vector)


class UnitsOfForwardHalves(Ruled):
    """Units are clipped in forward halves only."""

    instead: ClassVar = partly(ClipByUnitNorm, forward_halves)


class UnitsForgetVectors(Ruled):
    """Elements of vectors inside the equations are not clipped as units are."""

    instead: ClassVar = partly(ClipByUnitNorm, no_vector)


class GlobalNormOfForwardHalves(Ruled):
    """The global norm is that of forward halves and the output layer."""

    instead: ClassVar = global_norm_of(forward_halves)


class GlobalNormOfTheFirstLayer(Ruled):
    """The global norm is that of the first layer and the output layer."""

    instead: ClassVar = global_norm_of(first_layer)


class ZeroesForwardHalves(Ruled):
    """Entries that are not finite become 0 in forward halves only."""

    instead: ClassVar = partly(ZeroNonFinite, forward_halves)


class DescentOfForwardHalves(Ruled):
    """SGD leaves reverse halves as they are."""

    instead: ClassVar = still(SGD, forward_halves)


class DescentOfTheFirstLayer(Ruled):
    """SGD leaves all layers but the first as they are."""

    instead: ClassVar = still(SGD, first_layer)


class AdamOfForwardHalves(Ruled):
    """Adam leaves reverse halves as they are."""

    instead: ClassVar = still(Adam, forward_halves)


class AdamOfTheFirstLayer(Ruled):
    """Adam leaves all layers but the first as they are."""

    instead: ClassVar = still(Adam, first_layer)


class SpectralNormOfForwardHalves(Ruled):
    """Spectral norms are held in forward halves only."""

    instead: ClassVar = {HoldSpectralNorm: HeldForwardHalves}


class UnscalesForwardHalves(Ruled):
    """Gradients of a scaled loss are unscaled in forward halves only."""

    instead: ClassVar = {ScaleLoss: UnscaledForwardHalves}
