"""``distill label``: a folder of pictures to a data folder, by teachers; picture by picture, and so resumed."""

from __future__ import annotations

import filecmp
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from edgevision.datasets.annotations import Box, LabelledData, PictureLabels
from edgevision.datasets.class_mapping import number_of
from edgevision.datasets.data_folder import DataFolder
from edgevision.datasets.dataset import pictures_under, read_data
from edgevision.datasets.reading_report import ReadingReport
from edgevision.datasets.storage import link_or_copy
from edgevision.detectors.load import TeacherSpec
from edgevision.errors import UsageError
from edgevision.training.labelling.ensemble import Engine, Labelling, Task, label_here
from edgevision.training.labelling.settings import LabelSettings
from edgevision.types import ProgressCallback


@dataclass(slots=True)
class LabelReport:
    """What came of a labelling run, counted."""

    asked: int = 0
    before: int = 0
    """Labelled by an earlier run."""
    labelled: int = 0
    review: int = 0
    failed: int = 0
    nothing: int = 0
    """Pictures in which there is no object."""
    empty_labels: int = 0
    """Label files of people with nothing in them."""
    objects: Counter[str] = field(default_factory=Counter)
    doubtful: Counter[str] = field(default_factory=Counter)
    unwanted: Counter[str] = field(default_factory=Counter)
    """Sure boxes of classes that no prompt names: left out."""
    unnamed: Counter[str] = field(default_factory=Counter)
    """People's labels of classes that no prompt names: left out."""
    unmet: tuple[str, ...] = ()
    """Wanted classes that no teacher has a name for."""
    note: str = ""
    reading: ReadingReport = field(default_factory=ReadingReport)
    """What was noticed in people's labels."""
    troubles: Counter[str] = field(default_factory=Counter)
    """Why pictures failed, or a teacher on some."""
    examples: dict[str, str] = field(default_factory=dict)
    """For each of those, the first picture."""

    def add(self, labels: PictureLabels, labelling: Labelling, classes: tuple[str, ...]) -> None:
        for trouble in filter(None, (labelling.error, *labelling.troubles)):
            self.troubles[trouble] += 1
            self.examples.setdefault(trouble, labels.file)
        if labels.status == "failed":
            self.failed += 1
            return
        self.labelled += 1
        self.unmet = labelling.unmet
        self.review += labels.status == "review"
        self.nothing += not labels.boxes
        self.unwanted.update(labelling.unwanted)
        for box in labels.boxes:
            (self.objects if box.weight > 0 else self.doubtful)[classes[box.class_id]] += 1


def label_folder(
    images: Path,
    out: Path,
    teachers: tuple[TeacherSpec, ...],
    settings: LabelSettings,
    *,
    people: Path | LabelledData | None = None,
    engine: Engine = label_here,
    progress: ProgressCallback | None = None,
) -> LabelReport:
    """Label the pictures under ``images`` into the data folder ``out``; what is there already stays.

    ``people`` names labels that people made (any layout that `read_data` knows): they are kept, and joined by what
    the teachers see beside them. Broken pictures and failing teachers are counted, never fatal. Raises `UsageError`
    and `ModelError` for what cannot begin at all.
    """
    root, files = pictures_under(images)
    report = LabelReport(asked=len(files))
    if isinstance(people, Path):
        people = read_data(people)
    own = _own_labels(people, settings, report) if people is not None else {}
    with DataFolder(out, settings.wanted.classes) as data:
        paths = {p.relative_to(root).as_posix(): p for p in files}
        _refuse_like_named(paths, data)
        waiting = [name for name in paths if _waits(data.pictures.get(name))]
        report.before = len(paths) - len(waiting)
        report.note = _save_settings(data, teachers, settings, report.before)
        stems = Counter(Path(name).stem for name in paths)
        tasks = (Task(name, paths[name], _existing_labels(data, own, stems, name)) for name in waiting)
        for number, (task, labelling) in enumerate(engine(tasks, teachers, settings) if waiting else (), 1):
            report.add(_keep(data, root, task, labelling, teachers), labelling, settings.wanted.classes)
            if progress is not None:
                progress(number, len(waiting), task.file)
    return report


