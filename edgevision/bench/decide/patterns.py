"""The ways out of a decision: what each means, and what to type next."""

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
        "Use a foundation model as it is; write down its prompts, and what it gets wrong.",
        'edgevision run --model foundation:owlv2 --prompts "thing: a thing"',
    ),
    Pattern.LABELLER: Meaning(
        "Let a foundation model draw the boxes, and people look at the doubtful ones.",
        'edgevision distill label --images DIR --teacher foundation:owlv2 --prompts "thing: a thing" --out DATA',
    ),
    Pattern.DISTILLATION: Meaning(
        "Train a compact model on the teacher's scores as well as its boxes, and swap it in.",
        'edgevision distill all --source DIR --teacher foundation:owlv2 --prompts "thing: a thing" --name x --out X',
    ),
    Pattern.BOOTSTRAP: Meaning(
        "Start with a foundation model today, collect what it sees, and swap a compact one in while the loop runs.",
        'edgevision run --model foundation:owlv2 --prompts "thing: a thing"   # later: edgevision swap thing',
    ),
    Pattern.LIGHT_HEAD: Meaning(
        "Keep a foundation model's features frozen and fit a logistic regression on your handful of labels.",
        "edgevision distill head KINDS --features dinov2 --name kinds",
    ),
    Pattern.SYNTHETIC: Meaning(
        "Make pictures: render or compose the thing in many places and lights, train on those, test on real ones.",
        "edgevision distill collect --source scene:// --out DIR   # the built-in scene makes people; bring your own",
    ),
}
