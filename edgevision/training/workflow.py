"""``distill all``: from frames to a model of the store, step by step; each step can be killed and is then gone on with.

OUT/data            pictures and labels
OUT/run             the student's training
OUT/model/NAME      the exported model
OUT/evaluation      curve, worst pictures, figures
OUT/line.json       which steps are done, with what
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from edgevision.datasets.annotations import short_name
from edgevision.datasets.split import split_folder
from edgevision.datasets.storage import write_whole
from edgevision.deployment.add_model import add_to_store
from edgevision.detectors.load import TeacherSpec, load_teacher
from edgevision.errors import UsageError
from edgevision.interfaces import Closeable
from edgevision.regular_file import parse_json, read_regular_text
from edgevision.training.export.export import export_any
from edgevision.training.export.model_card import ModelCardFields
from edgevision.training.export.options import ExportOptions
from edgevision.training.labelling.auto_label import LabelReport, label_folder
from edgevision.training.labelling.settings import LabelSettings
from edgevision.training.recipe import Recipe


class Shown(Protocol):
    """How the line speaks: `edgevision.cli.distill_console`."""

    def say(self, text: str) -> None: ...

    def progress(self, what: str) -> AbstractContextManager[Callable[[int, int, str], None]]: ...

    def label_table(self, report: LabelReport) -> None: ...

    def collect_table(self, report: Any) -> None: ...

    def evaluation_table(self, evaluation: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Workflow:
    """What is to be made of what."""

    source: str
    folder: Path
    teachers: tuple[TeacherSpec, ...]
    settings: LabelSettings
    recipe: Recipe
    wish: ModelCardFields
    people: Path | None = None
    most: int | None = None
    int8: bool = True
    workers: int = 2
    threads: int | None = None
    device: str | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What may not change between two calls on one folder."""
        return {
            "source": self.source,
            "teachers": [t.model for t in self.teachers],
            "classes": list(self.settings.wanted.classes),
            "name": self.wish.name,
        }


def run_workflow(line: Workflow, shown: Shown) -> str:
    """Do what is left to do; ``name@version`` of the model that is now among the user's.

    Raises `UsageError` where the folder holds another line, and whatever a step raises: the steps before it stay done.
    """
    from edgevision.training.extras import need_train

    need_train("training a student")
    begun, done = _state(line)
    done = _of_this_recipe(line, done, shown)
    _check(line, done)
    line.folder.mkdir(parents=True, exist_ok=True)
    steps: dict[str, Callable[[], str]] = {
        "collect": lambda: _collect(line, shown),
        "split": lambda: _split(line, shown),
        "label": lambda: _label(line, shown),
        "train": lambda: _train(line, shown),
        "export": lambda: _export(line, shown),
        "evaluate": lambda: _evaluate(line, shown),
        "add": lambda: _add(line, shown),
    }
    for number, (name, step) in enumerate(steps.items(), 1):
        if name in done:
            shown.say(f"[{number}/{len(steps)}] {name}: done before: {done[name]}")
            continue
        shown.say(f"[{number}/{len(steps)}] {name}")
        begun.add(name)
        _keep(line, begun, done)
        done[name] = step()
        _keep(line, begun, done)
    return done["add"]


_STEPS = ("collect", "split", "label", "train", "export", "evaluate", "add")
_BINDS = {"collect": ("source",), "split": ("classes",), "label": ("teachers", "classes"), "export": ("name",)}
"""What each step makes of the identity: from its beginning on, and not before, that may not change."""


def _state(line: Workflow) -> tuple[set[str], dict[str, str]]:
    """The steps that began, and what those came to that are done. Raises `UsageError` where they were another's."""
    path = line.folder / "line.json"
    if not path.exists():
        if line.folder.is_dir() and any(p.suffix != ".new" for p in line.folder.iterdir()):
            raise UsageError(f"{line.folder}: is not empty and holds no workflow; name a new folder for --out")
        return set(), {}
    try:
        values = parse_json(read_regular_text(path))
        known, done = values["line"], dict(values["done"])
        # A file of an earlier version does not say what began: the step after the last that is done may have.
        begun = set(values["begun"] if "begun" in values else [*done, *list(_STEPS)[len(done) : len(done) + 1]])
    except (ValueError, KeyError, TypeError) as exc:
        raise UsageError(f"{path}: cannot be read: {exc!r}; name a new folder for --out") from exc
    bound = {key for step in begun for key in _BINDS.get(step, ())}
    other = [key for key, value in line.identity.items() if key in bound and known.get(key) != value]
    if other:
        raise UsageError(
            f"{line.folder}: holds a workflow with another {', '.join(other)} "
            f"({'; '.join(str(known.get(k)) for k in other)}); name a new folder for --out"
        )
    return begun, done


