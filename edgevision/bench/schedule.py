"""Who is measured when: warm-up until the data say it is over, then blocks in turns."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from edgevision.bench.image_sets import FrameSet
from edgevision.bench.machine import Energy
from edgevision.bench.records import Block, Clip, ContenderRecord, Series, Settings
from edgevision.bench.statistics import warm_up
from edgevision.errors import ModelFailed
from edgevision.types import Detections

_WARM_UP_S = (0.5, 4.0)
"""Warming up goes on in steps of the first until it has settled, at least for two, at most for the second figure."""
_SLOW_FRAME_S = 1.0
"""Slower ones are warm after their first frame, and not warmed up for the loop again."""
_VERY_SLOW_FRAME_S = 20.0
"""Of slower ones a single frame is measured: a foundation model on a small board must not take the whole morning."""
_LEAST_BLOCKS = 3
_ENOUGH_FRAMES = 20
"""To tell warm-up from noise."""


class Measurable(Protocol):
    """What can be measured: a `Contender` here, or a `Worker` that holds one elsewhere."""

    def describe(self) -> ContenderRecord: ...
    def run_alone(self, address: str, seconds: float, frames: int | None, number: int) -> Block: ...
    def run_loop(self, address: str, seconds: float, frames: int | None, number: int) -> Block: ...
    def find(self, frame_set: FrameSet, seconds: float, min_score: float | None) -> list[Detections]: ...
    def peak_rss_mib(self) -> float: ...
    def close(self) -> None: ...


Progress = Callable[[str, float, float], None]
"""Told (what is done now, seconds of work done, seconds of work in all)."""


def silent(what: str, done_s: float, total_s: float) -> None:
    """A `Progress` that shows nothing."""


@dataclass(slots=True)
class Task:
    """One contender, one way, one source."""

    taken: Measurable
    label: str
    kind: Literal["alone", "loop"]
    address: str
    clip: Clip
    blocks: list[Block] = field(default_factory=list)
    warm_up_frames: int = 0
    settled: bool = True
    frame_s: float = 0.0
    """What one takes, as warming up has shown."""

    def take(self, seconds: float, frames: int | None, number: int) -> Block:
        run = self.taken.run_alone if self.kind == "alone" else self.taken.run_loop
        return run(self.address, seconds, frames, number)

    @property
    def durations_ns(self) -> list[int]:
        """What each frame took until now: inference, or the time since the frame before it."""
        values: list[int] = []
        for block in self.blocks:
            if self.kind == "alone":
                values.extend(block.stages["infer"])
            else:
                values.extend(b - a for a, b in zip((0, *block.published_ns), block.published_ns, strict=False))
        return values

    @property
    def measured(self) -> bool:
        return any(block.round >= 0 for block in self.blocks)

    def series(self) -> Series:
        return Series(
            contender=self.label,
            kind=self.kind,
            clip=self.clip.name,
            settled=self.settled,
            warm_up_frames=self.warm_up_frames,
            blocks=tuple(self.blocks),
        )


Race = Callable[[list[Task]], set[str]]
"""From the tasks measured until now to the labels of contenders that need no more rounds."""


class Schedule:
    """Takes tasks in turns, so that whatever drifts (clock, heat, neighbours) hits all of them alike."""

    def __init__(
        self,
        settings: Settings,
        energy: Energy,
        *,
        progress: Progress = silent,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._settings, self._energy = settings, energy
        self._progress, self._clock = progress, clock
        self._start_ns = clock()
        self.tasks: list[Task] = []
        self.failures: dict[str, ModelFailed] = {}
        """By label. A contender that failed is left out from then on, unless it was the only one."""
        self.dropped: set[str] = set()
        """Labels of contenders that a race is over for."""

    @property
    def living(self) -> Iterator[Task]:
        """Tasks of contenders that have not failed and are still in the race."""
        return (t for t in self.tasks if t.label not in self.failures and t.label not in self.dropped)

    def warm_up(self) -> None:
        """Every task until it has settled, or long enough."""
        for k, task in enumerate(list(self.living)):
            self._progress(f"{task.label}: warming up", float(k), len(self.tasks) * (self._settings.seconds + 1))
            with self._guarded(task):
                self._warm_one(task)

    def take(self, first: int = 0, rounds: int | None = None, race: Race | None = None) -> None:
        """``rounds`` rounds, numbered from ``first``; by default all. After each, ``race`` names contenders to drop."""
        rounds = self._settings.rounds if rounds is None else rounds
        plan = {id(task): self.blocks_of(task) for task in self.living}
        total_s = sum(self._seconds_of(task, plan[id(task)]) for task in self.living)
        done_s = 0.0
        for number in range(rounds):
            for task in list(self.living):
                count = plan.get(id(task), 0)
                # A slow contender is not in every round, but evenly over them.
                if (number + 1) * count // rounds == number * count // rounds:
                    continue
                self._progress(f"{task.label}, {task.kind} on {task.clip.shown}", done_s, total_s)
                with self._guarded(task):
                    self._take_one(task, count, first + number)
                done_s += self._seconds_of(task, count) / max(1, count)
            if race is not None:
                self.dropped |= race(list(self.living))

    def blocks_of(self, task: Task) -> int:
        """In how many rounds a task is: in all, unless one of its frames takes longer than a block should."""
        rounds, settings = self._settings.rounds, self._settings
        if settings.frames is not None:
            rounds = min(rounds, max(_LEAST_BLOCKS, settings.frames))
        if task.frame_s <= settings.seconds / settings.rounds:
            return rounds
        least = _LEAST_BLOCKS if task.frame_s <= _VERY_SLOW_FRAME_S else 1
        return min(rounds, max(least, math.floor(settings.seconds / task.frame_s)))

    def _warm_one(self, task: Task) -> None:
        alone = next((t for t in self.tasks if t.label == task.label and t.blocks), None)
        if task.kind == "loop" and alone is not None and alone.frame_s > _SLOW_FRAME_S:
            task.frame_s = alone.frame_s
            return
        step_s, most_s = _WARM_UP_S
        spent_s = 0.0
        while True:
            block = self._block(task, step_s, self._settings.frames, -1)
            task.blocks.append(block)
            spent_s += block.span_ns / 1e9
            durations = task.durations_ns
            found = warm_up(durations)
            task.warm_up_frames, task.settled = found.frames, found.settled
            if durations:
                task.frame_s = statistics.median(durations[found.frames :]) / 1e9
            enough = len(durations) >= _ENOUGH_FRAMES and len(task.blocks) > 1
            short = self._settings.frames is not None and len(durations) >= 4
            if (found.settled and enough) or short or task.frame_s > _SLOW_FRAME_S or spent_s >= most_s:
                return

    def _take_one(self, task: Task, count: int, number: int) -> None:
        block = self._block(task, self._settings.seconds / self._settings.rounds, self._frames_of(task, count), number)
        if block.published_ns:
            task.blocks.append(block)

    def _frames_of(self, task: Task, blocks: int) -> int | None:
        if self._settings.frames is not None:
            return max(1, math.ceil(self._settings.frames / blocks))
        # Exactly so many: a frame too much costs a slow contender as long as a block.
        return 1 if task.frame_s > self._settings.seconds / self._settings.rounds else None

    def _seconds_of(self, task: Task, blocks: int) -> float:
        frames = self._frames_of(task, blocks)
        block_s = self._settings.seconds / self._settings.rounds
        return blocks * (block_s if frames is None else max(frames * task.frame_s, 0.001))

    def _block(self, task: Task, seconds: float, frames: int | None, number: int) -> Block:
        energy = self._energy
        before, power = energy.read_uj(), energy.power_w()
        began = self._clock()
        block = task.take(seconds, frames, number)
        spent = energy.spent_uj(before, energy.read_uj())
        if power is not None and (after := energy.power_w()) is not None:
            spent = round((power + after) / 2 * block.span_ns / 1e3)
        return block.model_copy(update={"began_ns": began - self._start_ns, "energy_uj": spent})

    @contextmanager
    def _guarded(self, task: Task) -> Iterator[None]:
        try:
            yield
        except ModelFailed as exc:
            if len({t.label for t in self.tasks}) == 1:
                raise
            self.failures[task.label] = exc
