"""Faults with units, with gradients that are not finite, and with scaled losses."""

from __future__ import annotations

from typing import ClassVar

from conformance.mutants.control import misguards
from conformance.mutants.control.ruled import Ruled
from rnnspec.policies import ClipByUnitNorm, ScaleLoss, SkipNonFinite, ZeroNonFinite
from rnnspec.updates import HoldSpectralNorm


class UnitsAreColumns(Ruled):
    """A unit is a column of a map."""

    instead: ClassVar = {ClipByUnitNorm: misguards.UnitsAreColumns}


class UnitsAreMaps(Ruled):
    """A unit is a complete map."""

    instead: ClassVar = {ClipByUnitNorm: misguards.UnitsAreMaps}


class UnitsWithoutEpsilon(Ruled):
    """Small weights have small limits."""

    instead: ClassVar = {ClipByUnitNorm: misguards.UnitsWithoutEpsilon}


class UnitsOfEpsilonAlone(Ruled):
    """A unit's limit does not depend on its weights."""

    instead: ClassVar = {ClipByUnitNorm: misguards.UnitsOfEpsilonAlone}


class UnitsAddEpsilon(Ruled):
    """Epsilon is added to the norm of the weights."""

    instead: ClassVar = {ClipByUnitNorm: misguards.UnitsAddEpsilon}


class SkipsNothing(Ruled):
    """A gradient that is not finite is applied."""

    instead: ClassVar = {SkipNonFinite: misguards.SkipsNothing}


class SkipsWithZeros(Ruled):
    """A step that is skipped moves the state of what follows."""

    instead: ClassVar = {SkipNonFinite: misguards.SkipsWithZeros}


class SkipsUncounted(Ruled):
    """Steps that are skipped are not counted."""

    instead: ClassVar = {SkipNonFinite: misguards.SkipsUncounted}


class ZeroesOnlyNan(Ruled):
    """Infinities are not set to 0."""

    instead: ClassVar = {ZeroNonFinite: misguards.ZeroesOnlyNan}


class ZeroesWholeMaps(Ruled):
    """A map with an entry that is not finite becomes 0."""

    instead: ClassVar = {ZeroNonFinite: misguards.ZeroesWholeMaps}


class Clamps(Ruled):
    """Infinities become large numbers."""

    instead: ClassVar = {ZeroNonFinite: misguards.Clamps}


class NeverUnscales(Ruled):
    """The gradient of a scaled loss stays scaled."""

    instead: ClassVar = {ScaleLoss: misguards.NeverUnscales}


class UnscalesLast(Ruled):
    """The gradient of a scaled loss is clipped before it is unscaled."""

    instead: ClassVar = {ScaleLoss: misguards.UnscalesLast}


class ScaleStays(Ruled):
    """The scale of the loss does not follow its gradient."""

    instead: ClassVar = {ScaleLoss: misguards.ScaleStays}


class HoldsFrobenius(Ruled):
    """The norm of a map is the root of the sum of all squares."""

    instead: ClassVar = {HoldSpectralNorm: misguards.HoldsFrobenius}


class HoldsUnheld(Ruled):
    """No map's spectral norm is limited."""

    instead: ClassVar = {HoldSpectralNorm: misguards.HoldsUnheld}


class HoldsAlways(Ruled):
    """Maps with a norm below the limit are scaled up to the limit."""

    instead: ClassVar = {HoldSpectralNorm: misguards.HoldsAlways}
