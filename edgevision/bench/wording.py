"""What a run says, in sentences: the terminal, the page and the Markdown all say the same."""

from __future__ import annotations

from edgevision.bench.formatting import fps_text, times_text
from edgevision.bench.glass_to_glass import glass_words, page_words
from edgevision.bench.records import BenchRun
from edgevision.bench.summary import figures, speed_ratio
from edgevision.bench.timeline_charts import sustained_words

BUSY = 0.1
"""Share of all cores; from here on, that other programs were at work is said."""
DRIFT = 0.1
"""From here on, that the second half of a run differs from the first is said."""


def sentences(run: BenchRun) -> list[str]:
    """What the run settles, first."""
    told = headline(run)
    told += [f"{run.contender(g.contender).shown}: {glass_words(g)}." for g in run.glass]
    return told + [f"{run.contender(s.contender).shown}, sustained: {sustained_words(s)}." for s in run.sustained]


def agreements(run: BenchRun) -> list[str]:
    """How far contenders find the same, where nobody knows what is there."""
    return [
        f"{run.contender(a.contender).shown} finds {a.found_again:.0%} of the {a.reference_boxes} boxes that "
        f"{a.reference} found surely in {a.frames} frames of {data_shown(run, a.data)}. "
        "That is agreement, not accuracy: there are no labels."
        for a in run.agreement
    ]


def headline(run: BenchRun) -> list[str]:
    """What the run settles, in sentences: who is real time, and by how much one is faster than another."""
    said = []
    # A live source bounds what it shows, so a file speaks first.
    loops = [f for f in reversed(figures(run)) if f.kind == "loop"]
    found = {f.label: f for f in loops if f.live} | {f.label: f for f in loops if not f.live}
    shown = [found[c.label] for c in run.contenders if c.label in found]
    said += [
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


def data_shown(run: BenchRun, name: str) -> str:
    """A set of pictures in a word or two."""
    return next((clip.shown for clip in run.clips if clip.name == name), name)


def conditions(run: BenchRun) -> list[str]:
    """Under what all figures of a run were measured, in short sentences."""
    machine = run.machine
    packages = ", ".join(f"{name} {number}" for name, number in machine.packages.items())
    return [
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_mib / 1024:.0f} GiB, {machine.system}, "
        f"{machine.architecture}" + (f", {machine.model}" if machine.model else ""),
        f"clock governor: {machine.governor or 'the system does not tell'}",
        f"edgevision {run.edgevision}{f' ({run.commit})' if run.commit else ''}, Python {machine.python}, {packages}",
        *([_turns(run)] if run.series else []),
        f"measured {run.made.replace('T', ' ').replace('+00:00', ' UTC')}{', interrupted' if run.interrupted else ''}",
        f"energy: {run.energy or run.no_energy or 'not measured'}",
    ]


def _turns(run: BenchRun) -> str:
    block_s = run.settings.seconds / run.settings.rounds
    return (
        f"{run.settings.rounds} rounds of {block_s:.2g} s for each contender, way and source, in turns; "
        "intervals are 95 %, bootstrapped over rounds"
    )


def remarks(run: BenchRun) -> list[str]:
    """What a reader must know before trusting a figure."""
    said = list(run.notes)
    if run.interrupted:
        said.append("The run was interrupted: what was measured until then is shown.")
    if run.busy_elsewhere is not None and run.busy_elsewhere > BUSY:
        share = f"{run.busy_elsewhere:.0%}"
        said.append(f"Other programs took {share} of the processor meanwhile: measure again on an idle machine.")
    for f in figures(run):
        where = f"{f.contender}, {f.kind} on {f.clip_shown}"
        if not f.settled:
            said.append(f"{where}: had not settled when its warm-up ended.")
        if abs(f.drift) > DRIFT:
            way = "faster" if f.drift > 0 else "slower"
            said.append(f"{where}: {abs(f.drift):.0%} {way} in the second half of the run.")
        if not f.fps.has_interval:
            said.append(f"{where}: too few rounds ({f.blocks}) for an interval.")
    said += [f"{run.contender(g.contender).shown}: {words}" for g in run.glass if (words := page_words(g))]
    throttled = sorted({what for s in run.samples for what in s.throttled or ()})
    if throttled:
        said.append(f"The machine held itself back: {', '.join(throttled)}.")
    return said
