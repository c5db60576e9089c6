"""One contender, and the three things that are measured of it: inference alone, the whole loop, what it finds."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgevision.bench.clips import TurnSource, first_frames
from edgevision.bench.image_sets import FrameSet
from edgevision.bench.predict import at_cadence, find, scores_kept
from edgevision.bench.records import Block, ContenderRecord
from edgevision.detectors.engines import DEFAULT_ENGINE
from edgevision.detectors.foundation import is_foundation
from edgevision.detectors.foundation.base import FoundationDetector
from edgevision.detectors.onnx_detector import OnnxDetector
from edgevision.detectors.registry import MOST_BYTES, find_model, load_detector
from edgevision.errors import ModelNotFound
from edgevision.interfaces import Closeable, Detector, HasMinScore, Source
from edgevision.pipeline.loop import Pipeline
from edgevision.pipeline.memory import peak_rss_mib
from edgevision.pipeline.tracking_stage import tracker_for
from edgevision.regular_file import read_regular
from edgevision.types import STAGES, Detections, StageTimes

READY_FRAMES = 8
"""Different frames for inference alone: one and the same would sit in the cache."""
DEAD_SOURCE_S = 10.0
"""A live source that gives nothing for so long after its turn ends the block."""


@dataclass(frozen=True, slots=True)
class ContenderSpec:
    """A contender to be: which model, loaded how."""

    model: str
    """A stored model's name, a path, or ``foundation:NAME[@WEIGHTS]``."""
    threads: int | None = None
    """None for its own default."""
    streams: int = 1
    detect_every: int = 1
    """Of so many frames the loop detects one; the others' boxes are predicted."""
    side_px: int | None = None
    engine: str = DEFAULT_ENGINE
    """Of a compact model: an engine's name, or ``auto``."""
    weights: str | None = None
    """Of a foundation model: ``random``, a folder, a hub id; None for its library's own."""
    prompts: str | None = None
    """What to look for: the words themselves, or a file with them."""
    allow_upload: bool = False
    """Whether frames may go to another machine (``foundation:api``)."""


