"""Frames through a detector, in parallel where it can, out in the order they came in.

    capture thread ──slot──▶ lane threads (prepare, infer) ──in order──▶ `InferenceWorkers.take`

A live source's slot holds the newest frame only, and a lane takes one when it can run it at once: a slow model
or a slow sink makes frames drop, never queue. A file's slot blocks, and its frames are prepared ahead of the lanes.
A lane takes a frame only when its result has a place to go, so memory and latency are bounded at any overload.
Where not each frame is detected, the others pass a lane at once, in their order.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.frame_queue import BoundedQueue, Closed
from edgevision.interfaces import Detector, Source, StagedDetector, shown_score
from edgevision.pipeline.detection_interval import Cadence
from edgevision.types import Detections, Frame

STOP_S = 2.5
"""How long `InferenceWorkers.stop` waits for a thread that is inside a driver or a network."""


class WholeDetector:
    """A detector that cannot be split (a foundation model), seen as one that can: all its work is in `infer`."""

    lanes = 1

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.name, self.classes = detector.name, detector.classes
        # Such a detector answers one thread at a time; lanes, and a swap that compares two models, are several.
        self._turn = threading.Lock()

    @property
    def shown_score(self) -> float:
        return shown_score(self._detector)

    def detect(self, pixels: NDArray[np.uint8]) -> Detections:
        with self._turn:
            return self._detector.detect(pixels)

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return pixels

    def infer(self, prepared: NDArray[np.uint8], lane: int = 0) -> Detections:
        return self.detect(prepared)

    def decode(self, raw: Detections) -> Detections:
        return raw


def as_staged(detector: Detector) -> StagedDetector:
    """The detector itself if its work comes in stages, else a view of it that does."""
    return detector if isinstance(detector, StagedDetector) else WholeDetector(detector)


@dataclass(slots=True)
class Job:
    """One frame on its way, with the detector that serves it from preparation to decoding."""

    frame: Frame
    arrived_ns: int
    capture_ns: int
    detector: StagedDetector | None = None
    prepared: Any = None
    raw: Any = None
    preprocess_ns: int = 0
    infer_ns: int = 0
    error: BaseException | None = None
    predicted: bool = False
    """No network looks at this frame."""


class InferenceWorkers:
    """Runs capture and inference in threads until the source ends, fails, or `stop` is called."""

    def __init__(
        self,
        source: Source,
        detector: StagedDetector,
        count: int,
        clock: Callable[[], int] = time.monotonic_ns,
        detect_every: int = 1,
    ) -> None:
        """``count`` frames are inferred at once, each in a lane of its own; of ``detect_every`` frames one is."""
        self._source = source
        self._live = source.info.live
        self._clock = clock
        self._detector = detector
        self._fallback: StagedDetector | None = None
        self._on_failure: Callable[[BaseException], None] | None = None
        self.arrived_ns = clock()
        """When the newest frame came from the source."""
        self._stopping = False
        self._slot: BoundedQueue[Job] = BoundedQueue(
            1 if self._live else count + 1, newest_wins=self._live, on_drop=None
        )
        self._turn = threading.Lock()
        self._cadence = Cadence(detect_every, source.info)
        # A file's frames between two detected ones must not keep the next lane waiting. A live source's may: a place
        # more is a frame older.
        self._places = threading.Semaphore(count * (1 if self._live else detect_every) + 1)
        self._ready = threading.Condition()
        self._done: dict[int, Job] = {}
        self._taken = 0
        self._given = 0
        self._end: int | None = None
        self._end_error: BaseException | None = None
        self._threads = [threading.Thread(target=self._capture, name="capture", daemon=True)]
        self._threads += [
            threading.Thread(target=self._run_lane, args=(k,), name=f"lane-{k}", daemon=True) for k in range(count)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def detector(self) -> StagedDetector:
        """Serves frames from the next preparation on."""
        return self._detector

    def exchange(
        self,
        detector: StagedDetector,
        fallback: StagedDetector | None = None,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Let another detector serve, between two frames. A frame keeps the one it was prepared by.

        While there is a ``fallback``, a frame on which ``detector`` fails is done again by that, and ``on_failure`` is
        told: no frame goes without a result.
        """
        self._fallback, self._on_failure = fallback, on_failure
        self._detector = detector

    def rescue(self, job: Job, error: BaseException, lane: int = 0) -> None:
        """Have the fallback infer a job whose detector failed. Raises ``error`` where there is none."""
        fallback, told = self._fallback, self._on_failure
        if fallback is None or fallback is job.detector:
            raise error
        if told is not None:
            told(error)
        self._infer(job, fallback, lane)

    def take(self, timeout_s: float) -> Job:
        """The next frame's job, inferred. Raises TimeoutError, `Closed` at the end, and what a thread died of."""
        with self._ready:
            while self._given not in self._done:
                if self._end is not None and self._given >= self._end:
                    # Handed over, not kept: its traceback will hold this object.
                    error, self._end_error = self._end_error, None
                    try:
                        raise error or Closed()
                    finally:
                        del error
                if not self._ready.wait(timeout_s):
                    raise TimeoutError
            job = self._done.pop(self._given)
            self._given += 1
        self._places.release()
        if job.error is not None:
            raise job.error
        return job

    def stop(self) -> None:
        """End all threads. The source stays open, unless only closing it gets its reader out of a read."""
        self._stopping = True
        self._slot.close()
        self._slot.clear()
        for _ in self._threads:
            self._places.release()
        capture, *lanes = self._threads
        capture.join(0.5)
        if capture.is_alive():
            self._source.close()
        deadline = time.monotonic() + STOP_S
        for thread in (capture, *lanes):
            thread.join(max(0.0, deadline - time.monotonic()))

    def _capture(self) -> None:
        error: BaseException | None = None
        try:
            while not self._stopping:
                asked = self._clock()
                frame = self._source.read()
                if frame is None:
                    break
                now = self._clock()
                self.arrived_ns = now
                job = Job(frame, now, now - asked)
                if not self._live:
                    # Ahead of the lanes, in this thread: a lane then does nothing but run the network.
                    self._decide(job)
                    if not job.predicted:
                        self._prepare(job, self._detector)
                self._slot.put(job)
        except BaseException as exc:  # handed to the reader of the results, who raises it
            error = exc
        self._slot.close(error)
        error = None  # its traceback holds this call: a circle that would keep the source alive

    def _decide(self, job: Job) -> None:
        """Whether the network looks at a job's frame: for each that is served, once, in order."""
        job.predicted = not self._cadence.due(job.frame, self._detector)

    def _prepare(self, job: Job, detector: StagedDetector) -> None:
        began = self._clock()
        job.detector = detector
        job.prepared = detector.prepare(job.frame.pixels)
        job.preprocess_ns = self._clock() - began

    def _infer(self, job: Job, detector: StagedDetector, lane: int) -> None:
        if job.detector is not detector:
            self._prepare(job, detector)
        began = self._clock()
        # A model swapped in may have been loaded with fewer sessions than there are lanes.
        job.raw = detector.infer(job.prepared, lane % detector.lanes)
        job.infer_ns = self._clock() - began
        job.prepared = None

    def _run_lane(self, lane: int) -> None:
        while True:
            self._places.acquire()
            with self._turn:
                try:
                    job = self._slot.take()
                except BaseException as exc:
                    self._finish(None if isinstance(exc, Closed) else exc)
                    return
                number = self._taken
                self._taken += 1
                if self._live:  # only now it is known that it is served
                    self._decide(job)
            try:
                self._serve(job, lane)
            except BaseException as exc:
                job.error = exc
            with self._ready:
                self._done[number] = job
                self._ready.notify()

    def _serve(self, job: Job, lane: int) -> None:
        if job.predicted:
            return
        try:
            self._infer(job, job.detector or self._detector, lane)
        except Exception as exc:
            self.rescue(job, exc, lane)

    def _finish(self, error: BaseException | None) -> None:
        with self._ready:
            if self._end is None:  # nothing is taken after the first lane has seen the end
                self._end, self._end_error = self._taken, error
            self._ready.notify()
