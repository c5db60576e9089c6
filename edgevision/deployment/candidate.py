"""Models for a running loop: found in the store, tried in a child process, and set up as the one that serves was."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from edgevision.deployment.golden import check_golden
from edgevision.deployment.model_copy import ModelCopy, copied_by_child
from edgevision.deployment.probe import Limits
from edgevision.detectors.cascade import SecondStage
from edgevision.detectors.devices import AUTO as AUTO_DEVICE
from edgevision.detectors.engines import DEFAULT_ENGINE
from edgevision.detectors.foundation import is_foundation, load_foundation
from edgevision.detectors.manifest import Manifest
from edgevision.detectors.onnx_detector import OnnxDetector
from edgevision.detectors.registry import StoredModel, check_sha256, detector_from, find_model, from_metadata
from edgevision.detectors.zoom import Zoom, ZoomDetector
from edgevision.errors import ModelInvalid, UsageError
from edgevision.evaluation.measure import measure_ap
from edgevision.interfaces import Detector
from edgevision.tracking.bytetrack import doubtful_score


@dataclass(frozen=True, slots=True)
class PreloadCheck:
    """One thing to look at before a model is loaded, or after."""

    name: str
    limit: str
    look: Callable[[], str]
    """Gives the figure, or raises `EdgeVisionError` with what is wrong."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A model that is to serve, not trusted yet."""

    load: Callable[[], Detector]
    """Raises `ModelError`."""
    before: tuple[PreloadCheck, ...] = ()
    """In order, before it is loaded."""
    golden: Callable[[Detector], str] | None = None
    """Looks at what the model should see in pictures of its own; gives the figure or raises `ModelError`."""
    measure_ap: Callable[[Detector, str, Callable[[float], None]], tuple[float, str]] | None = None
    """AP50 on the labelled pictures of a folder, and on what; raises `EdgeVisionError`. Calls the last argument after
    each picture with the seconds it took."""


def followed(candidate: Candidate, second: OnnxDetector) -> Candidate:
    """A candidate to be swapped in with ``second`` after it; its own checks look at it alone."""
    return wrapped(candidate, lambda detector: SecondStage(detector, second))


def wrapped(candidate: Candidate, wrap: Callable[[Detector], Detector]) -> Candidate:
    """A candidate that serves inside another detector, ``wrap`` of it; its own checks look at it alone."""
    golden, measure = candidate.golden, candidate.measure_ap
    return Candidate(
        lambda: wrap(candidate.load()),
        candidate.before,
        None if golden is None else lambda detector: golden(_first_of(detector)),
        None if measure is None else lambda detector, data, took: measure(_first_of(detector), data, took),
    )


def _first_of(detector: Detector) -> Detector:
    if isinstance(detector, SecondStage):
        return _first_of(detector.first)
    return detector.base if isinstance(detector, ZoomDetector) else detector


_MOST_PROBED = 64
_NICENESS = 5
"""A third of a core where a loop wants all of two: at 0 it took a third of the loop's frames."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How whoever started the loop wants its models; None leaves it to the model."""

    min_score: float | None = None
    iou_threshold: float | None = None
    only_classes: tuple[str, ...] = ()
    side_px: int | None = None
    threads: int | None = None
    lanes: int = 1
    track: bool = False
    """A tracker follows, which looks at doubtful boxes too."""
    engine: str = DEFAULT_ENGINE
    """An engine's name, or ``auto``."""
    device: str = AUTO_DEVICE
    """Of compact models; foundation models have a loader of their own."""


@dataclass(frozen=True, slots=True)
class _Probed:
    """What a child process found out of a file."""

    manifest: Manifest
    open_size: bool
    """The graph leaves its input size open."""
    words: str