class Contender:
    """A contender in this process. Not safe from several threads."""

    def __init__(
        self,
        wanted: ContenderSpec,
        *,
        detector: Detector | None = None,
        shared: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Load it. ``detector`` is one that is loaded already. ``shared``: other processes want the live sources too.

        Raises what `load_detector` and `load_foundation` raise.
        """
        self._wanted, self._shared, self._clock = wanted, shared, clock
        self._detector = detector if detector is not None else _load(wanted)
        self._turns: dict[str, TurnSource] = {}
        self._ready: list[Any] = []

    @property
    def detector(self) -> Detector:
        return self._detector

    def describe(self) -> ContenderRecord:
        """What is known of it before anything was measured."""
        return at_cadence(self._described(), self._wanted.detect_every)

    def _described(self) -> ContenderRecord:
        detector, wanted = self._detector, self._wanted
        if isinstance(detector, OnnxDetector):
            stored = find_model(wanted.model)
            graph = read_regular(stored.path, MOST_BYTES)
            precision = precision_of(graph)
            recipe = detector.manifest.input
            threads = detector.session.threads
            side = f", {recipe.width_px} px" if wanted.side_px else ""
            streams = f", {wanted.streams} streams" if wanted.streams > 1 else ""
            return ContenderRecord(
                label=f"{detector.name} {precision}{side}, {_threads(threads)}{streams}",
                model=detector.name,
                kind="compact",
                sha256=hashlib.sha256(graph).hexdigest(),
                file_bytes=len(graph),
                precision=precision,
                input_wh=(recipe.width_px, recipe.height_px),
                threads=threads,
                streams=wanted.streams,
                engine=detector.session.engine,
                provider=detector.session.provider,
                spinning=False,
                classes=detector.classes,
                min_score=detector.min_score,
                alone="session.run on a tensor that is ready",
            )
        foundation = is_foundation(wanted.model)
        threads_known = wanted.threads or (_torch_threads() if foundation else None)
        name = detector.name.removeprefix("foundation:").removesuffix("@random")
        return ContenderRecord(
            label=f"{name}, {_threads(threads_known)}" if threads_known else name,
            model=detector.name,
            kind="foundation" if foundation else "other",
            threads=threads_known,
            streams=wanted.streams,
            random_weights=isinstance(detector, FoundationDetector) and detector.random_weights,
            mode=detector.mode if isinstance(detector, FoundationDetector) else "",
            classes=detector.classes,
            min_score=detector.min_score if isinstance(detector, HasMinScore) else None,
            alone="detect() on a decoded image, with the model's own preprocessing",
        )

    def first_result(self, address: str) -> None:
        """One frame of a source through the detector: the end of a cold start."""
        self._detector.detect(first_frames(address, 1)[0].pixels)

    def offer(self, name: str, source: Source) -> None:
        """Use a source that is open already where ``name`` is asked for."""
        self._turns[name] = TurnSource(name, clock=self._clock, source=source)

    def run_alone(self, address: str, seconds: float, frames: int | None, number: int) -> Block:
        """Inference on ready inputs for so long, at least once."""
        call = self._prepared(address)
        clock, ended = self._clock, []
        cpu = time.process_time_ns()
        began = clock()
        deadline = began + round(seconds * 1e9)
        while True:
            call()
            now = clock()
            ended.append(now)
            if now >= deadline or len(ended) == frames:
                break
        spent = time.process_time_ns() - cpu
        published = [t - began for t in ended]
        durations = np.diff(np.array([began, *ended], np.int64)).tolist()
        return Block(
            round=number,
            began_ns=0,
            span_ns=published[-1],
            published_ns=tuple(published),
            stages={"infer": tuple(durations)},
            cpu_ns=spent,
        )

    def run_loop(
        self, address: str, seconds: float, frames: int | None, number: int, detect_every: int | None = None
    ) -> Block:
        """The whole loop, nothing displayed, for so long, at least one frame where the source has one.

        ``detect_every`` is another than was `ContenderSpec`.
        """
        with scores_kept(self._detector):
            return self._loop(address, seconds, frames, number, detect_every or self._wanted.detect_every)

    def _loop(self, address: str, seconds: float, frames: int | None, number: int, every: int) -> Block:
        source = self._turn(address)
        source.begin_turn(seconds, None if source.info.live else frames)
        tracker = tracker_for(self._detector, source.info) if every > 1 else None
        streams, clock = self._wanted.streams, self._clock
        pipeline = Pipeline(source, self._detector, tracker=tracker, streams=streams, detect_every=every, clock=clock)
        rows: list[tuple[int, int, int, StageTimes]] = []
        # A dead camera blocks its reader, and would block us.
        watchdog = threading.Timer(seconds + DEAD_SOURCE_S, _quit_silent, (pipeline, rows))
        watchdog.daemon = True
        if source.info.live:
            watchdog.start()
        cpu = time.process_time_ns()
        began = clock()
        try:
            with closing(pipeline.results()) as results:  # type: ignore[type-var]
                for result in results:
                    rows.append((clock(), result.frame.index, result.frame.captured_ns, result.times))
                    if len(rows) == frames:
                        source.end_turn()
        finally:
            watchdog.cancel()
            spent = time.process_time_ns() - cpu
            span = clock() - began
            source.finish_turn()
        return Block(
            round=number,
            live=source.info.live,
            began_ns=0,
            span_ns=span,
            published_ns=tuple(now - began for now, *_ in rows),
            indices=tuple(index for _, index, *_ in rows),
            age_ns=tuple(now - captured for now, _, captured, _ in rows),
            stages={name: tuple(getattr(times, name) for *_, times in rows) for name in STAGES},
            cpu_ns=spent,
        )

    def find(
        self, frame_set: FrameSet, seconds: float, min_score: float | None, detect_every: int | None = None
    ) -> list[Detections]:
        """What it finds in the pictures of a set, in order, as many as there is time for, at least one."""
        every = detect_every or self._wanted.detect_every
        return find(self._detector, frame_set, seconds, min_score, every, self._clock)

    def peak_rss_mib(self) -> float:
        """Of this process."""
        return peak_rss_mib()

    def close(self) -> None:
        for turn in self._turns.values():
            turn.close()
        if isinstance(self._detector, Closeable):
            self._detector.close()

    def _turn(self, address: str) -> TurnSource:
        if address not in self._turns:
            self._turns[address] = TurnSource(address, self._shared, self._clock)
        return self._turns[address]

    def _prepared(self, address: str) -> Callable[[], object]:
        """A call that runs the network on the next of some ready inputs."""
        if not self._ready:
            given = self._turns.get(address)
            frames = _from_turn(given) if given is not None else [f.pixels for f in first_frames(address, READY_FRAMES)]
            self._ready = self._inputs(frames)
        inputs = cycle(self._ready)
        detector = self._detector
        if isinstance(detector, OnnxDetector):
            session, name = detector.session, detector.manifest.input.name or None
            return lambda: session.run(next(inputs), 0, name)
        return lambda: detector.detect(next(inputs))

    def _inputs(self, frames: Sequence[NDArray[np.uint8]]) -> list[Any]:
        if not isinstance(self._detector, OnnxDetector):
            return list(frames)
        return [self._detector.prepare(pixels).tensor.copy() for pixels in frames]


def _from_turn(turn: TurnSource) -> list[NDArray[np.uint8]]:
    turn.begin_turn(5.0, READY_FRAMES)
    frames = [frame.pixels for frame in islice(iter(turn.read, None), READY_FRAMES)]
    turn.end_turn()
    return frames


def _quit_silent(pipeline: Pipeline, rows: list[Any]) -> None:
    pipeline.controls.quit()


def precision_of(graph: bytes) -> Literal["int8", "float"]:
    """``int8`` where the graph quantises, as its operators' names tell."""
    # Operators' names stand in the file as text: a scan finds them without parsing a hundred megabytes.
    return "int8" if b"QuantizeLinear" in graph or b"QLinearConv" in graph or b"ConvInteger" in graph else "float"


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _torch_threads() -> int | None:
    import sys

    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def _load(wanted: ContenderSpec) -> Detector:
    if not is_foundation(wanted.model):
        return load_detector(
            wanted.model,
            side_px=wanted.side_px,
            threads=wanted.threads,
            lanes=wanted.streams,
            engine=wanted.engine,
        )
    from edgevision.detectors.foundation import load_foundation
    from edgevision.detectors.foundation.prompts import Prompts

    return load_foundation(
        wanted.model,
        prompts=Prompts.given(wanted.prompts) if wanted.prompts else None,
        weights=None if "@" in wanted.model else wanted.weights,
        device="cpu",
        threads=wanted.threads,
        allow_upload=wanted.allow_upload,
    )


def float_twin(model: str) -> str | None:
    """The same model before it was quantised, where the store has it as ``NAME-float``."""
    try:
        find_model(f"{model}-float")
    except ModelNotFound:
        return None
    return f"{model}-float"
