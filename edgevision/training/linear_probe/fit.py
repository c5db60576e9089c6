"""``distill head``: a logistic regression on frozen features of a handful of examples, checked, in one ONNX."""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.deployment.model_folder import check_target, write_folder
from edgevision.detectors.manifest import Accuracy, Manifest, manifest_from, manifest_text
from edgevision.detectors.onnx_detector import OnnxDetector
from edgevision.detectors.onnx_session import Session
from edgevision.detectors.preprocess import Preprocessor
from edgevision.errors import MissingExtra, UsageError
from edgevision.training.linear_probe.examples import Examples
from edgevision.training.linear_probe.graph import INPUT

FOLDS = 5
Say = Callable[[str], None]


@dataclass(slots=True)
class LightHead:
    """What was fitted, and how well it did on examples it had not seen."""

    manifest: Manifest
    graph: bytes
    accuracy: float
    low: float
    """95 % Wilson interval over examples."""
    high: float
    by_kind: dict[str, tuple[int, int]]
    """Right and all, of each kind."""
    wrong: list[str] = field(default_factory=list)
    """Files that were taken for another kind."""


def fit(
    features: str,
    weights: str | None,
    examples: Examples,
    name: str,
    *,
    version: str = "1",
    threads: int | None = None,
    say: Say = lambda text: None,
) -> LightHead:
    """Fit on ``features`` (a feature model of `edgevision.detectors.foundation`) and join all in one graph.

    The features are worked out by the graph that ships, so nothing is fed differently later. Raises `MissingExtra`,
    `UsageError` for a model that gives no features, and what `load_foundation` raises.
    """
    _need_scikit_learn()
    from edgevision.training.linear_probe.graph import join_head

    network = _export(features, weights, threads, say)
    manifest = manifest_for(name, version, examples.kinds, network.side_px, network.origin)
    say(f"features of {len(examples.pictures)} examples")
    vectors = _embed(network, manifest, examples, threads or 1)
    kinds = np.array(examples.kind_ids)
    predicted, folds = _cross_validate(vectors, kinds, examples.groups)
    rows, bias = _fit_logistic(vectors, kinds)
    metadata = {"names": str(dict(enumerate(examples.kinds))), "task": "classify", "features": network.origin}
    graph = join_head(network.graph, rows, bias, metadata)
    manifest = manifest.model_copy(update={"sha256": hashlib.sha256(graph).hexdigest()})
    right = int((predicted == kinds).sum())
    low, high = wilson(right, len(kinds))
    if not network.random:
        data = f"{folds}-fold cross-validation on {len(kinds)} examples of {len(set(examples.groups))} pictures"
        share, bounds = round(right / len(kinds), 3), (round(low, 3), round(high, 3))
        figure = Accuracy(data=data, metric="accuracy", value=share, low=bounds[0], high=bounds[1])
        manifest = manifest.model_copy(update={"accuracy": (figure,)})
    by_kind = {
        kind: (int(((predicted == kinds) & (kinds == k)).sum()), int((kinds == k).sum()))
        for k, kind in enumerate(examples.kinds)
    }
    wrong = [g for g, a, b in zip(examples.groups, predicted, kinds, strict=True) if a != b]
    return LightHead(manifest, graph, right / len(kinds), low, high, by_kind, wrong)


@dataclass(frozen=True, slots=True)
class _FeatureNetwork:
    """A frozen network as a graph: image in, feature vector out."""

    graph: bytes
    side_px: int
    origin: str
    random: bool
    """Its weights are random: its speed is true, its features are not."""


def _need_scikit_learn() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError as exc:
        raise MissingExtra("scikit-learn", "train", "`distill head`") from exc


def _export(features: str, weights: str | None, threads: int | None, say: Say) -> _FeatureNetwork:
    from edgevision.detectors.foundation import foundation_kind, load_foundation
    from edgevision.detectors.foundation.embedding import FeatureDetector
    from edgevision.training.linear_probe.graph import export_features

    if foundation_kind(features) not in ("features", "presence"):
        raise UsageError(f"features: expected dinov2, dinov3 or clip, got {features}, which gives no features")
    with (
        load_foundation(features, weights=weights, threads=threads) as source,
        tempfile.TemporaryDirectory() as scratch,
    ):
        assert isinstance(source, FeatureDetector)
        say(f"exporting {source.name} ({source.mode})")
        path = Path(scratch) / "features.onnx"
        side_px = export_features(source, path)
        return _FeatureNetwork(path.read_bytes(), side_px, source.name, source.random_weights)


