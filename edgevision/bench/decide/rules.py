"""The rules: a chart of questions, read from the top. All judgement is in this file.

Each question reads a `Situation` (answers and measurements) and says yes, no or unknown, and why. If unknown, the
branch ``untold`` is taken and the decision reports the assumption.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgevision.bench.decide.answers import Answer, Answers, Device, Material, Task
from edgevision.bench.decide.evidence import Evidence
from edgevision.bench.decide.patterns import Pattern

ENOUGH_LABELS = 1000
"""Some hundred labelled images cover one place; from a thousand on, a compact detector generalises to others."""
HANDFUL = 5
FEW_PICTURES = 200
WEEK_DAYS = 7
STREAM_FPS = 1.0
"""From this rate on it is a stream, which requests to a server cannot follow."""
API_FRAMES_MONTH = 100_000
"""Above this number, a paid answer per frame costs more than labelling once."""
SMALL = (Device.PHONE, Device.PI)


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known when a question is asked."""

    answers: Answers
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Said:
    """A question's answer with its reason."""

    yes: bool | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """One box of the chart. ``yes`` and ``no`` are the next question's name, or an outcome."""

    name: str
    ask: str
    needs: tuple[str, ...]
    """The answers it reads; an interview asks for them first."""
    test: Callable[[Situation], Said]
    yes: str | tuple[Pattern, ...]
    no: str | tuple[Pattern, ...]
    untold: bool = False


def _numbers(s: Situation) -> Said:
    if s.answers.material is None:
        return Said(None)
    if s.answers.material is Material.NUMBERS:
        return Said(True, "no foundation model knows your numbers; a small model learns them and can be explained")
    return Said(False, f"the input is {s.answers.material}")


def _open(s: Situation) -> Said:
    if s.answers.task is None:
        return (
            Said(True, "text tasks are asked and answered in words")
            if s.answers.material is Material.TEXT
            else Said(None)
        )
    if s.answers.task is Task.OPEN:
        return Said(True, "there is no fixed list of classes to train for")
    return Said(False, "the classes are known in advance")


def _too_fast(s: Situation) -> Said:
    """Whether no measured foundation model reaches the required speed."""
    need, best = s.answers.fps, s.evidence.best("foundation", boxes=s.answers.answer is not Answer.KIND)
    limit_ms = s.answers.latency_ms
    if need is None and limit_ms is None:
        return Said(None)
    small = s.answers.device in SMALL
    if s.answers.device in (Device.GPU, Device.SERVER) and not s.evidence.own:
        return Said(
            need is not None and need > STREAM_FPS * 100, "no foundation model has been measured on such a machine yet"
        )
    if best is None:
        return Said(
            bool(need and need > STREAM_FPS), "no foundation model has been measured; they rarely keep up with a stream"
        )
    there = " here" if s.evidence.own else f" on {best.machine}"
    than = f", and a {s.answers.device} is slower" if small else ""
    if need and best.fps < need:
        return Said(True, f"{need:g} fps are required; the fastest foundation model, {best.shown}{there}{than}")
    if limit_ms and best.ms > limit_ms:
        return Said(True, f"{limit_ms:g} ms are allowed; the fastest, {best.model}, took {best.ms:.0f} ms{there}{than}")
    if need and need >= STREAM_FPS and small:
        return Said(True, f"{need:g} fps are required on a {s.answers.device}; {best.shown}{there}{than}")
    return Said(False, f"{best.shown}{there}, which is enough" if need else "no stream has to be followed")


def _barred(s: Situation) -> Said:
    """Whether control, privacy, cost or accuracy rules out a foundation model."""
    a = s.answers
    if a.control:
        return Said(
            True, "you must be able to freeze and explain the model; a foundation model changes with its vendor"
        )
    if a.may_leave is False and a.device in SMALL:
        return Said(True, f"frames may not leave your machines, and a {a.device} runs no useful foundation model")
    if a.frames_month is not None and a.frames_month > API_FRAMES_MONTH:
        return Said(True, f"{a.frames_month:,.0f} frames a month: paying per frame costs more than training")
    if a.teacher_knows is False:
        return Said(True, "a foundation model does not find these objects")
    told = [a.control, a.frames_month, a.may_leave, a.scale_later, a.fps, a.latency_ms, a.days]
    if all(v is None for v in told):
        counted = a.labels is not None or a.unlabelled is not None or a.uniform is not None
        return Said(True, "images were counted, so a model is to be trained") if counted else Said(None)
    return Said(False, "no answer rules one out")


