"""The benchmark itself: contenders are loaded, taken in turns, looked at, and put down as one `BenchRun`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from edgevision import __version__
from edgevision.bench.accuracy import accuracy, agreement
from edgevision.bench.clips import BUNDLED, SCENE, check_distinct, describe_clip
from edgevision.bench.contender import Contender, ContenderSpec
from edgevision.bench.image_sets import FrameSet, Truth, data_set, labelled_set, unlabelled_set
from edgevision.bench.machine import Bystanders, Gauges, Sampler, commit, describe_machine
from edgevision.bench.records import AccuracyFigure, AgreementFigure, BenchRun, Clip, ContenderRecord, Sample, Settings
from edgevision.bench.schedule import Measurable, Progress, Race, Schedule, Task, silent
from edgevision.bench.sustained import SUSTAINED_BLOCK_S, Sustaining
from edgevision.bench.worker_process import Sparing, Worker
from edgevision.detectors.foundation import foundation_kind
from edgevision.errors import ModelFailed, UsageError
from edgevision.evaluation.average_precision import LEAST_SCORE
from edgevision.interfaces import Detector
from edgevision.types import Detections

ROUNDS = 16
SECONDS = 6.0
"""Of measuring, for each contender, way and source."""
_QUICK_START_S = 4.0
"""Faster starters are started three times."""
_FIND_S = 20.0
"""A contender that is slower than its pictures are many is given the first of them only."""


class Bench:
    """One run. `measure` does all of it; what is there when it is interrupted is kept."""

    def __init__(
        self,
        settings: Settings,
        *,
        progress: Progress = silent,
        clock: Callable[[], int] = time.monotonic_ns,
        gauges: Gauges | None = None,
    ) -> None:
        self._settings, self._progress, self._clock = settings, progress, clock
        self._gauges = gauges or Gauges()
        self._start_ns = clock()
        self._rounds = Schedule(settings, self._gauges.energy, progress=progress, clock=clock)
        self._contenders: dict[str, ContenderRecord] = {}
        self._taken: dict[str, Measurable] = {}
        self._held: dict[ContenderSpec, Worker] = {}
        self._clips: list[tuple[str, Clip]] = []
        self._accuracy: list[AccuracyFigure] = []
        self._agreement: list[AgreementFigure] = []
        self._notes: list[str] = []
        self._sustained: Sustaining | None = None
        self._samples: tuple[Sample, ...] = ()
        self._idle_w: float | None = None
        self._busy_elsewhere: float | None = None
        self._interrupted = False

    def add_clip(self, address: str) -> Clip:
        """Raises what `describe_clip` raises, and `UsageError` for one that is there already."""
        described = describe_clip(address)
        self._clips.append((address, described))
        check_distinct([clip for _, clip in self._clips])
        return described

    def note(self, text: str) -> None:
        """One sentence for the report."""
        self._notes.append(text)

    def add_detector(self, detector: Detector, model: str = "") -> str:
        """A detector that is loaded, measured in this process; returns its label."""
        return self._add(Contender(ContenderSpec(model or detector.name), detector=detector, clock=self._clock), ())

    def add_worker(self, wanted: ContenderSpec, cold_starts: int = 3) -> str:
        """A model, loaded in a process of its own; returns its label. Raises what loading raises.

        Ways to loop over the same loaded model (`ContenderSpec.detect_every`) share a process.
        """
        held = self._held.get(replace(wanted, detect_every=1))
        if held is not None and wanted.detect_every > 1:
            return self._add(Sparing(held, wanted.detect_every), ())
        self._progress(f"starting {wanted.model}", 0.0, 0.0)
        address = self._clips[0][0]
        shared = any(clip.kind == "live" for _, clip in self._clips)
        worker = Worker(wanted, address, shared, self._clock)
        starts = [worker.cold_start_ns]
        while starts[0] < _QUICK_START_S * 1e9 and len(starts) < cold_starts and not shared:
            worker.close()
            worker = Worker(wanted, address, shared, self._clock)
            starts.append(worker.cold_start_ns)
        label = self._add(worker, tuple(starts))
        if wanted.detect_every == 1:
            self._held[wanted] = worker
        return label

    def _add(self, taken: Measurable, starts: tuple[int, ...]) -> str:
        contender = taken.describe().model_copy(update={"cold_start_ns": starts})
        if contender.label in self._contenders:
            taken.close()
            raise UsageError(f"expected each contender once, got {contender.label} twice: leave one out")
        self._contenders[contender.label] = contender
        self._taken[contender.label] = taken
        return contender.label

    def measure_idle(self, seconds: float = 1.0, wait: Callable[[float], object] = time.sleep) -> None:
        """Power while nothing is measured, where the machine tells."""
        energy = self._gauges.energy
        if not energy.counts:
            self._idle_w = energy.power_w()
            return
        before, began = energy.read_uj(), self._clock()
        wait(seconds)
        spent = energy.spent_uj(before, energy.read_uj())
        self._idle_w = None if spent is None else spent / 1e6 / ((self._clock() - began) / 1e9)

    def measure(
        self,
        data: Path | None = None,
        *,
        find: Collection[str] | None = None,
        sustained_s: float | None = None,
        alone: bool = True,
        race: Race | None = None,
    ) -> None:
        """Warm up, measure in rounds, look at what each finds; then, if asked, one of them for minutes.

        ``find``: the labels of those whose accuracy is wanted; by default all. ``alone``: whether inference is timed
        without the loop as well; ``race`` may drop contenders after each round. Ctrl-C ends it and keeps what is there.
        """
        for label, taken in self._taken.items():
            for k, (address, clip) in enumerate(self._clips):
                if alone and k == 0:
                    self._rounds.tasks.append(Task(taken, label, "alone", address, clip))
                self._rounds.tasks.append(Task(taken, label, "loop", address, clip))
        sampler = Sampler(self._gauges, self._start_ns, self._clock)
        try:
            self._rounds.warm_up()
            bystanders = Bystanders()
            self._rounds.take(race=race)
            spent_ns = sum(b.cpu_ns for task in self._rounds.tasks for b in task.blocks if b.round >= 0)
            self._busy_elsewhere = bystanders.share(spent_ns / 1e9)
            self._weigh()  # before pictures for accuracy are drawn there
            self._look(data, self._contenders if find is None else find)
            if sustained_s is not None:
                self._sustain(sustained_s)
        except KeyboardInterrupt:
            if not any(task.measured for task in self._rounds.tasks):
                raise
            self._interrupted = True
        finally:
            self._samples = sampler.stop()

    def more(self, labels: Collection[str], rounds: int) -> None:
        """Further rounds of some contenders, after `measure`."""
        self._rounds.dropped = set(self._contenders) - set(labels)
        self._rounds.take(1 + max((b.round for t in self._rounds.tasks for b in t.blocks), default=-1), rounds)

    def result(self) -> BenchRun:
        """What was measured until now."""
        energy = self._gauges.energy
        failed = {label: {"failure": str(exc)} for label, exc in self._rounds.failures.items()}
        return BenchRun(
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            edgevision=__version__,
            commit=commit(),
            machine=describe_machine(),
            settings=self._settings,
            clips=tuple(clip for _, clip in self._clips),
            contenders=tuple(c.model_copy(update=failed.get(c.label, {})) for c in self._contenders.values()),
            series=tuple(task.series() for task in self._rounds.tasks if task.blocks),
            accuracy=tuple(self._accuracy),
            agreement=tuple(self._agreement),
            sustained=() if self._sustained is None else (self._sustained.result(),),
            samples=self._samples,
            energy=energy.source,
            no_energy=energy.reason,
            idle_w=self._idle_w,
            busy_elsewhere=self._busy_elsewhere,
            interrupted=self._interrupted,
            notes=tuple(self._notes) + tuple(self._failure_notes()),
        )

    def close(self) -> None:
        """End every contender's process."""
        for taken in self._taken.values():
            with suppress(Exception):
                taken.close()

    def _failure_notes(self) -> list[str]:
        failures = self._rounds.failures.items()
        return [f"{self._contenders[label].shown} was measured no further: {exc}." for label, exc in failures]

    def _weigh(self) -> None:
        """Peak memory of contenders that have a process to themselves."""
        for label, taken in self._taken.items():
            if isinstance(taken, Worker) and label not in self._rounds.failures:
                update = {"peak_rss_mib": taken.peak_rss_mib()}
                self._contenders[label] = self._contenders[label].model_copy(update=update)

    def _look(self, data: Path | None, wanted: Collection[str]) -> None:
        """Accuracy where there are labels, agreement with the first contender where there are none."""
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgevision-bench-")))
            sets: list[tuple[FrameSet, Truth | None]] = [] if data is None else [data_set(data)]
            for address, clip in self._clips:
                # The same pictures for all: what is predicted can be right or wrong only where frame follows frame.
                known = labelled_set(address, sequence=any(c.detect_every > 1 for c in self._contenders.values()))
                unknown = None if known else unlabelled_set(address, clip.name, clip.frames, clip.live, scratch)
                sets.append(known or (unknown, None))  # type: ignore[arg-type]
            for frame_set, truth in sets:
                self._look_at(frame_set, truth, wanted)

    def _look_at(self, frame_set: FrameSet, truth: Truth | None, wanted: Collection[str]) -> None:
        found: dict[str, list[Detections]] = {}
        unfit = False
        for label, contender in self._contenders.items():
            if label not in wanted or not _gives_boxes(contender) or label in self._rounds.failures:
                continue
            if contender.detect_every > 1 and not frame_set.in_sequence:
                unfit = True
                continue
            self._progress(f"{label}: what it finds", 1.0, 1.0)
            try:
                threshold = LEAST_SCORE if truth is not None else None
                found[label] = self._taken[label].find(frame_set, _FIND_S, threshold)
            except ModelFailed as exc:
                self._rounds.failures[label] = exc
                continue
            if truth is not None:
                figure = accuracy(label, frame_set.name, found[label], contender.classes, truth)
                if figure is not None:
                    self._accuracy.append(figure)
                else:
                    self._notes.append(f"{contender.shown}: no accuracy on {frame_set.name}, no class is shared.")
        if unfit:
            self._notes.append(
                f"{frame_set.name}: its images are not consecutive frames, so the cost of "
                "--detect-every in accuracy cannot be measured on them."
            )
        if truth is None and len(found) > 1:
            self._agree(frame_set, found)

    def _agree(self, frame_set: FrameSet, found: dict[str, list[Detections]]) -> None:
        first, *others = found
        reference = self._contenders[first]
        for label in others:
            pair = (found[label], self._contenders[label].classes), (found[first], reference.classes)
            seen = agreement(label, first, frame_set.name, *pair, reference.min_score or 0.0)
            if seen is not None:
                self._agreement.append(seen)

    def _sustain(self, seconds: float) -> None:
        """The first contender's loop on the first source, without the others."""
        task = next((t for t in self._rounds.living if t.kind == "loop"), None)
        if task is None:
            return
        began = self._clock()
        self._sustained = Sustaining(task.label, task.clip, began - self._start_ns)
        while (spent_s := (self._clock() - began) / 1e9) < seconds:
            self._progress(f"{task.label}: sustained", spent_s, seconds)
            block = task.take(min(SUSTAINED_BLOCK_S, seconds - spent_s), None, 0)
            self._sustained.add(block, (self._clock() - began - block.span_ns) / 1e9)


