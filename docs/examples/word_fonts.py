"""Families of fonts from wheels: matplotlib's, rendercv-fonts', pymupdf-fonts', multicolorcaptcha's and those of four
wheels of one family.

All are free to use and to pass on: SIL Open Font License, Apache License 2.0 (Roboto), Ubuntu Font Licence, Bitstream's
licences (DejaVu, XCharter), the STIX Font License and BaKoMa's (Computer Modern).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

TALL = 32
"""The height in pixels, from the highest ascender to the lowest descender, at which a face is opened."""
TALLEST = "Agjpqybdhkl"


@dataclass(frozen=True)
class Family:
    """Faces of one design, in a package: files, or modules that hold a font as bytes."""

    name: str
    package: str
    faces: tuple[str, ...]


def _cut(name: str, folder: str, stem: str, suffix: str = "ttf", italic: bool = True) -> Family:
    """A family of rendercv-fonts: regular and bold, upright and italic."""
    cuts = ("Regular", "Bold", "Italic", "BoldItalic") if italic else ("Regular", "Bold")
    return Family(name, "rendercv_fonts", tuple(f"{folder}/{stem}-{cut}.{suffix}" for cut in cuts))


def _modules(name: str, stem: str, *cuts: str) -> Family:
    return Family(name, "pymupdf_fonts", tuple(f"{stem}_{cut}" for cut in cuts))


def _plotted(name: str, *stems: str) -> Family:
    return Family(name, "matplotlib", tuple(f"mpl-data/fonts/ttf/{stem}.ttf" for stem in stems))


def _written(name: str, folder: str, *faces: str) -> Family:
    return Family(name, "multicolorcaptcha", tuple(f"fonts/{folder}/{face}.ttf" for face in faces))


FOUR = ("Regular", "Bold", "Italic", "BoldItalic")
TRAINING = (
    _cut("EB Garamond", "EB Garamond", "EBGaramond"),
    Family("Source Serif Pro", "font_source_serif_pro",
           tuple(f"files/SourceSerifPro-{cut}.ttf" for cut in ("Light", "Regular", "Bold", "It", "BoldIt"))),
    _plotted("DejaVu Serif", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    _plotted("STIX", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    _plotted("Computer Modern", "cmr10", "cmb10"),
    _modules("Space Mono", "SpaceMono", *FOUR),
    _modules("Ubuntu Mono", "UbuntuMono", *FOUR),
    _plotted("DejaVu Sans Mono", "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique"),
    _plotted("Computer Modern Typewriter", "cmtt10"),
    _plotted("Computer Modern Sans", "cmss10"),
    _plotted("DejaVu Sans", "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    _cut("Mukta", "Mukta", "Mukta", italic=False),
    _cut("Noto Sans", "Noto Sans", "NotoSans"),
    _cut("Open Sauce Sans", "Open Sauce Sans", "OpenSauceSans"),
    _cut("Roboto", "Roboto", "Roboto"),
    _cut("Source Sans 3", "Source Sans 3", "SourceSans3"),
    _cut("Ubuntu", "Ubuntu", "Ubuntu"),
    _cut("Open Sans", "Open Sans", "OpenSans"),
    _modules("FiraGO", "FiraGO", *FOUR),
    Family("Fredoka One", "font_fredoka_one", ("files/FredokaOne-Regular.ttf",)),
    Family("Intuitive", "font_intuitive", ("files/Intuitive.ttf",)),
    _written("Fibel Nord", "fontlibraryorg/fibel-nord", "Fibel Nord", "Fibel Nord Italic", "Fibel Nord Bold"),
    _written("Combo", "GoogleFonts/ofl/combo", "Combo-Regular"),
    _written("Dawning of a New Day", "GoogleFonts/ofl/dawningofanewday", "DawningofaNewDay"),
    _written("Londrina", "GoogleFonts/ofl/londrinasolid", "LondrinaSolid-Thin", "LondrinaSolid-Light"),
    _plotted("Computer Modern Italic", "cmmi10"),
)  # fmt: skip
VALIDATION = (
    _cut("XCharter", "XCharter", "XCharter", "otf"),
    _modules("Fira Mono", "FiraMono", "Regular", "Bold"),
    _cut("Raleway", "Raleway", "Raleway"),
    _written("Kaushan Script", "GoogleFonts/ofl/kaushanscript", "KaushanScript-Regular"),
)
TESTING = (
    _cut("Gentium Book Plus", "Gentium Book Plus", "GentiumBookPlus"),
    _modules("Cascadia Mono", "CascadiaMono", *FOUR),
    Family("Shadows Into Light", "handwriting_generator", ("fonts/ShadowsIntoLight.ttf",)),
    _cut("Lato", "Lato", "Lato"),
    _cut("Poppins", "Poppins", "Poppins"),
)
"""A serif, a monospaced, a handwritten and two sans serifs, of which no letter is seen before testing."""


@lru_cache(maxsize=256)
def opened(family: Family, face: str) -> ImageFont.FreeTypeFont:
    """A face at the size at which it is `TALL` pixels high."""
    large = 20 * TALL  # where what hinting rounds is small
    _, top, _, bottom = ImageFont.truetype(_source(family, face), large).getbbox(TALLEST)
    return ImageFont.truetype(_source(family, face), large * TALL / (bottom - top))


def _source(family: Family, face: str) -> io.BytesIO | Path:
    spec = find_spec(family.package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the fonts of {family.name} are in {family.package}; pip install --group text")
    path = Path(spec.origin).parent / face
    return path if path.suffix else io.BytesIO(import_module(f"{family.package}.{face}").fontbuffer)
