"""Lines of one printed or handwritten word: slanted, stretched, turned, blurred, noisy, of more and less contrast, and
levelled.

The words are those of the EFF's long list (CC BY 3.0 US), from the wheel xkcdpass. A fifth of the words and five
families of fonts are for testing only, a tenth of the words and three families for validation.
"""

from __future__ import annotations

import string
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from sklearn.model_selection import train_test_split
from text_lines import Line, Task
from word_fonts import TALL, TALLEST, TESTING, TRAINING, VALIDATION, Family, opened

HEIGHT, MARGIN, SPLIT_SEED = 24, 2, 0
CAPITALISED = 0.25


@lru_cache(maxsize=1)
def words() -> tuple[list[str], list[str], list[str]]:
    """Those for training, for validation and for testing."""
    package = Path(find_spec("xkcdpass").origin).parent
    found = [word for word in (package / "static" / "eff-long").read_text().split() if word.isalpha()]
    rest, testing = train_test_split(found, test_size=0.2, random_state=SPLIT_SEED)
    training, validation = train_test_split(rest, test_size=0.125, random_state=SPLIT_SEED)
    return training, validation, testing


def lines(part: int, families: tuple[Family, ...], count: int, seed: int) -> list[Line]:
    """Words of one part; families as often as one another, and the faces of each."""
    rng, found = np.random.default_rng(seed), words()[part]
    return [_line(found[rng.integers(len(found))], families[rng.integers(len(families))], rng) for _ in range(count)]


def _line(word: str, family: Family, rng: np.random.Generator) -> Line:
    text = word.capitalize() if rng.random() < CAPITALISED else word
    face = family.faces[rng.integers(len(family.faces))]
    return Line(_photographed(_bent(_printed(opened(family, face), text), rng), rng), text)


def _printed(font: ImageFont.FreeTypeFont, text: str) -> Image.Image:
    """White on black, `TALL` pixels from the highest to the lowest that a letter may reach, and a margin."""
    _, top, _, _ = font.getbbox(TALLEST)
    left, _, right, _ = font.getbbox(text)
    image = Image.new("L", (int(right - left) + 2 * MARGIN, TALL + 2 * MARGIN))
    ImageDraw.Draw(image).text((MARGIN - left, MARGIN - top), text, fill=255, font=font)
    return image


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


TASK = Task(string.ascii_letters, HEIGHT, partial(lines, 0, TRAINING), partial(lines, 1, VALIDATION),
            partial(lines, 2, TESTING))  # fmt: skip
