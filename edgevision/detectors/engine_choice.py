"""Which engine runs a model fastest on this machine: measured once, kept per model and machine.

The file ``engines.json`` in the user's data folder maps a model's SHA-256 and the machine's fingerprint to what
`edgevision.deployment.engine_trial` measured. ``--engine auto`` reads it and measures nothing itself.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgevision.concurrency import usable_cores
from edgevision.detectors.engines import AUTO, DEFAULT_ENGINE, ENGINES, check_engine, installed_engines
from edgevision.regular_file import parse_json, read_regular_text

_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "i8mm", "bf16", "sve")
"""Instructions that decide which engine is fast."""
_MOST_ENTRIES = 500


@dataclass(frozen=True, slots=True)
class EngineTime:
    """What one engine did with a model on this machine."""

    engine: str
    provider: str
    median_ms: float | None
    """One inference of one thread, preprocessing and decoding left out; None where it cannot run the model."""
    agrees: bool
    """Its boxes are onnxruntime's, within the limits of `engine_trial`."""
    note: str
    """How far it agrees, or why it was refused."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What was measured of one model, and the engine that ``auto`` takes."""

    chosen: str
    times: tuple[EngineTime, ...]


def choices_file(data_folder: Path) -> Path:
    """Where choices are kept, in the user's data folder."""
    return data_folder / "engines.json"


@cache
def machine_fingerprint() -> str:
    """The processor, its relevant instructions, the cores there are to use and the engines' versions, as one line."""
    parts = [platform.machine(), _processor(), f"{usable_cores()} cores", *_processor_flags()]
    for name in installed_engines():
        package = ENGINES[name].package
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            parts.append(package)
    return ", ".join(parts)


def read_choice(sha256: str, data_folder: Path) -> EngineChoice | None:
    """What was measured of the model of that hash on this machine; None where nothing was, or the file is damaged."""
    entry = _read(choices_file(data_folder)).get(_key(sha256))
    try:
        return None if entry is None else EngineChoice(entry["chosen"], tuple(EngineTime(**t) for t in entry["times"]))
    except (KeyError, TypeError):
        return None


def write_choice(sha256: str, choice: EngineChoice, data_folder: Path) -> Path:
    """Keep a choice. The file is replaced whole; the oldest of more than 500 entries go. Raises `OSError`."""
    path = choices_file(data_folder)
    entries = _read(path)
    entries.pop(_key(sha256), None)
    entries[_key(sha256)] = asdict(choice)
    for key in list(entries)[:-_MOST_ENTRIES]:
        del entries[key]
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    fresh.replace(path)
    return path


def engine_for(engine: str, sha256: str, data_folder: Path) -> str:
    """The engine to load a model in: the one named, or for ``auto`` the measured one if it is still installed.

    Raises `UsageError` for an unknown engine and `MissingExtra` for one that is not installed.
    """
    if engine != AUTO:
        return check_engine(engine)
    choice = read_choice(sha256, data_folder)
    return choice.chosen if choice is not None and choice.chosen in installed_engines() else DEFAULT_ENGINE


def _key(sha256: str) -> str:
    return f"{sha256} on {machine_fingerprint()}"


def _read(path: Path) -> dict[str, Any]:
    try:
        values = parse_json(read_regular_text(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _cpuinfo() -> Mapping[str, str]:
    """The first processor's entries in /proc/cpuinfo; empty elsewhere than on Linux."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def _processor() -> str:
    info = _cpuinfo()
    return info.get("model name") or info.get("cpu part") or platform.processor() or "unknown processor"


def _processor_flags() -> list[str]:
    info = _cpuinfo()
    there = set((info.get("flags") or info.get("features") or "").split())
    return [flag for flag in _FLAGS if flag in there]
