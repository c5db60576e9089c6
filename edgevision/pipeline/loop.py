"""The loop, as one reads it: take a frame that was inferred, decode, track, draw, publish."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import EdgeVisionError, UsageError
from edgevision.frame_queue import Closed
from edgevision.interfaces import (
    Controls,
    Detector,
    EventSink,
    EventWatcher,
    Renderer,
    Sink,
    Source,
    StagedDetector,
    Tracker,
)
from edgevision.pipeline.detection_interval import usable
from edgevision.pipeline.inference_workers import InferenceWorkers, Job, as_staged
from edgevision.pipeline.metrics import LoopMetrics, Summary
from edgevision.pipeline.standstill import Standstill
from edgevision.pipeline.tracking_stage import TrackingStage
from edgevision.types import Detections, Event, Result, SourceInfo, StageTimes, Status

LOST_AFTER_S = 1.5
"""A live source that gave no frame for so long (or three of its periods) is called lost."""
POLL_S = 0.05
"""How often a waiting loop looks at its controls and keeps windows alive."""


class Pipeline:
    """One source, one detector, any number of sinks. Built of ready parts; iterate it, or `results`, to run it."""

    def __init__(
        self,
        source: Source,
        detector: Detector,
        *,
        tracker: Tracker | None = None,
        min_score: float | None = None,
        renderer: Renderer | None = None,
        sinks: Sequence[Sink] = (),
        controls: Controls | None = None,
        snapshot: Callable[[NDArray[np.uint8], Result], None] | None = None,
        events: EventWatcher | None = None,
        workers: int | None = None,
        detect_every: int = 1,
        clock: Callable[[], int] = time.monotonic_ns,
        streams: int | None = None,
        standstill: Standstill | None = None,
    ) -> None:
        """``min_score`` is applied after the tracker, which follows an object half hidden by its doubtful boxes too;
        by default it is what the detector that serves is to show.

        ``workers`` frames (by default 1) are inferred at once, each by a worker of its own; ``streams`` is the old name
        of ``workers``, for one release. ``snapshot`` takes (picture (H, W, 3) BGR, result) when asked for. ``events``
        gives each `Result.events`: `edgevision.events.stage.EventStage`.

        Of ``detect_every`` frames one is detected; the others' boxes are predicted by the tracker, which is needed
        then, and `Result.predicted` says so (`UsageError` where there is none). What a live source gave before a
        ``standstill`` of the whole program is not shown. A ``renderer`` is needed where a sink
        wants pictures. The parts stay the caller's to close.
        """
        self._source, self._detector = source, as_staged(detector)
        self._tracking = TrackingStage(tracker, min_score, detect_every)
        self._renderer, self._sinks = renderer, tuple(sinks)
        self.controls = controls or Controls()
        self._snapshot, self._events, self._clock = snapshot, events, clock
        self._workers = next((count for count in (workers, streams) if count is not None), 1)
        if self._workers < 1:
            raise UsageError(f"workers: expected at least 1, got {self._workers}")
        self._detect_every = usable(detect_every, source.info)
        self._metrics = LoopMetrics(clock)
        self._standstill = standstill or Standstill(clock)
        self._inference: InferenceWorkers | None = None
        self._last: Result | None = None
        self._observers: tuple[Callable[[Result], None], ...] = ()
        self._looks = 1
        self._paused_ns: int | None = None
        self._resumed_ns = 0
        self._detected_ns = 0
        self._thread: int | None = None
        self._ended = False
        self._newest_status = Status("starting", model=detector.name, source=source.info.name)
        self._at_end: tuple[Callable[[], None], ...] = ()

    def __iter__(self) -> Iterator[Result]:
        return self.results()

    def results(self) -> Iterator[Result]:
        """Run: one result a frame, published already, until the source ends or `Controls.quit`.

        Raises what the source, the detector or a sink raised, after every result that came before it.
        """
        reason = ""
        self._thread, self._ended = threading.get_ident(), False
        self._inference = inference = InferenceWorkers(
            self._source, self._detector, self._workers, self._clock, self._detect_every
        )
        try:
            with self._standstill.beating():
                while not self.controls.quitting:
                    if self._pausing():
                        time.sleep(POLL_S)
                        continue
                    try:
                        job = inference.take(POLL_S)
                    except TimeoutError:
                        self._wait(inference)
                        continue
                    except Closed:
                        break
                    if not self._is_stale(job):
                        yield self._serve(job)
        except EdgeVisionError as exc:
            reason = str(exc)
            raise
        finally:
            self._ended = True
            for callback in self._at_end:
                callback()
            inference.stop()
            self._send_events(() if self._events is None else self._events.end())
            self._tell(self._status("ended", self._detector.name, reason))

    @property
    def detector(self) -> Detector:
        """The one that serves now."""
        return self._detector

    def exchange(
        self, detector: Detector, guarded: bool = False, on_failure: Callable[[BaseException], None] | None = None
    ) -> None:
        """Let another detector serve from the next frame on. Safe from any thread.

        ``guarded``: the one it replaces does again each frame that it fails on, and ``on_failure`` is told.
        """
        old, self._detector = self._detector, as_staged(detector)
        if self._inference is not None:
            self._inference.exchange(self._detector, old if guarded else None, on_failure)

    def observe(self, observer: Callable[[Result], None]) -> Callable[[], None]:
        """Have each published result shown to ``observer``, in the loop's thread: be quick. Returns what ends it."""
        self._observers += (observer,)

        def end() -> None:
            self._observers = tuple(o for o in self._observers if o is not observer)

        return end

    @property
    def source(self) -> SourceInfo:
        """What its source says of itself."""
        return self._source.info

    @property
    def ended(self) -> bool:
        """Whether `results` has come to its end: no result will come any more."""
        return self._ended

    @property
    def in_own_thread(self) -> bool:
        """Whether the caller's thread is the one that runs `results`."""
        return not self._ended and self._thread == threading.get_ident()

    @property
    def status(self) -> Status:
        """How the loop is doing, as its sinks were last told. Safe from any thread."""
        return self._newest_status

    def call_at_end(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when `results` ends, before its workers are stopped."""
        self._at_end += (callback,)

    def summary(self) -> Summary:
        """What the run did so far."""
        return self._metrics.summary()

    def _serve(self, job: Job) -> Result:
        """One result: detect, draw, send."""
        result = self._detect(job)
        self._looks = result.looks or self._looks
        status = self._status("running", result.model)
        snapshot = self._asked_for_snapshot()
        result, picture = self._draw(result, status, wanted=snapshot)
        result = self._send(result, picture, status)
        if snapshot and picture is not None:
            self._take_snapshot(picture, result)
        self._last = result
        self._metrics.record(result)
        for observer in self._observers:
            observer(result)
        return result

    def _detect(self, job: Job) -> Result:
        """What was found in a frame, or is predicted to be there, followed over time."""
        frame, now = job.frame, self._clock
        began = now()
        found = None if job.predicted else self._decode(job)
        decoded = began if found is None else now()
        detections = self._tracking.predicted(frame) if found is None else self._tracking.detected(frame, *found)
        times = StageTimes(
            capture=job.capture_ns,
            wait=began - job.arrived_ns - job.preprocess_ns - job.infer_ns,
            preprocess=job.preprocess_ns,
            infer=job.infer_ns,
            decode=decoded - began,
            track=now() - decoded,
        )
        detector = self._tracking.detector
        looks = 0 if found is None else found[1].looks
        result = Result(frame, detections, times, detector.name, detector.classes, job.predicted, looks)
        return result if self._events is None else replace(result, events=self._events.update(result))

    def _draw(self, result: Result, status: Status, wanted: bool) -> tuple[Result, NDArray[np.uint8] | None]:
        """The picture, where it is wanted or a sink wants it."""
        if self._renderer is None or not (wanted or any(sink.wants_picture for sink in self._sinks)):
            return result, None
        began = self._clock()
        picture = self._renderer.draw(result, status)
        return replace(result, times=replace(result.times, render=self._clock() - began)), picture

    def _send(self, result: Result, picture: NDArray[np.uint8] | None, status: Status) -> Result:
        """To every sink, each with the time that those before it took."""
        began = self._clock()
        self._send_events(result.events)
        for sink in self._sinks:
            sink.publish(result, picture, status)
            result = replace(result, times=replace(result.times, publish=self._clock() - began))
        return result

    def _send_events(self, events: tuple[Event, ...]) -> None:
        for sink in self._sinks if events else ():
            if isinstance(sink, EventSink):
                sink.publish_events(events)

    def _asked_for_snapshot(self) -> bool:
        return self._snapshot is not None and self.controls.take_snapshot_request()

    def _take_snapshot(self, picture: NDArray[np.uint8], result: Result) -> None:
        if self._snapshot is not None:
            self._snapshot(picture, result)

    def _is_stale(self, job: Job) -> bool:
        """Whether a live source's frame, or what its boxes are moved on from, is from before a pause or a standstill:
        shown now it would pass for live. It counts as dropped."""
        if not job.predicted:
            self._detected_ns = job.frame.captured_ns
        if not self._source.info.live:
            return False
        stood_ns = self._standstill.beat()
        return self._detected_ns < self._resumed_ns or (stood_ns is not None and self._detected_ns < stood_ns)

    def _decode(self, job: Job) -> tuple[StagedDetector, Detections]:
        """Whose the detections of a job are, and the detections."""
        assert job.detector is not None
        try:
            return job.detector, job.detector.decode(job.raw)
        except Exception as exc:
            assert self._inference is not None
            self._inference.rescue(job, exc)
            return job.detector, job.detector.decode(job.raw)

    def _wait(self, inference: InferenceWorkers) -> None:
        """No result for a moment: say so if it is the source's doing."""
        info = self._source.info
        if not info.live:
            self._tell(self._status("running", self._detector.name))  # a slow model must not freeze a window
            return
        patience_s = max(LOST_AFTER_S, 3 / info.fps if info.fps else 0)
        silent_s = (self._clock() - inference.arrived_ns) / 1e9
        if silent_s < patience_s and self._source.trouble is None:
            return
        detail = self._source.trouble or f"{info.name} gave no frame for {silent_s:.0f} s"
        self._tell(replace(self._status("lost", self._detector.name, detail), age_ms=silent_s * 1e3))

    def _tell(self, status: Status) -> None:
        for sink in self._sinks:
            sink.notice(status)

    def _pausing(self) -> bool:
        """Keep time and sinks right while paused; whether the loop is to stand still."""
        if self.controls.paused:
            self._paused_ns = self._paused_ns or self._clock()
            self._tell(self._status("paused", self._detector.name))
            if self._last is not None and self._renderer is not None and self._asked_for_snapshot():
                shown = self._renderer.draw(self._last, self._status("running", self._last.model))
                self._take_snapshot(shown, self._last)
            return True
        if self._paused_ns is not None:
            self._resumed_ns = self._clock()
            self._metrics.skip_idle(self._resumed_ns - self._paused_ns)
            self._paused_ns = None
        return False

    def _status(self, state: str, model: str, detail: str = "") -> Status:
        metrics = self._metrics
        self._newest_status = status = Status(
            state=state,
            detail=detail,
            fps=metrics.fps,
            infer_ms=metrics.infer_ms,
            age_ms=metrics.age_ms,
            dropped=metrics.dropped,
            frames=metrics.frames,
            model=model,
            source=self._source.info.name,
            detect_every=self._detect_every,
            looks=self._looks,
        )
        return status