class CandidateFactory:
    """Loads models with one set of options, and tells models of one name and version apart by their bytes.

    Safe from any thread.
    """

    def __init__(
        self,
        options: LoadOptions | None = None,
        serves: Detector | None = None,
        load_foundation: Callable[[str], Detector] = load_foundation,
        second: OnnxDetector | None = None,
        zoom: Zoom | None = None,
    ) -> None:
        """``serves`` is the model that the loop has already; ``load_foundation`` loads a ``foundation:NAME``;
        ``second`` comes after every model, see `SecondStage`; compact models look further with ``zoom``."""
        self.options = options or LoadOptions()
        self._load_foundation, self._second, self._zoom = load_foundation, second, zoom
        self._lock = threading.Lock()
        self._bytes_of: dict[str, str] = {}
        self._probed: dict[str, _Probed] = {}
        serves = None if serves is None else _first_of(serves)
        if isinstance(serves, OnnxDetector):
            self._told_apart(serves.manifest)

    @classmethod
    def like(cls, detector: Detector) -> CandidateFactory:
        """A supply of models set up as this detector is, which serves already."""
        if not isinstance(detector, OnnxDetector):
            return cls()
        usual = detector.manifest.thresholds
        options = LoadOptions(
            min_score=None if detector.shown_score == usual.score else detector.shown_score,
            iou_threshold=None if detector.iou_threshold == usual.iou else detector.iou_threshold,
            only_classes=detector.only_classes,
            threads=detector.session.threads,
            lanes=detector.lanes,
            engine=detector.session.engine,
            track=detector.min_score < detector.shown_score,
        )
        return cls(options, detector)

    def candidate(self, model: str) -> Candidate:
        """A model to swap in. Nothing is looked at yet."""
        alone = self._alone(model)
        zoom = self._zoom
        if zoom is not None and not is_foundation(model):
            alone = wrapped(alone, lambda detector: zoom(detector) if isinstance(detector, OnnxDetector) else detector)
        return alone if self._second is None else followed(alone, self._second)

    def _alone(self, model: str) -> Candidate:
        if is_foundation(model):
            return Candidate(lambda: self._load_foundation(model), measure_ap=measure_ap)
        look = _Look(self, model)
        return Candidate(
            look.load,
            (
                PreloadCheck("manifest", "a model of that name or path with a valid manifest", look.manifest),
                PreloadCheck("hash", "the hash in its manifest", look.hash),
                PreloadCheck("probe", "loads and runs in a child process, within its limits", look.probe),
            ),
            look.golden,
            measure_ap,
        )

    def _told_apart(self, manifest: Manifest) -> Manifest:
        """The manifest, with a few digits of its hash in its version where another model is known by that name.

        First of the graph's, which stands in model.toml; where only what is said of the graph differs, of both.
        """
        whole = fingerprint(manifest)
        with self._lock:
            for digits in ("", (manifest.sha256 or whole)[:8], whole[:8]):
                version = f"{manifest.version}+{digits}" if digits else manifest.version
                named = manifest.model_copy(update={"version": version})
                if self._bytes_of.setdefault(named.label, whole) == whole:
                    return named
        raise ModelInvalid(f"{manifest.label}: has the name, version and hash prefix of another model")