def _embed(network: _FeatureNetwork, manifest: Manifest, examples: Examples, threads: int) -> NDArray[np.float32]:
    """Feature vectors (N, D) of the examples, of length 1."""
    session = Session(network.graph, network.origin, threads)
    preprocessor = Preprocessor(manifest.input)
    return np.concatenate([session.run(preprocessor.prepare(p).tensor, 0, INPUT)[0] for p in examples.pictures])


def _classifier() -> Any:
    from sklearn.linear_model import LogisticRegression

    # Unit vectors are short: scikit-learn's default of C = 1 leaves a head that says 0.5 to everything.
    return LogisticRegression(C=100.0, max_iter=2000, class_weight="balanced")


def _cross_validate(
    vectors: NDArray[np.float32], kinds: NDArray[np.int64], groups: Sequence[str]
) -> tuple[NDArray[np.int64], int]:
    """The kind (N,) that a head says of each example which it was not fitted on, and the number of folds.

    Examples of one file are in one fold. Raises `UsageError` where those of a kind come from one file.
    """
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    files = [len({g for g, k in zip(groups, kinds, strict=True) if k == kind}) for kind in set(kinds)]
    folds = min(FOLDS, *files)
    if folds < 2:
        raise UsageError("expected the examples of each class to come from at least two images: add another image")
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    return np.asarray(cross_val_predict(_classifier(), vectors, kinds, groups=groups, cv=splitter)), folds


def _fit_logistic(
    vectors: NDArray[np.float32], kinds: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights (kinds, D) and bias (kinds,) of a logistic regression on all examples, for a softmax."""
    head = _classifier().fit(vectors, kinds)
    return _softmax_form(head.coef_, head.intercept_)


def manifest_for(name: str, version: str, kinds: tuple[str, ...], side_px: int, origin: str) -> Manifest:
    """How the joined graph is fed and read. Raises `ModelInvalid` for a name that a folder cannot have."""
    return manifest_from(
        {
            "name": name,
            "version": version,
            "family": "classifier",
            "classes": list(kinds),
            "licence": "that of the features' weights",
            "input": {
                "name": INPUT,
                "width_px": side_px,
                "height_px": side_px,
                "layout": "nhwc",
                "dtype": "uint8",
                "channel_order": "bgr",
                "resize": "stretch",
            },
            "thresholds": {"score": 0.0},
            "origin": {"teacher": origin, "recipe": "edgevision distill head"},
        },
        "head",
    )


def package(head: LightHead, target: Path, replace: bool = False) -> OnnxDetector:
    """Write the model's folder, checked by loading it. Raises `UsageError` where the place is taken."""
    check_target(target, replace)
    detector = OnnxDetector(head.manifest, Session(head.graph, head.manifest.name, 1))
    detector.warm_up()
    with write_folder(target) as folder:
        (folder / head.manifest.file).write_bytes(head.graph)
        (folder / "model.toml").write_text(manifest_text(head.manifest), encoding="utf-8")
        (folder / "README.md").write_text(_card(head), encoding="utf-8")
    return detector


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, 1927): sound for a handful, where the usual one is not."""
    z, share = 1.96, right / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def _softmax_form(
    rows: NDArray[np.float64], bias: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """scikit-learn keeps one row for two kinds; the graph has a row for each."""
    if len(bias) == 1:
        rows, bias = np.concatenate([np.zeros_like(rows), rows]), np.concatenate([np.zeros_like(bias), bias])
    return rows.astype(np.float32), bias.astype(np.float32)


def _card(head: LightHead) -> str:
    manifest = head.manifest
    lines = [
        f"# {manifest.name}",
        "",
        f"Classifies an image or a crop: {', '.join(manifest.classes)}. Made by `edgevision distill head`:",
        f"frozen features of {manifest.origin.teacher} and a logistic regression.",
        "",
    ]
    if manifest.accuracy:
        figure = manifest.accuracy[0]
        lines += [f"Accuracy {figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f}), {figure.data}.", ""]
        lines += ["| class | correct | of |", "|---|---|---|"]
        lines += [f"| {kind} | {right} | {count} |" for kind, (right, count) in head.by_kind.items()]
    else:
        lines += ["The features have random weights: its speed is true, its answers are not."]
    lines += [
        "",
        "The licence of the features' weights is that of their maker; look it up before you publish this file.",
    ]
    return "\n".join(lines) + "\n"