def _check(line: Workflow, done: dict[str, str]) -> None:
    """What the steps that are left will need, before hours of work rather than after them.

    Raises `UsageError`, `SourceError` and `ModelError`.
    """
    if "collect" not in done and not Path(line.source).expanduser().is_dir():
        from edgevision.capture import open_source

        open_source(line.source).close()
    if "label" not in done:
        if line.people is not None:
            from edgevision.datasets.dataset import read_data

            read_data(line.people)
        for teacher in line.teachers:
            loaded = load_teacher(teacher, line.settings.wanted, line.settings.trust.doubt)
            if isinstance(loaded, Closeable):
                loaded.close()
    if "train" not in done and line.recipe.trainer == "own":
        from edgevision.training.train import check_weights

        check_weights(line.recipe, line.folder / "run", line.settings.wanted.classes)


def _of_this_recipe(line: Workflow, done: dict[str, str], shown: Shown) -> dict[str, str]:
    """What is done, less training and what follows from it where another recipe is asked for than was trained by."""
    from edgevision.training.run_folder import read_run

    run = line.folder / "run"
    # A run that was thrown away once its model was made cannot be gone on with, and need not be.
    if "train" not in done or not run.exists() or read_run(run).recipe == line.recipe:
        return done
    shown.say("the recipe has changed: training continues with it")
    return {name: done[name] for name in ("collect", "split", "label") if name in done}


def _keep(line: Workflow, begun: set[str], done: dict[str, str]) -> None:
    state = {"line": line.identity, "begun": sorted(begun), "done": done}
    write_whole(line.folder / "line.json", json.dumps(state, indent=1))


def _collect(line: Workflow, shown: Shown) -> str:
    """Frames of a clip or camera worth labelling; a folder of pictures is taken whole."""
    data = line.folder / "data"
    place = Path(line.source).expanduser()
    if place.is_dir():
        from edgevision.datasets.dataset import pictures_under
        from edgevision.datasets.storage import link_or_copy

        root, files = pictures_under(place)
        for file in files:
            link_or_copy(file, data / "images" / file.relative_to(root))
        return f"{len(files)} pictures of {place}"
    from edgevision.capture import open_source
    from edgevision.training.labelling.frame_selection import Collector, CollectSettings, collect

    with open_source(line.source) as source, shown.progress("collecting") as tell:
        report = collect(source, line.source, Collector(data, CollectSettings(line.most)), tell)
    shown.collect_table(report)
    if report.note:
        shown.say(report.note)
    if len(report.kept) < 2:
        raise UsageError(f"{line.source}: expected at least 2 frames worth labelling, found {len(report.kept)}")
    return f"{len(report.kept)} frames"


def _split(line: Workflow, shown: Shown) -> str:
    with shown.progress("looking for near-duplicates") as tell:
        report = split_folder(line.folder / "data", line.settings.wanted.classes, progress=tell)
    if report.note:
        shown.say(report.note)
    return f"{report.counts.get('train', 0)} to train, {report.counts.get('val', 0)} to validate. {report.note}".strip()


def _label(line: Workflow, shown: Shown) -> str:
    data = line.folder / "data"
    with shown.progress("labelling") as tell:
        report = label_folder(data, data, line.teachers, line.settings, people=line.people, progress=tell)
    shown.label_table(report)
    return f"{report.labelled + report.before} pictures, {report.failed} failed"


def _train(line: Workflow, shown: Shown) -> str:
    from edgevision.training.train import train_student

    run = line.folder / "run"
    with shown.progress("training") as tell:
        train_student(
            [line.folder / "data"],
            line.recipe,
            run,
            resume=run.exists(),
            workers=line.workers,
            threads=line.threads,
            device=line.device,
            say=shown.say,
            progress=tell,
        )
    return f"{line.recipe.epochs} epochs"


def _export(line: Workflow, shown: Shown) -> str:
    wish = replace(
        line.wish,
        teacher=" + ".join(Path(t.model).stem if t.model.endswith(".onnx") else t.model for t in line.teachers),
        data=line.wish.data or (short_name(line.source),),
        notes=(*line.wish.notes, *_weaknesses(line)),
        replace=True,
    )
    target = line.folder / "model" / line.wish.name
    shipped = export_any(line.folder / "run", target, wish, ExportOptions(int8=line.int8), shown.say)
    return f"{shipped.manifest.label}, {shipped.ms:.1f} ms"


def _weaknesses(line: Workflow) -> tuple[str, ...]:
    done = parse_json(read_regular_text(line.folder / "line.json"))["done"]
    said = done.get("split", "").partition(". ")[2]
    return (f"split: {said}",) if said else ()


def _evaluate(line: Workflow, shown: Shown) -> str:
    from edgevision.datasets.dataset import read_data
    from edgevision.evaluation.contact_sheet import write_sheets
    from edgevision.evaluation.evaluate import evaluate, load_to_measure, of_part

    held = of_part(read_data(line.folder / "data"), "")
    model = load_to_measure(str(line.folder / "model" / line.wish.name), held.classes, 1)
    with shown.progress("measuring") as tell:
        evaluation = evaluate([model], held, progress=tell)
    shown.evaluation_table(evaluation)
    write_sheets(evaluation, line.folder / "evaluation")
    return f"AP50 {evaluation.models[0].ap50} on {evaluation.pictures} pictures"


def _add(line: Workflow, shown: Shown) -> str:
    label = add_to_store(line.folder / "model" / line.wish.name)
    shown.say(f"{label} is among your models")
    return label
