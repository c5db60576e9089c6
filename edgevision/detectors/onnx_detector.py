"""Preprocess, session, decode: one compact model as a detector."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.decoders import Candidates, Head, make_decoder
from edgevision.detectors.engines import DEFAULT_ENGINE, InferenceSession
from edgevision.detectors.manifest import Manifest
from edgevision.detectors.nms import nms
from edgevision.detectors.preprocess import Letterbox, Prepared, Preprocessor
from edgevision.detectors.rotated_boxes import rotated_nms
from edgevision.errors import ModelFailed, ModelInvalid, UsageError
from edgevision.interfaces import Detector
from edgevision.types import Detections

MOST_CANDIDATES = 3000
"""Suppression is quadratic: of more candidates than this, the worst are left out."""
MOST_DETECTIONS = 300


@dataclass(frozen=True, slots=True, eq=False)
class RawOutputs:
    """What the network gave for one frame, with the way back to that frame."""

    outputs: list[NDArray[Any]]
    letterbox: Letterbox


class OnnxDetector:
    """A compact model, ready to run. A `StagedDetector`; safe from several threads for different lanes."""

    def __init__(
        self,
        manifest: Manifest,
        session: InferenceSession,
        *,
        min_score: float | None = None,
        iou_threshold: float | None = None,
        only_classes: Collection[str] | None = None,
    ) -> None:
        """Join a manifest and its loaded graph.

        Raises `ModelInvalid` where they do not fit together, `UsageError` for a threshold outside 0-1 or a class that
        the model does not have.
        """
        _check_input(manifest, session)
        self.manifest, self.session = manifest, session
        recipe = manifest.input
        self.min_score = _share("score threshold", min_score, manifest.thresholds.score)
        self.iou_threshold = _share("IoU threshold", iou_threshold, manifest.thresholds.iou)
        self.shown_score = self.min_score
        """What results are to show; `min_score` may be set lower for a tracker, which looks at doubtful boxes too."""
        self.only_classes = tuple(only_classes or ())
        self._only = _class_ids(manifest, only_classes)
        self._preprocessor = Preprocessor(recipe)
        head = Head((recipe.width_px, recipe.height_px), len(manifest.classes), session.outputs, session.where)
        self._decoder = make_decoder(manifest.family, head)

    @property
    def name(self) -> str:
        """``name@version``, and ``/engine`` where that is not onnxruntime: results say by it what produced them."""
        label, engine = self.manifest.label, self.session.engine
        return label if engine == DEFAULT_ENGINE else f"{label}/{engine}"

    @property
    def classes(self) -> tuple[str, ...]:
        return self.manifest.classes

    @property
    def lanes(self) -> int:
        """How many frames can be inferred at once."""
        return self.session.lanes

    def detect(self, pixels: NDArray[np.uint8]) -> Detections:
        """Detections in one (H, W, 3) uint8 BGR picture. Raises `ModelFailed`."""
        return self.decode(self.infer(self.prepare(pixels)))

    def prepare(self, pixels: NDArray[np.uint8]) -> Prepared:
        return self._preprocessor.prepare(pixels)

    def infer(self, prepared: Prepared, lane: int = 0) -> RawOutputs:
        outputs = self.session.run(prepared.tensor, lane, self.manifest.input.name or None)
        raw = RawOutputs(outputs, prepared.letterbox)
        self._preprocessor.give_back(prepared)
        return raw

    def candidates(self, raw: RawOutputs, min_score: float) -> Candidates:
        """What the head gives over a threshold, in input pixels. Raises `ModelFailed` and `ModelInvalid`."""
        try:
            # What overflows is refused in one sentence below; numpy's warnings would be a second and third.
            with np.errstate(over="ignore", invalid="ignore"):
                found = self._decoder.decode(raw.outputs, min_score)
        except (ValueError, IndexError) as exc:
            shapes = ", ".join(str(o.shape) for o in raw.outputs)
            raise ModelFailed(f"{self.name}: outputs {shapes} cannot be read as {self.manifest.family}: {exc}") from exc
        if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
            raise ModelFailed(f"{self.name}: gave numbers that are not finite; the file is damaged or fed wrongly")
        if len(found.class_ids) and not 0 <= found.class_ids.min() <= found.class_ids.max() < len(self.classes):
            raise ModelInvalid(
                f"{self.name}: expected classes 0 to {len(self.classes) - 1} for {len(self.classes)} names, got class "
                f"{found.class_ids.max()}; give as many --classes as it was trained on"
            )
        return found

    def decode(self, raw: RawOutputs) -> Detections:
        found = self._wanted(self.candidates(raw, self.min_score))
        index = self._best(found)
        boxes = raw.letterbox.to_frame(found.boxes[index])
        # A box that lay wholly in the padding has no extent in the frame.
        inside = ((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])).nonzero()[0]
        scores = np.clip(found.scores[index], 0, 1)
        return Detections(boxes[inside], scores[inside], found.class_ids[index][inside])

    def warm_up(self, runs: int = 2) -> None:
        """Run every lane on an empty picture, so that the first frame pays for no allocation."""
        picture = np.full((self.manifest.input.height_px, self.manifest.input.width_px, 3), 114, np.uint8)
        for lane in range(self.lanes):
            for _ in range(runs):
                self.decode(self.infer(self.prepare(picture), lane))

    def _best(self, found: Candidates) -> NDArray[np.int64]:
        """Indices of what is shown, best first: of boxes that overlap the best one."""
        if found.suppressed or not self._decoder.needs_nms:
            return np.argsort(-found.scores, kind="stable")[:MOST_DETECTIONS]
        if found.rotated is not None:
            return rotated_nms(found.rotated, found.scores, found.class_ids, self.iou_threshold, MOST_DETECTIONS)
        return nms(found.boxes, found.scores, found.class_ids, self.iou_threshold, MOST_DETECTIONS)

    def _wanted(self, found: Candidates) -> Candidates:
        keep: NDArray[Any] | None = None
        if self._only is not None:
            keep = np.flatnonzero(np.isin(found.class_ids, self._only))
            found = found.take(keep)
        if len(found.scores) > MOST_CANDIDATES:
            keep = np.argpartition(-found.scores, MOST_CANDIDATES)[:MOST_CANDIDATES]
            found = found.take(keep)
        return found


def own_threshold(detector: Detector, default: float = 0.3) -> float:
    """The score threshold of a compact model's manifest, whatever it is set to now; ``default`` for other detectors."""
    return detector.manifest.thresholds.score if isinstance(detector, OnnxDetector) else default


