"""The rules: a chart of questions, read from the top. This file is the whole of the judgement; edit it here.

Each question looks at a `Situation` (the answers, and what was measured) and says yes, no, or "not told", and why.
Where nothing is told, the branch named by ``untold`` is taken, and the decision says that it was assumed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgevision.bench.decide.answers import Answer, Answers, Device, Material, Task
from edgevision.bench.decide.evidence import Evidence
from edgevision.bench.decide.patterns import Pattern

ENOUGH_LABELS = 1000
"""Boxes of some hundred pictures teach one place; a thousand pictures is where a compact detector starts to travel."""
HANDFUL = 5
FEW_PICTURES = 200
WEEK_DAYS = 7
STREAM_FPS = 1.0
"""From here on it is a stream, which no queue of requests to a server keeps up with for long."""
API_FRAMES_MONTH = 100_000
"""Above so many frames a month an answer a frame from somebody else's model costs more than labelling once."""
SMALL = (Device.PHONE, Device.PI)


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known when a question is put."""

    answers: Answers
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Said:
    """A question's answer with its reason."""

    yes: bool | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """One box of the chart. ``yes`` and ``no`` are the next question's name, or where it ends."""

    name: str
    ask: str
    needs: tuple[str, ...]
    """The answers it looks at: what an interview asks before it."""
    test: Callable[[Situation], Said]
    yes: str | tuple[Pattern, ...]
    no: str | tuple[Pattern, ...]
    untold: bool = False


def _numbers(s: Situation) -> Said:
    if s.answers.material is None:
        return Said(None)
    if s.answers.material is Material.NUMBERS:
        return Said(
            True, "your own numbers are in no foundation model; a small model learns them, and can be explained"
        )
    return Said(False, f"it looks at {s.answers.material}")


def _open(s: Situation) -> Said:
    if s.answers.task is None:
        return Said(True, "text is asked and answered in words") if s.answers.material is Material.TEXT else Said(None)
    if s.answers.task is Task.OPEN:
        return Said(True, "anything may be asked: no list of classes to train for")
    return Said(False, "the things to find are known beforehand")


def _too_fast(s: Situation) -> Said:
    """Whether the speed that is needed is beyond every foundation model that was measured."""
    need, best = s.answers.fps, s.evidence.best("foundation", boxes=s.answers.answer is not Answer.KIND)
    limit_ms = s.answers.latency_ms
    if need is None and limit_ms is None:
        return Said(None)
    small = s.answers.device in SMALL
    if s.answers.device in (Device.GPU, Device.SERVER) and not s.evidence.own:
        return Said(
            need is not None and need > STREAM_FPS * 100, "no foundation model was measured on that machine yet"
        )
    if best is None:
        return Said(
            bool(need and need > STREAM_FPS), "no foundation model was measured; they rarely keep up with a stream"
        )
    there = " here" if s.evidence.own else f" on {best.machine}"
    than = f", and a {s.answers.device} is slower" if small else ""
    if need and best.fps < need:
        return Said(True, f"needs {need:g} fps; the fastest of them, {best.shown}{there}{than}")
    if limit_ms and best.ms > limit_ms:
        return Said(
            True, f"needs an answer in {limit_ms:g} ms; the fastest, {best.model}, took {best.ms:.0f} ms{there}{than}"
        )
    if need and need >= STREAM_FPS and small:
        return Said(True, f"needs {need:g} fps on a {s.answers.device}; {best.shown}{there}{than}")
    return Said(False, f"{best.shown}{there}, which is enough" if need else "no stream to keep up with")


def _barred(s: Situation) -> Said:
    """Whether something other than speed rules a foundation model out."""
    a = s.answers
    if a.control:
        return Said(
            True, "the model must be yours to freeze and explain; a foundation model changes when its maker does"
        )
    if a.may_leave is False and a.device in SMALL:
        return Said(True, f"frames may not leave, and a {a.device} runs no foundation model of use")
    if a.frames_month is not None and a.frames_month > API_FRAMES_MONTH:
        return Said(
            True, f"{a.frames_month:,.0f} frames a month: an answer a frame from a big model costs more than training"
        )
    if a.teacher_knows is False:
        return Said(True, "a foundation model does not find these things")
    told = [a.control, a.frames_month, a.may_leave, a.scale_later, a.fps, a.latency_ms, a.days]
    if all(v is None for v in told):
        counted = a.labels is not None or a.unlabelled is not None or a.uniform is not None
        return Said(True, "pictures were counted, so a model is to be trained") if counted else Said(None)
    return Said(False, "nothing that was said rules one out")


