"""What an export may be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How a trained network becomes a model; what is left out, the run itself says."""

    int8: bool = False
    half: bool = False
    """Keep a float graph's weights in 16 bits."""
    calibrate: Path | None = None
    """Images that int8's ranges are taken from; by default the run's training images."""
    data: Path | None = None
    """What it is measured on; by default the run's own validation images."""
    classes: tuple[str, ...] = ()
    """For a checkpoint that does not name them."""
    side_px: int | None = None
    """The input's side, for a checkpoint that does not say it."""
