"""The outcomes of a decision: what each means, and the next command."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Pattern(StrEnum):
    """What to build."""

    CUSTOM = "custom"
    FOUNDATION = "foundation"
    LABELLER = "foundation as labeller"
    DISTILLATION = "distillation"
    BOOTSTRAP = "bootstrap, then swap"
    LIGHT_HEAD = "features + light head"
    SYNTHETIC = "synthetic data"


@dataclass(frozen=True, slots=True)
class Meaning:
    """A pattern in a sentence, and the next command."""

    what: str
    command: str


MEANING: dict[Pattern, Meaning] = {
    Pattern.CUSTOM: Meaning(
        "Train a compact model on your own labels.",
        "edgevision distill train DATA --student person --out RUN",
    ),
    Pattern.FOUNDATION: Meaning(
        "Use a foundation model as it is; record its prompts and its errors.",
        'edgevision run --model foundation:owlv2 --prompts "box: a cardboard box"',
    ),
    Pattern.LABELLER: Meaning(
        "Let a foundation model draw the boxes; review the uncertain ones by hand.",
        'edgevision distill label --images DIR --teacher foundation:owlv2 --prompts "box: a cardboard box" --out DATA',
    ),
    Pattern.DISTILLATION: Meaning(
        "Train a compact model on the teacher's scores as well as its boxes, and swap it in.",
        'edgevision distill all --source DIR --teacher foundation:owlv2 --prompts "box: a cardboard box" '
        "--name box --out OUT",
    ),
    Pattern.BOOTSTRAP: Meaning(
        "Start with a foundation model today, collect its frames, and swap in a compact model while the loop runs.",
        'edgevision run --model foundation:owlv2 --prompts "box: a cardboard box"   # later: edgevision swap box',
    ),
    Pattern.LIGHT_HEAD: Meaning(
        "Freeze a foundation model's features and fit a logistic regression on a handful of labels.",
        "edgevision distill head CLASSES --features dinov2 --name classes",
    ),
    Pattern.SYNTHETIC: Meaning(
        "Generate images: render or compose the objects in many places and lights; train on them, test on real ones.",
        "edgevision distill collect --source scene:// --out DIR   # the built-in scene shows people; use your own",
    ),
}
