"""The sentences of a run: the same in the terminal, the page and the Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from edgevision.bench.formatting import digits, fps_text, times_text
from edgevision.bench.glass_to_glass import glass_words, page_words
from edgevision.bench.records import BenchRun
from edgevision.bench.summary import Figures, figures, speed_ratio
from edgevision.bench.timeline_charts import sustained_words

BUSY = 0.1
"""Share of all cores from which on other programs' load is reported."""
DRIFT = 0.1
"""Relative difference of a run's halves from which on it is reported."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of a run, to be read at a glance."""

    text: str
    """``Real time: 240 fps``."""
    detail: str
    tone: str
    """``good``, ``bad`` or ``unsure``."""


def verdict_of(run: BenchRun) -> Verdict | None:
    """Whether the first contender is real time through the whole loop; None where no loop was measured."""
    loops = _loops(run)
    if not loops:
        return None
    first = loops[0]
    tone = {"above": "good", "keeps": "good", "below": "bad", "drops": "bad"}.get(first.verdict.split(" ")[0], "unsure")
    word = {"good": "Real time", "bad": "Not real time", "unsure": "Undecided"}[tone]
    detail = f"{first.contender}, whole loop on {first.clip_shown}: {first.verdict}"
    if first.fps.has_interval:
        detail += f" (95 % interval {digits(first.fps.low)}–{digits(first.fps.high)} fps)"
    return Verdict(f"{word}: {digits(first.fps.value)} fps", detail, tone)


def sentences(run: BenchRun) -> list[str]:
    """The answers of a run, the most important first."""
    told = headline(run)
    told += [f"{run.contender(g.contender).shown}: {glass_words(g)}." for g in run.glass]
    return told + [f"{run.contender(s.contender).shown}, sustained: {sustained_words(s)}." for s in run.sustained]


def agreements(run: BenchRun) -> list[str]:
    """How far contenders agree, where there are no labels."""
    return [
        f"{run.contender(a.contender).shown} finds {a.found_again:.0%} of the {a.reference_boxes} boxes that "
        f"{a.reference} found with confidence in {a.frames} frames of {data_shown(run, a.data)}. "
        "That is agreement, not accuracy: there are no labels."
        for a in run.agreement
    ]


def headline(run: BenchRun) -> list[str]:
    """Which contenders are real time, and how much faster one is than another."""
    shown = _loops(run)
    said = [
        f"{f.contender}: {fps_text(f.fps)} fps through the whole loop on {f.clip_shown}, {f.verdict}." for f in shown
    ]
    foundation = [f for f in shown if run.contender(f.label).kind == "foundation"]
    compact = [f for f in shown if run.contender(f.label).kind == "compact"]
    if foundation and compact:
        quick, other = max(compact, key=lambda f: f.fps.value), max(foundation, key=lambda f: f.fps.value)
        told = speed_ratio(run, quick.label, other.label)
        rank = ", the fastest foundation model here" if len(foundation) > 1 else ""
        if told is not None:
            said.append(f"{quick.contender} is {times_text(told)} as fast as {other.contender}{rank}.")
        if all(f.verdict.startswith(("below", "drops")) for f in foundation):
            said.append("No foundation model here is real time on this machine.")
        elif any(f.verdict.startswith(("above", "keeps")) for f in foundation):
            said.append("A foundation model is real time on this machine: speed alone does not decide here.")
    return said


def _loops(run: BenchRun) -> list[Figures]:
    """The whole loop of each contender, on a file where there is one: a live source bounds its own fps."""
    loops = [f for f in reversed(figures(run)) if f.kind == "loop"]
    found = {f.label: f for f in loops if f.live} | {f.label: f for f in loops if not f.live}
    return [found[c.label] for c in run.contenders if c.label in found]


def data_shown(run: BenchRun, name: str) -> str:
    """The short name of a dataset."""
    return next((clip.shown for clip in run.clips if clip.name == name), name)


def conditions(run: BenchRun) -> list[str]:
    """Machine, versions and settings of a run, a line each."""
    machine = run.machine
    packages = ", ".join(f"{name} {number}" for name, number in machine.packages.items())
    return [
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_mib / 1024:.0f} GiB, {machine.system}, "
        f"{machine.architecture}" + (f", {machine.model}" if machine.model else ""),
        f"clock governor: {machine.governor or 'unknown'}",
        f"edgevision {run.edgevision}{f' ({run.commit})' if run.commit else ''}, Python {machine.python}, {packages}",
        *([_turns(run)] if run.series else []),
        f"measured {run.made.replace('T', ' ').replace('+00:00', ' UTC')}{', interrupted' if run.interrupted else ''}",
        f"energy: {run.energy or run.no_energy or 'not measured'}",
    ]


def _turns(run: BenchRun) -> str:
    block_s = run.settings.seconds / run.settings.rounds
    return (
        f"{run.settings.rounds} rounds of {block_s:.2g} s for each contender, measurement and source, in turns; "
        "intervals are 95 %, bootstrapped over rounds"
    )


def remarks(run: BenchRun) -> list[str]:
    """Warnings about a run's figures."""
    said = list(run.notes)
    if run.interrupted:
        said.append("The run was interrupted; the figures are of its first part.")
    if run.busy_elsewhere is not None and run.busy_elsewhere > BUSY:
        share = f"{run.busy_elsewhere:.0%}"
        said.append(f"Other programs used {share} of the processor during the run: measure again on an idle machine.")
    for f in figures(run):
        where = f"{f.contender}, {f.kind} on {f.clip_shown}"
        if not f.settled:
            said.append(f"{where}: not settled when the warm-up ended.")
        if abs(f.drift) > DRIFT:
            way = "faster" if f.drift > 0 else "slower"
            said.append(f"{where}: {abs(f.drift):.0%} {way} in the second half of the run.")
        if not f.fps.has_interval:
            said.append(f"{where}: too few rounds ({f.blocks}) for an interval.")
    said += [f"{run.contender(g.contender).shown}: {words}" for g in run.glass if (words := page_words(g))]
    throttled = sorted({what for s in run.samples for what in s.throttled or ()})
    if throttled:
        said.append(f"The machine throttled: {', '.join(throttled)}.")
    return said
