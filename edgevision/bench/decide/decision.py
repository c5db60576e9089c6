"""Walking the chart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgevision.bench.decide.answers import Answers, Material
from edgevision.bench.decide.evidence import Evidence
from edgevision.bench.decide.patterns import MEANING, Pattern
from edgevision.bench.decide.rules import CHART, Question, Situation


@dataclass(frozen=True, slots=True)
class Step:
    """One question on the way."""

    name: str
    ask: str
    yes: bool
    why: str
    assumed: bool
    """Nothing was told that answers it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to build, and how that came out."""

    patterns: tuple[Pattern, ...]
    """The first is the one to do first."""
    steps: tuple[Step, ...]
    answers: Answers
    evidence: Evidence

    @property
    def sentence(self) -> str:
        """The answer with its weightiest reason."""
        reasons = [s.why for s in self.steps if s.why and not s.assumed]
        decisive = next((s.why for s in self.steps if s.name.endswith("fast") and s.yes), None)
        reason = decisive or (reasons[-1] if reasons else "nothing was said that rules it out")
        return f"{' and '.join(self.patterns)}: {reason}"

    @property
    def assumed(self) -> tuple[str, ...]:
        """Answers that would make it surer."""
        asked = [need for s in self.steps if s.assumed for need in _question(s.name).needs]
        told = self.answers.told()
        return tuple(dict.fromkeys(n for n in asked if n not in told))

    @property
    def commands(self) -> tuple[str, ...]:
        """What to type next; nothing where the task is not about pictures, which is all that edgevision does."""
        if self.answers.material in (Material.TEXT, Material.NUMBERS):
            return ()
        return tuple(MEANING[p].command for p in self.patterns)

    @property
    def notes(self) -> tuple[str, ...]:
        """What else the answers call for."""
        found = []
        if self.answers.material in (Material.TEXT, Material.NUMBERS):
            found.append("edgevision is for pictures: it has no command for this one")
        if self.answers.ml_people is False and Pattern.FOUNDATION not in self.patterns and not found:
            found.append("nobody has trained a model before: `edgevision distill all` does every step by itself")
        best = self.evidence.best("foundation")
        if best is not None and best.random_weights:
            found.append("speeds of foundation models are with random weights: true, and they say nothing of accuracy")
        if not self.evidence.own:
            found.append(f"figures {self.evidence.source}: `edgevision bench --against yoloe,owlv2` measures yours")
        return tuple(found)


def decide(
    answers: Answers,
    evidence: Evidence,
    ask: Callable[[Question, Answers], Answers] | None = None,
) -> Decision:
    """Walk the chart from its top to an end. ``ask`` sees each question before it is put, and may fill in answers."""
    steps: list[Step] = []
    question = CHART[0]
    while True:
        if ask is not None:
            answers = ask(question, answers)
        said = question.test(Situation(answers, evidence))
        yes = question.untold if said.yes is None else said.yes
        steps.append(Step(question.name, question.ask, yes, said.why, said.yes is None))
        way = question.yes if yes else question.no
        if not isinstance(way, str):
            return Decision(way, tuple(steps), answers, evidence)
        question = _question(way)


def _question(name: str) -> Question:
    return next(q for q in CHART if q.name == name)
