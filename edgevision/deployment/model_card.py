"""The README.md that stands in a model's folder: what it is, how it is fed, what is known of how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from edgevision.detectors.manifest import Manifest


def card(manifest: Manifest, file_name: str, file_sha256: str, notes: Sequence[str], median_ms: float, on: date) -> str:
    """Markdown for a model that was added from ``file_name``; ``notes`` say from what its manifest was concluded."""
    recipe = manifest.input
    classes = ", ".join(manifest.classes[:20]) + (", …" if len(manifest.classes) > 20 else "")
    lines = [
        f"# {manifest.name}",
        "",
        f"Added on {on.isoformat()} from `{file_name}` (SHA-256 `{file_sha256}`).",
        "",
        "| | |",
        "|---|---|",
        f"| version | {manifest.version} |",
        f"| family | {manifest.family} |",
        f"| input | {recipe.in_words}, as {recipe.dtype} {recipe.layout} |",
        f"| classes | {len(manifest.classes)}: {classes} |",
        f"| licence | {manifest.licence} |",
        f"| one inference here, one thread | {median_ms:.1f} ms |",
        "",
        "## From what this was concluded",
        "",
        *(f"- {note}" for note in notes),
        "",
        "## Accuracy",
        "",
        "Not measured. `edgevision models verify` tries other preprocessing and reports a better one.",
    ]
    return "\n".join(lines) + "\n"
