"""Who is measured by ``edgevision bench``, as its options say."""

from __future__ import annotations

from edgevision.bench.baseline import default_baseline, reference_notes
from edgevision.bench.contender import ContenderSpec, float_twin
from edgevision.cli.bench_options import BenchOptions
from edgevision.detectors.engines import AUTO, check_engine
from edgevision.detectors.foundation import PREFIX, foundation_kind
from edgevision.errors import UsageError

NO_BASELINE = "none"


def contenders_of(options: BenchOptions) -> tuple[list[ContenderSpec], list[str]]:
    """Compact models first, then foundation models; and what to say about who is not measured. Raises `UsageError`."""
    compact, notes = _compact(options)
    foundation, more = _foundation(options)
    return compact + foundation, notes + more


def _compact(options: BenchOptions) -> tuple[list[ContenderSpec], list[str]]:
    names, notes = list(options.model or []), []
    if options.detect_every > 1:
        every = options.detect_every
        notes.append(f"The loop's times are of all frames: 1 of {every} is detected, and takes longer.")
    if not names:
        names = ["person"]
        twin = float_twin("person")
        if twin is not None:
            names.append(twin)
        else:
            notes.append("No float twin of person is here (a model named person-float): int8 alone was measured.")
    specs = [
        ContenderSpec(
            name,
            threads=count,
            streams=options.workers,
            engine=engine,
            detect_every=options.detect_every,
            prompts=options.prompts,
        )
        for name in names
        for engine in _engines(options)
        for count in _thread_counts(options)
    ]
    return specs, notes


def _foundation(options: BenchOptions) -> tuple[list[ContenderSpec], list[str]]:
    if options.baselines == [NO_BASELINE]:
        return [], []
    if options.baselines:
        weights = None if options.weights == "hub" else options.weights
        return [
            ContenderSpec(
                _foundation_name(name),
                threads=count,
                detect_every=options.detect_every,
                weights=weights,
                prompts=options.prompts,
                allow_upload=options.allow_upload,
            )
            for name in options.baselines
            for count in _thread_counts(options)
        ], []
    if options.model or options.glass:
        return [], []
    chosen = default_baseline()
    return ([], reference_notes()) if chosen is None else ([chosen], [])


def _foundation_name(name: str) -> str:
    full = name if name.startswith(PREFIX) else PREFIX + name
    foundation_kind(full)
    return full


def _engines(options: BenchOptions) -> list[str]:
    """Names of engines, each usable here. Raises `UsageError` and `MissingExtra`."""
    names = [name.strip() for name in options.engine.split(",") if name.strip()]
    if not names:
        raise UsageError("--engine: expected names of engines with commas between, got nothing")
    return [name if name == AUTO else check_engine(name) for name in dict.fromkeys(names)]


def _thread_counts(options: BenchOptions) -> list[int | None]:
    if options.threads is None:
        return [None]
    words = [word.strip() for word in options.threads.split(",")]
    if not all(word.isdecimal() and 1 <= int(word) <= 256 for word in words):
        raise UsageError(f"--threads: expected numbers from 1 to 256 with commas between, got {options.threads!r}")
    return [int(word) for word in words]
