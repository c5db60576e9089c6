"""What a person of the scene looks like: build, skin, hair, clothes. All drawn from one seeded generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Colour = tuple[int, int, int]
"""Red, green, blue, 0-255."""

Hair = Literal["bald", "short", "bob", "long", "bun"]
Hat = Literal["none", "cap", "beanie", "brim"]
Top = Literal["tee", "shirt", "jacket", "coat", "hoodie"]
Bottom = Literal["trousers", "jeans", "shorts", "skirt", "dress"]
Pattern = Literal["plain", "stripes", "check", "print", "block"]
Bag = Literal["none", "backpack", "satchel"]

_SKINS: tuple[Colour, ...] = (
    (242, 204, 178),
    (231, 187, 156),
    (214, 164, 128),
    (187, 133, 96),
    (148, 100, 70),
    (110, 72, 50),
    (82, 54, 40),
)
_HAIRS: tuple[Colour, ...] = (
    (28, 22, 20),
    (45, 32, 25),
    (72, 48, 32),
    (104, 70, 42),
    (160, 118, 70),
    (190, 152, 100),
    (140, 70, 38),
    (140, 138, 136),
    (196, 192, 188),
)
_TOPS: tuple[Colour, ...] = (
    (236, 236, 232),
    (205, 208, 210),
    (128, 132, 138),
    (58, 60, 66),
    (30, 31, 36),
    (36, 52, 92),
    (60, 96, 150),
    (128, 164, 200),
    (168, 40, 44),
    (120, 28, 40),
    (196, 96, 60),
    (214, 170, 60),
    (60, 104, 72),
    (92, 108, 72),
    (136, 108, 82),
    (206, 190, 160),
    (176, 120, 150),
    (96, 70, 120),
)
_BOTTOMS: tuple[Colour, ...] = (
    (34, 36, 44),
    (48, 50, 56),
    (46, 60, 92),
    (70, 90, 126),
    (110, 132, 164),
    (96, 92, 84),
    (150, 134, 108),
    (190, 176, 150),
    (70, 60, 50),
)
_SHOES: tuple[Colour, ...] = ((28, 26, 26), (60, 44, 34), (220, 220, 218), (120, 84, 56), (70, 74, 82), (160, 50, 50))
_BAGS: tuple[Colour, ...] = ((36, 38, 42), (60, 66, 88), (140, 50, 40), (112, 84, 56), (70, 88, 64), (180, 150, 60))


@dataclass(frozen=True, slots=True)
class Look:
    """One person's appearance."""

    height_m: float
    girth: float
    """Breadth against the average, about 0.88-1.2."""
    skin: Colour
    hair: Hair
    hair_colour: Colour
    hat: Hat
    hat_colour: Colour
    top: Top
    top_colour: Colour
    second_colour: Colour
    """Of the pattern."""
    inner_colour: Colour
    """Of the shirt under an open jacket."""
    pattern: Pattern
    long_sleeves: bool
    bottom: Bottom
    bottom_colour: Colour
    shoe_colour: Colour
    bag: Bag
    bag_colour: Colour
    beard: bool
    glasses: bool
    texture: int
    """Where in the noise this person's cloth begins."""


def random_look(rng: np.random.Generator) -> Look:
    """A person, plausibly dressed."""

    def pick(colours: tuple[Colour, ...]) -> Colour:
        base = np.array(colours[int(rng.integers(len(colours)))])
        shifted = np.clip(base + rng.integers(-10, 11, 3), 0, 255)
        return int(shifted[0]), int(shifted[1]), int(shifted[2])

    female = bool(rng.random() < 0.5)
    hairs: tuple[Hair, ...] = ("bob", "long", "long", "bun", "short") if female else ("short", "short", "short", "bald")
    hats: tuple[Hat, ...] = ("none",) * 6 + ("cap", "beanie", "brim")
    tops: tuple[Top, ...] = ("tee", "tee", "shirt", "jacket", "coat", "hoodie")
    legs: tuple[Bottom, ...] = (
        ("trousers", "jeans", "jeans", "skirt", "dress") if female else ("trousers", "jeans", "shorts")
    )
    patterns: tuple[Pattern, ...] = ("plain", "plain", "plain", "stripes", "check", "print", "block")
    bags: tuple[Bag, ...] = ("none", "none", "none", "backpack", "satchel")
    top = tops[int(rng.integers(len(tops)))]
    bottom = legs[int(rng.integers(len(legs)))]
    pattern = patterns[int(rng.integers(len(patterns)))]
    top_colour = pick(_TOPS)
    return Look(
        height_m=float(np.clip(rng.normal(1.66 if female else 1.77, 0.06), 1.5, 1.95)),
        girth=float(np.clip(rng.normal(0.97 if female else 1.03, 0.07), 0.86, 1.22)),
        skin=pick(_SKINS),
        hair=hairs[int(rng.integers(len(hairs)))],
        hair_colour=pick(_HAIRS),
        hat=hats[int(rng.integers(len(hats)))],
        hat_colour=pick(_TOPS),
        top=top,
        top_colour=top_colour,
        second_colour=pick(_TOPS),
        inner_colour=pick(_TOPS[:8]),
        pattern=pattern if top in ("tee", "shirt", "hoodie") else "plain",
        long_sleeves=top in ("jacket", "coat", "hoodie") or (top == "shirt" and bool(rng.random() < 0.6)),
        bottom=bottom,
        bottom_colour=top_colour if bottom == "dress" else pick(_BOTTOMS),
        shoe_colour=pick(_SHOES),
        bag=bags[int(rng.integers(len(bags)))],
        bag_colour=pick(_BAGS),
        beard=not female and bool(rng.random() < 0.3),
        glasses=bool(rng.random() < 0.2),
        texture=int(rng.integers(1 << 16)),
    )