def _check_input(manifest: Manifest, session: InferenceSession) -> None:
    """The graph's input against the recipe that is to feed it."""
    recipe, where = manifest.input, session.where
    named = [i for i in session.inputs if i.name == recipe.name] if recipe.name else list(session.inputs)
    if len(session.inputs) != 1 or not named:
        got = "; ".join(str(i) for i in session.inputs)
        wanted = f"named {recipe.name}" if recipe.name else "for the image"
        raise ModelInvalid(f"{where}: expected one input {wanted}, got {got}")
    info = named[0]
    height, width = recipe.height_px, recipe.width_px
    wanted_shape = (1, 3, height, width) if recipe.layout == "nchw" else (1, height, width, 3)
    fits = len(info.shape) == 4 and all(g in (w, None) for g, w in zip(info.shape, wanted_shape, strict=True))
    if not fits or info.dtype != recipe.dtype:
        raise ModelInvalid(
            f"{where}: a camera frame would be fed as {recipe.dtype} {'×'.join(map(str, wanted_shape))}, "
            f"but the graph takes {info}; correct [input] in its model.toml"
        )


def _share(what: str, given: float | None, default: float) -> float:
    if given is None:
        return default
    if not 0 <= given <= 1:
        raise UsageError(f"{what}: expected a number from 0 to 1, got {given}")
    return given


def _class_ids(manifest: Manifest, names: Collection[str] | None) -> NDArray[np.int64] | None:
    if not names:
        return None
    unknown = [n for n in names if n not in manifest.classes]
    if unknown:
        known = ", ".join(manifest.classes[:12]) + (", …" if len(manifest.classes) > 12 else "")
        raise UsageError(f"{manifest.label} has no class {', '.join(map(repr, unknown))}; it has {known}")
    return np.array([manifest.classes.index(n) for n in names], np.int64)
