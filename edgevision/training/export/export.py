"""Export of whatever was trained: a run of ours, a checkpoint, or an Ultralytics run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edgevision.training.export.model_card import ModelCardFields
from edgevision.training.export.package_model import Shipped


def export_any(
    run: Path,
    target: Path,
    wish: ModelCardFields,
    *,
    int8: bool = False,
    half: bool = False,
    calibrate: Path | None = None,
    data: Path | None = None,
    classes: Sequence[str] | None = None,
    side_px: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Shipped:
    """Export a run of either trainer. Raises `UsageError`, `MissingExtra`, and `EdgeVisionError` for a bad int8."""
    from edgevision.training.extras import need_train

    need_train("exporting a student")
    if (run / "best.onnx").exists():
        from edgevision.training.ultralytics_trainer import export_ultralytics

        return export_ultralytics(run, target, wish, int8=int8, calibrate=calibrate, data=data, say=say)
    from edgevision.training.export.export_run import export_run

    return export_run(
        run, target, wish, int8=int8, half=half, calibrate=calibrate, data=data, classes=classes, side_px=side_px,
        say=say,
    )  # fmt: skip
