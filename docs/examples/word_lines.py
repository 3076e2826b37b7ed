"""Lines of one printed or handwritten word: slanted, stretched, turned, blurred, noisy, of more and less contrast, and
levelled. Those for training are also shaken: no letter stands, or is drawn, quite as its font has it.

The words are those of the EFF's long list (CC BY 3.0 US), from the wheel xkcdpass. A fifth of the words and five
families of fonts are for testing only, a tenth of the words and four families for validation.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont
from sklearn.model_selection import train_test_split
from text_lines import Line, Task
from word_fonts import TALL, TALLEST, TESTING, TRAINING, VALIDATION, Family, opened

HEIGHT, MARGIN, SPLIT_SEED = 32, 2, 0
CAPITALISED = 0.25
WAVE = 10
"""Pixels from one wave of a shaken line to the next."""


@lru_cache(maxsize=1)
def words() -> tuple[list[str], list[str], list[str]]:
    """Those for training, for validation and for testing."""
    package = Path(find_spec("xkcdpass").origin).parent
    found = [word for word in (package / "static" / "eff-long").read_text().split() if word.isalpha()]
    rest, testing = train_test_split(found, test_size=0.2, random_state=SPLIT_SEED)
    training, validation = train_test_split(rest, test_size=0.125, random_state=SPLIT_SEED)
    return training, validation, testing


Font = ImageFont.FreeTypeFont
Write = Callable[[Font, str, np.random.Generator], Image.Image]
"""White on black, `TALL` pixels from the highest to the lowest that a letter may reach, and a margin."""


def lines(write: Write, part: int, families: tuple[Family, ...], count: int, seed: int) -> list[Line]:
    """Words of one part; families as often as one another, and the faces of each."""
    rng, found = np.random.default_rng(seed), words()[part]
    drawn = ((found[rng.integers(len(found))], families[rng.integers(len(families))]) for _ in range(count))
    return [_line(write, word, family, rng) for word, family in drawn]


def _line(write: Write, word: str, family: Family, rng: np.random.Generator) -> Line:
    text = word.capitalize() if rng.random() < CAPITALISED else word
    face = family.faces[rng.integers(len(family.faces))]
    return Line(_photographed(_bent(write(opened(family, face), text, rng), rng), rng), text, family.name)


def printed(font: Font, text: str, _: np.random.Generator) -> Image.Image:
    """As the font has it."""
    _, top, _, _ = font.getbbox(TALLEST)
    left, _, right, _ = font.getbbox(text)
    image = Image.new("L", (int(right - left) + 2 * MARGIN, TALL + 2 * MARGIN))
    ImageDraw.Draw(image).text((MARGIN - left, MARGIN - top), text, fill=255, font=font)
    return image


def shaken(font: Font, text: str, rng: np.random.Generator) -> Image.Image:
    """Half the time as the font has it; else as a hand might: letter by letter, narrow, low on the line, wavering."""
    if rng.random() < 0.5:
        return printed(font, text, rng)
    written = _by_hand(font, text, rng)
    narrow, low = rng.uniform(0.45, 1.05), rng.uniform(0.7, 1.0)
    size = max(8, int(written.width * narrow)), int(written.height * low)
    image = Image.new("L", (size[0], written.height))
    image.paste(written.resize(size, Image.Resampling.BILINEAR), (0, written.height - size[1]))
    return _wavering(image, rng)


def _by_hand(font: Font, text: str, rng: np.random.Generator) -> Image.Image:
    """Every letter with a slant, a size and a place of its own, all of them nearer or wider than the font has them."""
    widths, apart = [font.getlength(letter) for letter in text], rng.uniform(-0.5, 2.5)
    whole = Image.new("L", (int(sum(widths) + 3 * len(text)) + 4 * MARGIN, TALL + 2 * MARGIN))
    x, top = 2.0 * MARGIN, font.getbbox(TALLEST)[1]
    for letter, width in zip(text, widths, strict=True):
        alone = Image.new("L", whole.size)
        ImageDraw.Draw(alone).text((x, MARGIN - top), letter, fill=255, font=font)
        whole = ImageChops.lighter(whole, _tilted(alone, x + width / 2, rng))
        x += width + apart + rng.normal(0, 0.4)
    return whole.crop((0, 0, int(x) + MARGIN, whole.height))


def _tilted(letter: Image.Image, x: float, rng: np.random.Generator) -> Image.Image:
    """The letter around `x` with a slant of 0.06, a size of 5 % and a place of 0.6 pixels more or less."""
    slant, size, up, y = rng.normal(0, 0.06), rng.normal(1, 0.05), rng.normal(0, 0.6), MARGIN + 0.7 * TALL
    to_source = (1 / size, slant, x - x / size - slant * y, 0, 1 / size, y - y / size + up)
    return letter.transform(letter.size, Image.Transform.AFFINE, to_source, Image.Resampling.BILINEAR)


def _wavering(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Every corner of a net of squares moved a little, and what lies between them with it."""
    columns, rows = -(-image.width // WAVE), -(-image.height // WAVE)
    corners = np.stack(np.meshgrid(np.arange(columns + 1), np.arange(rows + 1), indexing="ij"), -1) * float(WAVE)
    corners += rng.normal(0, rng.uniform(0.2, 1.0), corners.shape)
    mesh = [((WAVE * i, WAVE * j, WAVE * (i + 1), WAVE * (j + 1)),
             (*corners[i, j], *corners[i, j + 1], *corners[i + 1, j + 1], *corners[i + 1, j]))
            for i in range(columns) for j in range(rows)]  # fmt: skip
    return image.transform(image.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def _bent(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """On a strip of the line's height, with a slant within 0.25, a turn within 0.03 and a stretch of 0.85 to 1.2."""
    scale, stretch, down = rng.uniform(0.75, 0.95), rng.uniform(0.85, 1.2), rng.uniform(-1.5, 1.5)
    slant, turn = rng.uniform(-0.25, 0.25), rng.uniform(-0.03, 0.03)
    wide = scale * stretch
    width = int(np.ceil(image.width * wide + abs(slant) * HEIGHT)) + MARGIN
    a, b, c, d = 1 / wide, slant / wide, turn / scale, 1 / scale
    x, y = width / 2, HEIGHT / 2 + down
    to_source = (a, b, image.width / 2 - a * x - b * y, c, d, image.height / 2 - c * x - d * y)
    return image.transform((width, HEIGHT), Image.Transform.AFFINE, to_source, Image.Resampling.BILINEAR)


def _photographed(image: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Ink of 0.5 to 1 on paper of 0 to 0.2, blurred by up to 0.8 pixels, with noise of up to 0.08."""
    paper, ink = rng.uniform(0.0, 0.2), rng.uniform(0.5, 1.0)
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 0.8)))) / 255
    noise = rng.normal(0, rng.uniform(0.0, 0.08), blurred.shape)
    return _levelled(np.clip(paper + (ink - paper) * blurred + noise, 0, 1))


def _levelled(image: np.ndarray) -> np.ndarray:
    """As scanners do: the paper is 0 and the ink is 1, whatever they were; what is noise stays so."""
    ordered = np.sort(image, axis=None)
    paper, ink = ordered[len(ordered) // 4], ordered[-len(ordered) // 50]
    return np.clip((image - paper) / max(ink - paper, 0.1), 0, 1)


TASK = Task(string.ascii_letters, HEIGHT, partial(lines, shaken, 0, TRAINING), partial(lines, printed, 1, VALIDATION),
            partial(lines, printed, 2, TESTING))  # fmt: skip
