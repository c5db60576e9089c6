"""What one run of the benchmark measured, whole: the figures of a report are computed from this and nothing else.

`run_file` keeps it as JSON. Times are integer nanoseconds as they were taken; nothing is averaged before it is written.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

FORMAT: Literal["edgevision.bench/1"] = "edgevision.bench/1"

Nanoseconds = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Machine(_Part):
    """What it was measured on."""

    system: str
    cpu: str
    architecture: str
    cores: int
    """Those this process may use."""
    memory_mib: int
    governor: str | None = None
    """Of the processor's clock; None where the system does not tell."""
    python: str
    packages: dict[str, str]
    providers: tuple[str, ...]
    """Of onnxruntime, those built in. Which one ran stands with each contender."""
    model: str | None = None
    """The board or laptop, where it says so."""


class Clip(_Part):
    """A source of frames. What it is called, and what makes it the same one elsewhere."""

    name: str
    kind: Literal["video", "images", "scene", "live"]
    sha256: str | None = None
    """Of the file, or of the names and contents of all images; None for what is live."""
    width_px: int
    height_px: int
    fps: float | None = None
    live: bool
    frames: int | None = None

    @property
    def shown(self) -> str:
        """In a word or two."""
        return "live scene" if self.kind == "scene" and self.live else "scene" if self.kind == "scene" else self.name


class ContenderRecord(_Part):
    """A model, loaded in one way."""

    label: str
    """Unique in its run: ``person@1 int8, 1 thread``."""
    model: str
    """``name@version``."""
    kind: Literal["compact", "foundation", "other"]
    sha256: str | None = None
    """Of the model file."""
    file_bytes: int | None = None
    precision: str | None = None
    """``int8`` or ``float``, as its graph says."""
    input_wh: tuple[int, int] | None = None
    threads: int | None = None
    streams: int = 1
    detect_every: int = 1
    """Of so many frames the loop detects one and predicts the others."""
    engine: str | None = None
    """What ran its graph: ``onnxruntime``, ``openvino``."""
    provider: str | None = None
    spinning: bool | None = None
    """Whether idle onnxruntime threads spin."""
    random_weights: bool = False
    mode: str = ""
    """What it was asked for: a foundation model's way of finding boxes."""
    classes: tuple[str, ...] = ()
    min_score: float | None = None
    alone: str = ""
    """What "inference alone" is for it."""
    cold_start_ns: tuple[Nanoseconds, ...] = ()
    """From starting a process to its first result; the disk's cache was warm from the second on."""
    peak_rss_mib: float | None = None
    """Of a process that holds nothing but Python, this contender and the sources."""
    failure: str | None = None
    """Why it could not be measured further."""

    @property
    def shown(self) -> str:
        """The label as people see it: never without saying so where the weights are random."""
        return f"{self.label} (random weights)" if self.random_weights else self.label


class Block(_Part):
    """Some tenths of a second of one contender, frame by frame."""

    round: int
    """-1 while warming up."""
    live: bool = False
    """Whether its frames came at their own times."""
    began_ns: Nanoseconds
    """Since the run began."""
    span_ns: Nanoseconds
    published_ns: tuple[Nanoseconds, ...]
    """Since the block began; alone: when each inference ended."""
    indices: tuple[int, ...] = ()
    """Of frames, as the source counts them: gaps are drops."""
    age_ns: tuple[int, ...] = ()
    """From exposure to published."""
    stages: dict[str, tuple[int, ...]]
    cpu_ns: Nanoseconds = 0
    """Processor time of the contender's process, all threads, over ``span_ns``."""
    energy_uj: int | None = None
    """Of the whole machine, or of its processor, during the block."""


class Series(_Part):
    """One contender, one way, one source."""

    contender: str
    kind: Literal["alone", "loop"]
    clip: str
    settled: bool
    """Whether warm-up ended by the data, or at its time limit."""
    warm_up_frames: int
    blocks: tuple[Block, ...]


class AccuracyFigure(_Part):
    """Against labels."""

    contender: str
    data: str
    frames: int
    labels: int
    classes: tuple[str, ...]
    ap50: float
    low: float | None = None
    high: float | None = None
    ap50_95: float


class AgreementFigure(_Part):
    """With another contender, where there are no labels."""

    contender: str
    reference: str
    data: str
    frames: int
    reference_boxes: int
    boxes: int
    found_again: float


class Sample(_Part):
    """The machine at one moment."""

    at_ns: Nanoseconds
    temperature_c: float | None = None
    clock_mhz: float | None = None
    throttled: tuple[str, ...] | None = None
    """What holds the machine back; None where it does not tell."""
    power_w: float | None = None


class Moment(_Part):
    """Some two seconds of a sustained run."""

    at_s: float
    """Their middle, since it began."""
    frames: float
    span_s: float
    infer_p50_ms: float | None = None
    dropped: int = 0

    @property
    def fps(self) -> float:
        return self.frames / self.span_s


class Sustained(_Part):
    """fps over minutes."""

    contender: str
    clip: str
    line_fps: float
    """What it is held against."""
    began_ns: Nanoseconds
    """Since the run began: the samples of heat and clock count from there too."""
    moments: tuple[Moment, ...]
    under_line_at_s: float | None = None
    """When ten seconds in a row began whose fps is under the line; None where none did."""


class Glass(_Part):
    """From screen to result."""

    contender: str
    shown_by: str
    latencies_ms: tuple[float, ...]
    flashes: int
    seen: int
    camera_fps: float | None = None
    answers_ms: tuple[float, ...] = ()
    """Of a page: from telling it a state to its word that it is drawn."""


class Settings(_Part):
    """What was asked."""

    seconds: float
    rounds: int
    streams: int = 1
    frames: int | None = None
    seed: int = 0


class BenchRun(_Part):
    """A run, from which everything else is computed."""

    format: Literal["edgevision.bench/1"] = FORMAT
    made: str
    """ISO 8601, UTC."""
    edgevision: str
    commit: str | None = None
    machine: Machine
    settings: Settings
    clips: tuple[Clip, ...] = ()
    contenders: tuple[ContenderRecord, ...]
    series: tuple[Series, ...] = ()
    accuracy: tuple[AccuracyFigure, ...] = ()
    agreement: tuple[AgreementFigure, ...] = ()
    sustained: tuple[Sustained, ...] = ()
    glass: tuple[Glass, ...] = ()
    samples: tuple[Sample, ...] = ()
    energy: str | None = None
    """What measured it."""
    no_energy: str | None = None
    """Why it was not measured."""
    idle_w: float | None = None
    """Before the first contender was loaded."""
    busy_elsewhere: float | None = None
    """Share of all cores that other programs took during the rounds, 0-1."""
    interrupted: bool = False
    notes: tuple[str, ...] = ()

    def contender(self, label: str) -> ContenderRecord:
        return next(c for c in self.contenders if c.label == label)

    def clip(self, name: str) -> Clip:
        return next(c for c in self.clips if c.name == name)
