"""The models on the search path as lists show them: `models list`, its JSON, and the page's `/api/models`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevision.detectors.manifest import Manifest, read_manifest
from edgevision.detectors.registry import origin_of, stored_folders
from edgevision.errors import EdgeVisionError

_MOST_CLASSES = 100
"""On the page, which asks often."""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model folder."""

    folder: Path
    manifest: Manifest | None
    """None where it cannot be read; ``error`` then says why."""
    error: str = ""
    hidden: bool = False
    """A model of this name is before it on the search path, and is the one that the name stands for."""

    def as_json(self) -> dict[str, Any]:
        """For `models list --json`."""
        manifest, place = self.manifest, {"origin": origin_of(self.folder), "where": str(self.folder)}
        if manifest is None:
            return {"name": self.folder.name, **place, "error": self.error}
        return {
            "name": manifest.name,
            "version": manifest.version,
            "family": manifest.family,
            "input": manifest.input.in_words,
            "classes": list(manifest.classes),
            "licence": manifest.licence,
            "accuracy": accuracy_in_words(manifest),
            "ap50": manifest.ap50,
            "ms": manifest.median_ms,
            **place,
            "hidden": self.hidden,
        }

    def for_page(self) -> dict[str, Any]:
        """For the page's list of models to swap in: without places on this machine's disk."""
        manifest = self.manifest
        if manifest is None:
            return {"name": self.folder.name, "error": self.error}
        return {
            "name": self.folder.name,
            "label": manifest.label,
            "family": manifest.family,
            "input": f"{manifest.input.width_px}×{manifest.input.height_px}",
            "classes": list(manifest.classes[:_MOST_CLASSES]),
            "accuracy": accuracy_in_words(manifest, 2),
            "ap50": manifest.ap50,
            "ms": manifest.median_ms,
            "file_mb": _size_mb(self.folder / manifest.file),
            "sha256": manifest.sha256,
        }


def model_rows() -> list[ModelRow]:
    """Every model folder on the search path, the first match of a name first."""
    rows: list[ModelRow] = []
    names: set[str] = set()
    for folder in stored_folders():
        hidden = folder.name in names
        names.add(folder.name)
        try:
            rows.append(ModelRow(folder, read_manifest(folder / "model.toml"), hidden=hidden))
        except EdgeVisionError as exc:
            rows.append(ModelRow(folder, None, str(exc), hidden))
    return rows


def accuracy_in_words(manifest: Manifest, most: int | None = None) -> str:
    """``AP50 0.65 (data/person, 314 images)``, at most so many of its figures."""
    return "; ".join(f"{a.metric} {a.value:.2f} ({a.data})" for a in manifest.accuracy[:most])


def _size_mb(file: Path) -> float | None:
    try:
        return file.stat().st_size / 1e6
    except OSError:
        return None
