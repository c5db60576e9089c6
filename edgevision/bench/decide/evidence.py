"""The measurements that a decision needs: speed and accuracy of models, on which machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from edgevision.bench import BenchRun, figures

_NO_BOXES = tuple(f"foundation:{name}" for name in ("clip", "dinov2", "dinov3"))
"""Models that give classes or features, but no boxes."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One model on one machine."""

    model: str
    kind: str
    """``compact``, ``foundation`` or ``other``, as in a bench run."""
    fps: float
    """Of the whole loop where that was measured, else of inference alone."""
    ms: float
    """p95 of a frame."""
    machine: str
    random_weights: bool = False
    """The speed is real, the accuracy unknown."""
    ap50: float | None = None

    @property
    def shown(self) -> str:
        return f"{self.model.removeprefix('foundation:')} reached {rate(self.fps)}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """All measurements, and whether they are of the user's own machine."""

    measured: tuple[Measured, ...]
    own: bool
    source: str
    """The source of the figures, for the reader."""

    def best(self, kind: str, boxes: bool = True) -> Measured | None:
        """The fastest model of a kind; with ``boxes``, of those that give boxes."""
        fit = (m for m in self.measured if m.kind == kind and not (boxes and m.model.startswith(_NO_BOXES)))
        return max(fit, key=lambda m: m.fps, default=None)


def rate(fps: float) -> str:
    """fps with two significant digits."""
    return f"{fps:.0f} fps" if fps >= 10 else f"{fps:.1f} fps" if fps >= 0.95 else f"{fps:.2g} fps"


def from_runs(runs: Sequence[BenchRun], source: str) -> Evidence:
    """The measurements of bench runs on the user's machine."""
    found: dict[str, Measured] = {}
    for run in runs:
        # A loop on a camera is as fast as the camera: what a model can do shows on a file, or alone.
        for one in sorted(figures(run), key=lambda f: (f.kind == "loop", not f.live)):
            contender = run.contender(one.label)
            found[one.label] = Measured(
                contender.shown,
                contender.kind,
                one.fps.value,
                one.work.p95.value,
                f"{run.machine.model or run.machine.cpu}, {run.machine.cores} cores",
                contender.random_weights,
                next((a.ap50 for a in run.accuracy if a.contender == one.label), None),
            )
    return Evidence(tuple(found.values()), True, source)


def reference() -> Evidence:
    """The reference figures that ship with edgevision, of the machine they name."""
    told = json.loads(files("edgevision.bench.decide").joinpath("reference.json").read_text(encoding="utf-8"))
    measured = tuple(Measured(machine=told["machine"], **row) for row in told["measured"])
    return Evidence(measured, False, f"measured by edgevision on {told['date']} on {told['machine']}")