class _Look:
    """One model on its way in."""

    def __init__(self, supply: CandidateFactory, model: str) -> None:
        self._supply, self._model = supply, model
        self._stored: StoredModel | None = None
        self._copy: ModelCopy | None = None
        self._probed: _Probed | None = None

    def manifest(self) -> str:
        self._stored = stored = find_model(self._model)
        manifest = stored.manifest
        if manifest is None:
            return f"{stored.path} has no manifest; using the metadata in the file"
        return f"{manifest.label}, {manifest.family}, {manifest.input.in_words}, {_counted(manifest.classes)}"

    def hash(self) -> str:
        stored = self._found()
        self._copy = copy = copied_by_child(stored.path, Limits(niceness=_NICENESS))
        check_sha256(stored, copy.sha256)
        named = stored.manifest is not None and stored.manifest.sha256 is not None
        return f"SHA-256 {copy.sha256[:8]}…, {'as in its manifest' if named else 'not in any manifest'}"

    def probe(self) -> str:
        stored, supply, copy = self._found(), self._supply, self._copied()
        key = copy.sha256 + (fingerprint(stored.manifest) if stored.manifest else "")
        known = supply._probed.get(key)
        if known is not None:
            self._probed = known
            copy.probe.close()
            return f"passed before: {known.words}"
        began = time.monotonic()
        # What is tried is what will be loaded, whatever happens to the file meanwhile.
        probe = copy.probe
        try:
            described = probe.load()
            manifest = stored.manifest or from_metadata(stored.path, described)
            recipe = manifest.input
            sides = (recipe.height_px, recipe.width_px)
            if len(described.inputs) == 1:
                probe.run_once((1, 3, *sides) if recipe.layout == "nchw" else (1, *sides, 3))
            trial = probe.try_out(manifest)
        finally:
            probe.close()
        shape = described.inputs[0].shape
        spatial = shape[2:4] if recipe.layout == "nchw" else shape[1:3]
        words = f"finite outputs that depend on the image, {trial.median_ms:.1f} ms a run"
        if trial.silent:
            words = f"no detections in synthetic images, {trial.median_ms:.1f} ms a run"
        self._probed = _Probed(manifest, any(side is None for side in spatial), words)
        if len(supply._probed) >= _MOST_PROBED:
            supply._probed.pop(next(iter(supply._probed)))
        supply._probed[key] = self._probed
        return f"{words}, probed in {time.monotonic() - began:.1f} s"

    def load(self) -> OnnxDetector:
        stored, probed, options = self._found(), self._probed, self._supply.options
        if probed is None:
            raise RuntimeError("a model is probed before it is loaded")
        detector = detector_from(
            stored,
            self._copied().read(),
            min_score=options.min_score,
            iou_threshold=options.iou_threshold,
            only_classes=_known(options.only_classes, probed.manifest),
            side_px=options.side_px if probed.open_size else None,
            threads=options.threads,
            lanes=options.lanes,
            engine=options.engine,
            device=options.device,
        )
        self._copied().remove()
        detector.manifest = self._supply._told_apart(detector.manifest)
        if options.track:
            detector.min_score = doubtful_score(detector.shown_score)
        return detector

    def golden(self, detector: Detector) -> str:
        assert isinstance(detector, OnnxDetector)
        manifest = detector.manifest
        if not manifest.golden:
            return "no golden images"
        # As it was when they were recorded: without the user's thresholds and choice of classes.
        plain = OnnxDetector(manifest, detector.session)
        outcomes = check_golden(plain, manifest, self._found().path.parent)
        failed = [f"{o.picture}: {o.sentence}" for o in outcomes if not o.passed]
        if failed:
            raise ModelInvalid("; ".join(failed))
        return f"{len(outcomes)} of {len(outcomes)} as recorded"

    def _copied(self) -> ModelCopy:
        if self._copy is None:
            raise RuntimeError("a model's hash is checked before it is probed")
        return self._copy

    def _found(self) -> StoredModel:
        if self._stored is None:
            raise RuntimeError("a model's manifest is read before anything else")
        return self._stored


def fingerprint(manifest: Manifest) -> str:
    """Hex digits that two models share only if they are fed and read alike and their graphs have the same bytes."""
    told = manifest.model_dump_json(exclude={"origin", "licence", "accuracy", "latency", "golden"})
    return hashlib.sha256(told.encode()).hexdigest()


def _known(wanted: Collection[str], manifest: Manifest) -> tuple[str, ...]:
    """Of the classes the user wants to see, those that this model has."""
    known = tuple(name for name in wanted if name in manifest.classes)
    if wanted and not known:
        raise UsageError(
            f"{manifest.label} finds {_counted(manifest.classes)}, and this app shows only {', '.join(wanted)}; start "
            "it again with other --classes"
        )
    return known


def _counted(classes: tuple[str, ...]) -> str:
    first = ", ".join(classes[:3])
    return first if len(classes) <= 3 else f"{first} and {len(classes) - 3} more classes"
