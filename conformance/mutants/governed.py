"""Faults with what a rule governs: one half, one layer, matrices alone."""

from __future__ import annotations

from typing import ClassVar

from conformance.mutants import misgoverned
from conformance.mutants.ruled import Ruled
from rnnspec.policies import ClipByGlobalNorm, ClipByNorm, ClipByUnitNorm, ClipByValue, ScaleLoss, ZeroNonFinite
from rnnspec.updates import SGD, Adam, HoldSpectralNorm


class ValueOfForwardHalves(Ruled):
    """Values are clipped in forward halves only."""

    instead: ClassVar = {ClipByValue: misgoverned.ValueOfForwardHalves}


class ValueOfTheFirstLayer(Ruled):
    """Values are clipped in the first layer only."""

    instead: ClassVar = {ClipByValue: misgoverned.ValueOfTheFirstLayer}


class ValueForgetsBiases(Ruled):
    """Values of biases are not clipped."""

    instead: ClassVar = {ClipByValue: misgoverned.ValueWithoutBiases}


class ValueForgetsVectors(Ruled):
    """Values of vectors inside the equations are not clipped."""

    instead: ClassVar = {ClipByValue: misgoverned.ValueWithoutVectors}


class NormOfForwardHalves(Ruled):
    """Norms are clipped in forward halves only."""

    instead: ClassVar = {ClipByNorm: misgoverned.NormOfForwardHalves}


class NormOfTheFirstLayer(Ruled):
    """Norms are clipped in the first layer only."""

    instead: ClassVar = {ClipByNorm: misgoverned.NormOfTheFirstLayer}


class NormForgetsVectors(Ruled):
    """Norms of vectors inside the equations are not clipped."""

    instead: ClassVar = {ClipByNorm: misgoverned.NormWithoutVectors}


class UnitsOfForwardHalves(Ruled):
    """Units are clipped in forward halves only."""

    instead: ClassVar = {ClipByUnitNorm: misgoverned.UnitsOfForwardHalves}


class UnitsForgetVectors(Ruled):
    """Elements of vectors inside the equations are not clipped as units are."""

    instead: ClassVar = {ClipByUnitNorm: misgoverned.UnitsWithoutVectors}


class GlobalNormOfForwardHalves(Ruled):
    """The global norm is that of forward halves and the output layer."""

    instead: ClassVar = {ClipByGlobalNorm: misgoverned.GlobalOfForwardHalves}


class GlobalNormOfTheFirstLayer(Ruled):
    """The global norm is that of the first layer and the output layer."""

    instead: ClassVar = {ClipByGlobalNorm: misgoverned.GlobalOfTheFirstLayer}


class ZeroesForwardHalves(Ruled):
    """Entries that are not finite become 0 in forward halves only."""

    instead: ClassVar = {ZeroNonFinite: misgoverned.ZeroesForwardHalves}


class DescentOfForwardHalves(Ruled):
    """SGD leaves reverse halves as they are."""

    instead: ClassVar = {SGD: misgoverned.DescentOfForwardHalves}


class DescentOfTheFirstLayer(Ruled):
    """SGD leaves all layers but the first as they are."""

    instead: ClassVar = {SGD: misgoverned.DescentOfTheFirstLayer}


class AdamOfForwardHalves(Ruled):
    """Adam leaves reverse halves as they are."""

    instead: ClassVar = {Adam: misgoverned.AdamOfForwardHalves}


class AdamOfTheFirstLayer(Ruled):
    """Adam leaves all layers but the first as they are."""

    instead: ClassVar = {Adam: misgoverned.AdamOfTheFirstLayer}


class SpectralNormOfForwardHalves(Ruled):
    """Spectral norms are held in forward halves only."""

    instead: ClassVar = {HoldSpectralNorm: misgoverned.HeldForwardHalves}


class UnscalesForwardHalves(Ruled):
    """Gradients of a scaled loss are unscaled in forward halves only."""

    instead: ClassVar = {ScaleLoss: misgoverned.UnscaledForwardHalves}
