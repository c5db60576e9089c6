"""Walk the decision chart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgevision.bench.decide.answers import Answers, Material
from edgevision.bench.decide.evidence import Evidence
from edgevision.bench.decide.patterns import MEANING, Pattern
from edgevision.bench.decide.rules import CHART, Question, Situation


@dataclass(frozen=True, slots=True)
class Step:
    """One question on the path."""

    name: str
    ask: str
    yes: bool
    why: str
    assumed: bool
    """No answer was given; the default branch was taken."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to build, and the path that led there."""

    patterns: tuple[Pattern, ...]
    """The first is the one to do first."""
    steps: tuple[Step, ...]
    answers: Answers
    evidence: Evidence

    @property
    def sentence(self) -> str:
        """The recommendation with its main reason."""
        reasons = [s.why for s in self.steps if s.why and not s.assumed]
        decisive = next((s.why for s in self.steps if s.name.endswith("fast") and s.yes), None)
        reason = decisive or (reasons[-1] if reasons else "no answer rules it out")
        return f"{' and '.join(self.patterns)}: {reason}"

    @property
    def assumed(self) -> tuple[str, ...]:
        """Missing answers that would make it more certain."""
        asked = [need for s in self.steps if s.assumed for need in _question(s.name).needs]
        told = self.answers.told()
        return tuple(dict.fromkeys(n for n in asked if n not in told))

    @property
    def commands(self) -> tuple[str, ...]:
        """The next commands; none if the task is not about images."""
        if self.answers.material in (Material.TEXT, Material.NUMBERS):
            return ()
        return tuple(MEANING[p].command for p in self.patterns)

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks that follow from the answers."""
        found = []
        if self.answers.material in (Material.TEXT, Material.NUMBERS):
            found.append("edgevision works on images: it has no command for this task")
        if self.answers.ml_people is False and Pattern.FOUNDATION not in self.patterns and not found:
            found.append("no training experience: `edgevision distill all` runs every step")
        best = self.evidence.best("foundation")
        if best is not None and best.random_weights:
            found.append(
                "foundation models were measured with random weights: their speed is real, their accuracy unknown"
            )
        if not self.evidence.own:
            found.append(
                f"figures {self.evidence.source}: `edgevision bench --baseline yoloe --baseline owlv2` measures yours"
            )
        return tuple(found)


def decide(
    answers: Answers,
    evidence: Evidence,
    ask: Callable[[Question, Answers], Answers] | None = None,
) -> Decision:
    """Walk the chart from its top to an end. ``ask`` is called before each question and may add answers."""
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