def _save_settings(
    data: DataFolder, teachers: tuple[TeacherSpec, ...], settings: LabelSettings, labelled_before: int
) -> str:
    """Keep in the folder how it is labelled from now on; what is to be said where that was otherwise before."""
    previous = data.settings
    data.settings = {
        "teachers": [asdict(t) for t in teachers],
        "wanted": settings.wanted.to_text(),
        "trust": asdict(settings.trust),
        "class_trust": {name: asdict(t) for name, t in settings.class_trust},
        "mirror": settings.mirror,
    }
    now = json.loads(json.dumps(data.settings))  # tuples are lists on disk
    if labelled_before and previous and previous != now:
        return f"{labelled_before} images were labelled with other settings before and keep their labels"
    return ""


def _refuse_like_named(paths: Mapping[str, Path], data: DataFolder) -> None:
    """Raises `UsageError` where the folder holds another image under the name of one that is to be labelled."""
    for name, path in paths.items():
        there = data.pictures_folder / name
        if there.exists() and not there.samefile(path) and not filecmp.cmp(there, path, shallow=False):
            raise UsageError(f"{there}: is another image than {path}; rename the one, or name another --out")


def _existing_labels(
    data: DataFolder, own: Mapping[str, tuple[Box, ...]], stems: Mapping[str, int], file: str
) -> tuple[Box, ...]:
    """What people drew in an image: of their labels by its path, or by its stem where no other image has that; else
    what the folder holds.
    """
    stem = Path(file).stem
    for name in (file, *([stem] if stems[stem] == 1 else ())):
        if name in own:
            return own[name]
    known = data.pictures.get(file)
    return tuple(b for b in known.boxes if b.by == "person") if known is not None else ()


def _keep(
    data: DataFolder, root: Path, task: Task, labelling: Labelling, teachers: tuple[TeacherSpec, ...]
) -> PictureLabels:
    """Put an image and its labels into the folder."""
    if not labelling.error and root.resolve() != data.pictures_folder.resolve():
        link_or_copy(task.path, data.pictures_folder / task.file)
    known = data.pictures.get(task.file, PictureLabels(task.file))
    labels = _labels(known, task, labelling, " + ".join(t.model for t in teachers))
    data.put(labels)
    return labels


def _waits(known: PictureLabels | None) -> bool:
    """Whether a picture is still to be labelled; one that failed is tried again."""
    return known is None or known.status in ("new", "failed")


def _labels(known: PictureLabels, task: Task, labelling: Labelling, teacher: str) -> PictureLabels:
    if labelling.error:
        return replace(known, status="failed", error=labelling.error, teacher=teacher)
    return replace(
        known,
        width_px=labelling.width_px,
        height_px=labelling.height_px,
        status="review" if labelling.doubts else "labelled",
        boxes=labelling.boxes,
        faint=labelling.faint,
        doubts=labelling.doubts,
        teacher=teacher,
        error="",
    )


def _own_labels(people: LabelledData, settings: LabelSettings, report: LabelReport) -> dict[str, tuple[Box, ...]]:
    """People's boxes by file name, and by stem where one image alone has it, in the labels' class numbers."""
    numbers = [number_of(c, settings.wanted) for c in people.classes]
    found: dict[str, tuple[Box, ...]] = {}
    report.empty_labels, report.reading = people.empty_labels, people.report
    stems = Counter(p.path.stem for p in people.pictures)
    for picture in people.usable:
        kept = []
        for box in picture.labels.boxes:
            number = numbers[box.class_id]
            if number is None:
                report.unnamed[people.classes[box.class_id]] += 1
            else:
                kept.append(replace(box, class_id=number))
        found[picture.labels.file] = tuple(kept)
        if stems[picture.path.stem] == 1:
            found.setdefault(picture.path.stem, tuple(kept))
    return found