def _gives_boxes(contender: ContenderRecord) -> bool:
    """Whether what it finds can be right or wrong: boxes of named classes, by weights that mean something."""
    if contender.random_weights:
        return False
    return contender.kind != "foundation" or foundation_kind(contender.model) in ("boxes", "language", "api")


def default_clips() -> list[str]:
    """The bundled clip, and the built-in scene as a live camera."""
    return [str(BUNDLED), SCENE]


def bench(
    models: Sequence[str | ContenderSpec | Detector],
    sources: Sequence[str] | None = None,
    *,
    data: Path | None = None,
    seconds: float = SECONDS,
    rounds: int = ROUNDS,
    frames: int | None = None,
    progress: Progress = silent,
) -> BenchRun:
    """Measure models against each other on the same frames, and return everything.

    ``models``: names, paths, ``foundation:NAME``, a `ContenderSpec`, or loaded detectors (measured in this process, so
    without memory and cold start). ``sources`` are addresses; by default the bundled clip and the live scene.
    ``data`` is a folder of labelled images. Raises `EdgeVisionError`; interrupted, it returns what it has.
    """
    if not models:
        raise UsageError("expected at least one model to measure")
    if not seconds > 0 or rounds < 1 or (frames is not None and frames < 1):
        raise UsageError(f"expected seconds, rounds and frames above 0, got {seconds:g}, {rounds} and {frames}")
    run = Bench(Settings(seconds=seconds, rounds=rounds, frames=frames), progress=progress)
    try:
        for address in sources if sources is not None else default_clips():
            run.add_clip(address)
        run.measure_idle()
        for model in models:
            if isinstance(model, str | ContenderSpec):
                run.add_worker(ContenderSpec(model) if isinstance(model, str) else model)
            else:
                run.add_detector(model)
        run.measure(data)
        return run.result()
    finally:
        run.close()
