"""A run of the benchmark as a JSON file: written whole or not at all, and read with mistrust."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgevision.bench.records import FORMAT, BenchRun
from edgevision.errors import EdgeVisionError, UsageError
from edgevision.regular_file import parse_json, read_regular_text
from edgevision.types import STAGES

MOST_BYTES = 1 << 30


def write_run(run: BenchRun, path: Path, figures: list[dict[str, Any]] | None = None) -> None:
    """Write a run as JSON, whole or not at all. ``figures`` are for other readers; `read_run` computes its own.

    Raises `EdgeVisionError` where the disk refuses.
    """
    values = run.model_dump(mode="json", exclude_defaults=False)
    values["figures"] = _finite(figures or [])
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as exc:
        raise EdgeVisionError(f"{path}: cannot be written: {exc.strerror or exc}; name another folder") from exc


def _finite(value: Any) -> Any:
    """JSON knows no NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value


def read_run(path: Path) -> BenchRun:
    """Read a run. Raises `UsageError` for a file that is none, is damaged, or of a format unknown to this version."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path}: expected a benchmark's JSON of under 1 GiB")
        values = parse_json(read_regular_text(path, MOST_BYTES))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; `edgevision bench --out DIR` writes DIR/run.json") from None
    except OSError as exc:
        raise UsageError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{path}: expected a benchmark's JSON, but it is damaged or something else: {exc}") from exc
    found = values.get("format") if isinstance(values, dict) else None
    if not isinstance(found, str) or not found.startswith("edgevision.bench/"):
        raise UsageError(f"{path}: expected a benchmark's JSON ({FORMAT}), but it names no such format")
    if found != FORMAT:
        raise UsageError(f"{path}: is of format {found}, this version reads {FORMAT}: use the version that wrote it")
    values.pop("figures", None)
    try:
        run: BenchRun = BenchRun.model_validate(values)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path}: is damaged at {where or 'its top'}: {first['msg']}; measure again") from exc
    _check_whole(run, path)
    return run


def _check_whole(run: BenchRun, path: Path) -> None:
    """That what names another part names one that is there, and that arrays of a block are as long as each other."""
    labels, clips = {c.label for c in run.contenders}, {c.name for c in run.clips}
    for series in run.series:
        if series.contender not in labels or series.clip not in clips:
            raise UsageError(f"{path}: is damaged: a series of {series.contender!r} on {series.clip!r}, which it lacks")
        for block in series.blocks:
            lengths = {len(block.published_ns), *(len(v) for v in block.stages.values())}
            if series.kind == "loop":
                lengths |= {len(block.indices), len(block.age_ns)}
            if len(lengths) != 1 or not set(block.stages) <= set(STAGES):
                raise UsageError(f"{path}: is damaged: times of {series.contender!r} are not one a frame and stage")
    named = {f.contender for f in run.accuracy} | {f.contender for f in run.agreement}
    named |= {f.contender for f in run.sustained} | {f.contender for f in run.glass}
    if unknown := sorted(named - labels):
        raise UsageError(f"{path}: is damaged: figures of {unknown[0]!r}, which it lacks")