def _grows(s: Situation) -> Said:
    if s.answers.scale_later is None:
        return Said(None)
    return (
        Said(True, "it must grow: what the first version sees becomes what the second one learns from")
        if s.answers.scale_later
        else Said(False, "neither scale nor speed is asked for, and a foundation model runs today")
    )


def _handful(s: Situation) -> Said:
    a = s.answers
    if a.answer is None or a.labels is None:
        return Said(None)
    if a.answer is Answer.KIND and HANDFUL <= a.labels < ENOUGH_LABELS:
        return Said(
            True, f"{a.labels} labels are too few for a detector, and enough for a light head on ready features"
        )
    return Said(False, f"{a.labels} labels, and it must say {'where' if a.answer is Answer.WHERE else 'which kind'}")


def _soon(s: Situation) -> Said:
    a = s.answers
    if a.days is None:
        return Said(None)
    if a.days > WEEK_DAYS or a.material is Material.NUMBERS:
        return Said(False, f"{a.days:g} days are enough to teach a compact model")
    have = (a.labels or 0) + (a.unlabelled or 0)
    if have >= FEW_PICTURES:
        return Said(False, f"{have} pictures are there already: a night of training makes a first version")
    return Said(
        True, f"due in {a.days:g} days with {have} pictures: run the big one at its own rate, and collect with it"
    )


def _hands(s: Situation) -> Said:
    if s.answers.can_label is None:
        return Said(None)
    return Said(
        s.answers.can_label, "somebody can draw the boxes" if s.answers.can_label else "nobody can draw the boxes"
    )


def _labels(s: Situation) -> Said:
    if s.answers.labels is None:
        return Said(None)
    enough = s.answers.labels >= ENOUGH_LABELS
    return Said(enough, f"{s.answers.labels} labelled pictures{'' if enough else f', of {ENOUGH_LABELS} or so'}")


def _few(s: Situation) -> Said:
    a = s.answers
    if a.uniform:
        return Said(True, "the pictures are all alike: a model would learn the place, not the thing")
    if a.labels is None and a.unlabelled is None:
        return Said(None)
    have = (a.labels or 0) + (a.unlabelled or 0)
    return Said(have < FEW_PICTURES, f"{have} pictures{f', of {FEW_PICTURES} at least' if have < FEW_PICTURES else ''}")


def _teachable(s: Situation) -> Said:
    a = s.answers
    if a.unlabelled is None:
        return Said(None)
    if a.unlabelled < FEW_PICTURES:
        return Said(False, f"only {a.unlabelled} pictures for a teacher to label")
    if a.teacher_knows is False:
        return Said(False, "no foundation model knows the things, so none can teach them")
    return Said(True, f"{a.unlabelled} pictures wait for a teacher, and time to label is not what must be fast")


CHART: tuple[Question, ...] = (
    Question("numbers", "Numbers, not pictures or words?", ("material",), _numbers, (Pattern.CUSTOM,), "open"),
    Question("open", "An open-ended task?", ("task",), _open, "open-fast", "handful"),
    Question(
        "open-fast",
        "Faster than any foundation model?",
        ("fps", "latency_ms", "device"),
        _too_fast,
        (Pattern.BOOTSTRAP,),
        (Pattern.FOUNDATION,),
    ),
    Question(
        "handful", "Kinds, from a handful of labels?", ("answer", "labels"), _handful, (Pattern.LIGHT_HEAD,), "too-fast"
    ),
    Question(
        "too-fast",
        "Faster than any foundation model?",
        ("fps", "latency_ms", "device"),
        _too_fast,
        "soon",
        "barred",
    ),
    Question(
        "barred",
        "Ruled out by control, privacy, cost or sight?",
        ("may_leave", "control", "frames_month", "teacher_knows"),
        _barred,
        "soon",
        "grows",
    ),
    Question(
        "grows", "Must it scale later?", ("scale_later",), _grows, (Pattern.BOOTSTRAP,), (Pattern.FOUNDATION,)
    ),
    Question("soon", "Due before there are pictures?", ("days",), _soon, (Pattern.BOOTSTRAP,), "labels"),
    Question(
        "labels", "A thousand labelled pictures?", ("labels",), _labels, (Pattern.CUSTOM,), "few"
    ),
    Question(
        "few", "Too few pictures, or all alike?", ("unlabelled", "uniform"), _few, (Pattern.SYNTHETIC,), "teachable"
    ),
    Question(
        "teachable",
        "Unlabelled pictures that a teacher understands?",
        ("unlabelled", "teacher_knows"),
        _teachable,
        (Pattern.LABELLER, Pattern.DISTILLATION),
        "hands",
    ),
    Question(
        "hands", "Somebody who can draw boxes?", ("can_label",), _hands, (Pattern.CUSTOM,), (Pattern.SYNTHETIC,), True
    ),
)  # fmt: skip