def _grows(s: Situation) -> Said:
    if s.answers.scale_later is None:
        return Said(None)
    return (
        Said(True, "it must scale: the first version collects the training data of the second")
        if s.answers.scale_later
        else Said(False, "neither scale nor speed is required, and a foundation model runs today")
    )


def _handful(s: Situation) -> Said:
    a = s.answers
    if a.answer is None or a.labels is None:
        return Said(None)
    if a.answer is Answer.KIND and HANDFUL <= a.labels < ENOUGH_LABELS:
        return Said(
            True, f"{a.labels} labels are too few for a detector, but enough for a light head on frozen features"
        )
    return Said(False, f"{a.labels} labels, and the answer is {'a box' if a.answer is Answer.WHERE else 'a class'}")


def _soon(s: Situation) -> Said:
    a = s.answers
    if a.days is None:
        return Said(None)
    if a.days > WEEK_DAYS or a.material is Material.NUMBERS:
        return Said(False, f"{a.days:g} days are enough to train a compact model")
    have = (a.labels or 0) + (a.unlabelled or 0)
    if have >= FEW_PICTURES:
        return Said(False, f"{have} images exist already: a night of training makes a first version")
    return Said(
        True, f"due in {a.days:g} days with {have} images: run a foundation model at its own rate and collect with it"
    )


def _hands(s: Situation) -> Said:
    if s.answers.can_label is None:
        return Said(None)
    return Said(s.answers.can_label, "someone can label images" if s.answers.can_label else "no one can label images")


def _labels(s: Situation) -> Said:
    if s.answers.labels is None:
        return Said(None)
    enough = s.answers.labels >= ENOUGH_LABELS
    return Said(enough, f"{s.answers.labels} labelled images{'' if enough else f'; about {ENOUGH_LABELS} are needed'}")


def _few(s: Situation) -> Said:
    a = s.answers
    if a.uniform:
        return Said(True, "the images are uniform: a model would learn the place, not the object")
    if a.labels is None and a.unlabelled is None:
        return Said(None)
    have = (a.labels or 0) + (a.unlabelled or 0)
    return Said(
        have < FEW_PICTURES, f"{have} images{f'; at least {FEW_PICTURES} are needed' if have < FEW_PICTURES else ''}"
    )


def _teachable(s: Situation) -> Said:
    a = s.answers
    if a.unlabelled is None:
        return Said(None)
    if a.unlabelled < FEW_PICTURES:
        return Said(False, f"only {a.unlabelled} images for a teacher to label")
    if a.teacher_knows is False:
        return Said(False, "no foundation model finds the objects, so none can label them")
    return Said(True, f"{a.unlabelled} unlabelled images; a teacher can label them offline, at its own speed")


CHART: tuple[Question, ...] = (
    Question("numbers", "Numbers, not images or text?", ("material",), _numbers, (Pattern.CUSTOM,), "open"),
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
        "handful", "Classes, from few labels?", ("answer", "labels"), _handful, (Pattern.LIGHT_HEAD,), "too-fast"
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
        "Ruled out by control, privacy, cost or accuracy?",
        ("may_leave", "control", "frames_month", "teacher_knows"),
        _barred,
        "soon",
        "grows",
    ),
    Question(
        "grows", "Must it scale later?", ("scale_later",), _grows, (Pattern.BOOTSTRAP,), (Pattern.FOUNDATION,)
    ),
    Question("soon", "Due before there are images?", ("days",), _soon, (Pattern.BOOTSTRAP,), "labels"),
    Question(
        "labels", "A thousand labelled images?", ("labels",), _labels, (Pattern.CUSTOM,), "few"
    ),
    Question(
        "few", "Too few images, or uniform ones?", ("unlabelled", "uniform"), _few, (Pattern.SYNTHETIC,), "teachable"
    ),
    Question(
        "teachable",
        "Unlabelled images that a teacher can label?",
        ("unlabelled", "teacher_knows"),
        _teachable,
        (Pattern.LABELLER, Pattern.DISTILLATION),
        "hands",
    ),
    Question(
        "hands", "Someone available to label?", ("can_label",), _hands, (Pattern.CUSTOM,), (Pattern.SYNTHETIC,), True
    ),
)  # fmt: skip
