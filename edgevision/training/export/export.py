"""Export of whatever was trained: a run of ours, a checkpoint, or an Ultralytics run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgevision.training.export.model_card import ModelCardFields
from edgevision.training.export.options import ExportOptions
from edgevision.training.export.package_model import PackagedModel


def export_any(
    run: Path,
    target: Path,
    fields: ModelCardFields,
    options: ExportOptions,
    say: Callable[[str], None] = lambda text: None,
) -> PackagedModel:
    """Export a run of either trainer to the folder ``target``.

    Raises `UsageError`, `MissingExtra`, and `EdgeVisionError` for an int8 that loses too much.
    """
    from edgevision.training.extras import need_train

    need_train("exporting a student")
    if (run / "best.onnx").exists():
        from edgevision.training.ultralytics_trainer import export_ultralytics

        return export_ultralytics(run, target, fields, options, say)
    from edgevision.training.export.export_run import export_run

    return export_run(run, target, fields, options, say)
