"""Two runs against each other, where they were measured under the same conditions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from edgevision.bench.records import BenchRun, Clip, Series
from edgevision.bench.statistics import Estimate, ratio, verdict
from edgevision.bench.summary import counted, rate
from edgevision.errors import UsageError

CONDITIONS = (
    "machine",
    "system",
    "governor",
    "python",
    "packages",
    "clip",
    "threads",
    "streams",
    "detect_every",
    "spinning",
    "weights",
)
"""What `allow` may name. What is measured (a model's file, edgevision itself) may differ, and is told."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not the same in both runs."""

    condition: str
    """One of `CONDITIONS`, or empty where it is what was to be compared."""
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One contender, one way, one source, in both runs."""

    contender: str
    kind: str
    clip: str
    fps_a: Estimate
    fps_b: Estimate
    ratio: Estimate
    """b ÷ a, in fps."""
    verdict: str
    """Of b: faster, slower, or cannot tell."""


@dataclass(frozen=True, slots=True)
class Comparison:
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]


def compare(a: BenchRun, b: BenchRun, allow: Collection[str] = ()) -> Comparison:
    """Ratios of ``b`` to ``a`` with intervals.

    Raises `UsageError`, naming the difference, where the runs' conditions differ in a way that ``allow`` does not
    name, or where they have nothing in common.
    """
    unknown = sorted(set(allow) - set(CONDITIONS))
    if unknown:
        raise UsageError(f"--allow: expected one of {', '.join(CONDITIONS)}, got {unknown[0]}")
    pairs = _pairs(a, b)
    found = [*_machine(a, b), *_clips(a, b, pairs), *_contenders(a, b, pairs)]
    refused = [d for d in found if d.condition and d.condition not in allow]
    if refused:
        told = "; ".join(f"{d.condition}: {d.text}" for d in refused)
        names = " ".join(dict.fromkeys(f"--allow {d.condition}" for d in refused))
        raise UsageError(
            f"the runs were measured under different conditions ({told}): measure again under the "
            f"same conditions, or compare with {names}"
        )
    rows = []
    for one, other in pairs:
        measured = ratio(rate(other), rate(one), paired=False)
        name = one.contender if one.contender == other.contender else f"{one.contender} → {other.contender}"
        shown = name + (" (random weights)" if b.contender(other.contender).random_weights else "")
        fps = rate(one).estimate(), rate(other).estimate()
        said = verdict(measured, 1.0, "faster", "slower")
        rows.append(Row(shown, one.kind, one.clip, *fps, measured, said))
    return Comparison(tuple(rows), tuple(found))


def _pairs(a: BenchRun, b: BenchRun) -> list[tuple[Series, Series]]:
    """Series of both runs that are about the same."""
    # With one contender each, they are meant to be compared, whatever they are called.
    single = len(a.contenders) == len(b.contenders) == 1
    theirs_left = [series for series in b.series if counted(series)]
    pairs: list[tuple[Series, Series]] = []
    # Whoever is called the same first: with --threads 1,2 a model stands there twice.
    for same in (_same_label, _same_but_for_threads, lambda one, other: single):
        for one in (series for series in a.series if counted(series) and all(series is not p[0] for p in pairs)):
            for other in theirs_left:
                clip = one.clip == other.clip or (single and _only_clip(a, one) and _only_clip(b, other))
                if same(one, other) and clip and one.kind == other.kind:
                    pairs.append((one, other))
                    theirs_left.remove(other)
                    break
    pairs.sort(key=lambda pair: a.series.index(pair[0]))
    if not pairs:
        mine, theirs = ("; ".join(c.label for c in run.contenders) or "nothing" for run in (a, b))
        raise UsageError(f"the runs have no contender and source in common: {mine} against {theirs}; measure the same")
    return pairs


def _same_label(one: Series, other: Series) -> bool:
    return one.contender == other.contender


def _same_but_for_threads(one: Series, other: Series) -> bool:
    return _bare(one.contender) == _bare(other.contender)


def _only_clip(run: BenchRun, series: Series) -> bool:
    return sum(s.kind == series.kind and s.contender == series.contender for s in run.series) == 1


def _bare(label: str) -> str:
    """A label without what is a condition: its threads, its streams, on which frames it detects."""
    ends = (" thread", " threads", " streams", " frames")
    return ", ".join(part for part in label.split(", ") if not part.endswith(ends))


def _machine(a: BenchRun, b: BenchRun) -> list[Difference]:
    one, other = a.machine, b.machine
    found = []
    here, there = ((m.cpu, m.architecture, m.cores, m.memory_mib // 1024, m.model) for m in (one, other))
    if here != there:
        changed = [f"{x} and {y}" for x, y in zip(here, there, strict=True) if x != y]
        found.append(Difference("machine", ", ".join(changed)))
    for name in ("system", "governor", "python"):
        x, y = getattr(one, name), getattr(other, name)
        if x != y:
            found.append(Difference(name, f"{x} and {y}"))
    # Packages that only one run had, such as torch beside a foundation model, did not run in the other.
    shared = [p for p in one.packages if p in other.packages and one.packages[p] != other.packages[p]]
    found += [Difference("packages", f"{p} {one.packages[p]} and {other.packages[p]}") for p in shared]
    if (a.edgevision, a.commit) != (b.edgevision, b.commit):
        x, y = (run.edgevision + (f" ({run.commit})" if run.commit else "") for run in (a, b))
        found.append(Difference("", f"edgevision {x} and {y}"))
    return found


def _clips(a: BenchRun, b: BenchRun, pairs: list[tuple[Series, Series]]) -> list[Difference]:
    found: dict[str, Difference] = {}
    for one, other in pairs:
        x, y = a.clip(one.clip), b.clip(other.clip)
        if one.kind == "loop" and (text := _clip_difference(x, y)):
            found.setdefault(x.name, Difference("clip", text))
    return list(found.values())


def _clip_difference(x: Clip, y: Clip) -> str:
    if x.sha256 != y.sha256:
        return f"{x.name} has SHA-256 {(x.sha256 or 'none')[:12]}, {y.name} has {(y.sha256 or 'none')[:12]}"
    same = ("width_px", "height_px", "fps", "live", "frames")
    changed = [f"{key} {getattr(x, key)} and {getattr(y, key)}" for key in same if getattr(x, key) != getattr(y, key)]
    if x.sha256 is None and x.name != y.name:
        changed.append(f"{x.name} and {y.name}")
    return ", ".join(changed)


def _contenders(a: BenchRun, b: BenchRun, pairs: list[tuple[Series, Series]]) -> list[Difference]:
    found: dict[tuple[str, str], Difference] = {}
    for one, other in pairs:
        x, y = a.contender(one.contender), b.contender(other.contender)
        for name in ("threads", "streams", "detect_every", "spinning"):
            if getattr(x, name) != getattr(y, name):
                text = f"{x.model} with {getattr(x, name)} and {getattr(y, name)}"
                found[name, x.label] = Difference(name, text)
        if x.random_weights != y.random_weights:
            which = a if x.random_weights else b
            where = "the first" if which is a else "the second"
            found["weights", x.label] = Difference("weights", f"{x.model} has random weights in {where} run only")
        for name in ("sha256", "input_wh", "provider", "mode"):
            mine, theirs = getattr(x, name), getattr(y, name)
            if mine != theirs:
                short = [v[:12] if name == "sha256" and v else v for v in (mine, theirs)]
                found[name, x.label] = Difference("", f"{x.model}: {name} {short[0]} and {short[1]}")
    return list(found.values())
