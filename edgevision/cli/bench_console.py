"""The terminal output of ``edgevision bench``: progress, tables, verdicts; the same numbers as in the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from edgevision.bench.formatting import digits, fps_text, ms_text, ratio_text
from edgevision.bench.records import BenchRun
from edgevision.bench.summary import Figures, figures
from edgevision.bench.wording import agreements, conditions, data_shown, remarks, sentences, verdict_of
from edgevision.cli.console import announce
from edgevision.cli.terminal import Terminal

if TYPE_CHECKING:
    from edgevision.bench.compare import Comparison
    from edgevision.bench.tuning import Tuning

_COLOURS = {"above": "green", "keeps": "green", "faster": "green", "below": "red", "drops": "red", "slower": "red"}
_TONES = {"good": "green", "bad": "red", "unsure": "yellow"}
_REFRESH_PER_S = 2
"""Drawing the bar takes time from what is measured."""


@contextmanager
def progress_bar() -> Iterator[Callable[[str, float, float], None]]:
    """A bar with the time left, on stderr, where that is a terminal."""
    console = Terminal(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _in_lines()
        return
    share, now = TextColumn("{task.percentage:>3.0f} %"), TextColumn("{task.description}")
    columns = (BarColumn(24), share, TimeRemainingColumn(), now)
    with Progress(*columns, console=console, transient=True, refresh_per_second=_REFRESH_PER_S) as bar:
        task = bar.add_task("opening the sources", total=None)

        def show(what: str, done_s: float, total_s: float) -> None:
            bar.update(task, description=escape(what), completed=done_s, total=total_s or None)

        yield show


def _in_lines() -> Callable[[str, float, float], None]:
    """A line for each tenth of the work, for logs."""
    told = 0

    def show(what: str, done_s: float, total_s: float) -> None:
        nonlocal told
        tenth = int(10 * done_s / total_s) if total_s > 0 else 0
        if 0 < tenth != told:
            told = tenth
            announce(f"{10 * tenth} %: {what}")

    return show


def show_run(run: BenchRun) -> None:
    """Print a run on stdout."""
    console = Terminal(highlight=False)
    verdict = verdict_of(run)
    if verdict is not None:
        console.print(f"[bold {_TONES[verdict.tone]}]{escape(verdict.text)}[/]", soft_wrap=True)
    for line in sentences(run):
        console.print(f"[bold]{escape(line)}[/]", soft_wrap=True)
    found = figures(run)
    if found:
        for part in _speed_tables(found):
            console.print(part)
    if any(c.cold_start_ns or c.peak_rss_mib for c in run.contenders):
        console.print(_start_table(run))
    if run.accuracy:
        for part in _accuracy_tables(run):
            console.print(part)
    for words in agreements(run):
        console.print(escape(words), soft_wrap=True)
    for remark in remarks(run):
        console.print(f"[yellow]![/] {escape(remark)}", soft_wrap=True)
    for line in conditions(run):
        console.print(f"[dim]{escape(line)}[/]", soft_wrap=True)


def _speed_tables(found: list[Figures]) -> Iterator[RenderableType]:
    """One table for each contender, aligned with the first: no line is wider than 80 columns."""
    joules = any(f.joule_per_frame is not None for f in found)
    for k, name in enumerate(dict.fromkeys(f.contender for f in found)):
        table = Table(box=None, header_style="dim", pad_edge=False, show_header=k == 0, padding=(0, 1))
        table.add_column("", width=17, overflow="fold")
        table.add_column("fps [95 %]", width=20, justify="right")
        for heading in ("p50 ms", "p95", "p99", "age95"):
            table.add_column(heading, width=6, justify="right")
        table.add_column("drop", width=5, justify="right")
        table.add_column("CPU%", width=5, justify="right")
        if joules:
            table.add_column("J/frame", width=7, justify="right")
        yield Text(name, style="bold")
        own = [f for f in found if f.contender == name]
        for f in own:
            work = f.work
            table.add_row(
                escape("inference alone" if f.kind == "alone" else f"loop, {f.clip_shown}"),
                escape(fps_text(f.fps)),
                *(ms_text(e.value) for e in (work.p50, work.p95, work.p99)),
                ms_text(f.age.p95.value) if f.age else "",
                f"{f.dropped_share:.0%}" if f.live else "",
                f"{f.cpu_percent:.0f}",
                *([f"{f.joule_per_frame:.2g}" if f.joule_per_frame is not None else ""] if joules else []),
            )
        yield table
        for f in own:
            if f.verdict:
                colour = _COLOURS.get(f.verdict.split(" ", 1)[0], "yellow")
                yield Text(f"  {f.verdict}: loop, {f.clip_shown}", style=colour)


def _start_table(run: BenchRun) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("contender", "first result, s", "peak RSS, MiB", "file, MiB"):
        table.add_column(name, justify="left" if name == "contender" else "right")
    for c in run.contenders:
        starts = ", ".join(f"{t / 1e9:.2f}" for t in c.cold_start_ns)
        size = f"{c.file_bytes / 2**20:.1f}" if c.file_bytes else ""
        table.add_row(escape(c.shown), starts, f"{c.peak_rss_mib:.0f}" if c.peak_rss_mib else "", size)
    return table


def _accuracy_tables(run: BenchRun) -> Iterator[RenderableType]:
    """One for each dataset, which its first line names: a contender's name needs the width."""
    for data in dict.fromkeys(f.data for f in run.accuracy):
        own = [f for f in run.accuracy if f.data == data]
        counts = f"{own[0].frames} images, {own[0].labels} labels"
        yield Text(f"accuracy on {data_shown(run, data)}: {counts}", style="bold")
        table = Table(box=None, header_style="dim", pad_edge=False, show_header=True)
        table.add_column("")
        table.add_column("AP50 [95 %]", justify="right", no_wrap=True)
        table.add_column("AP50-95", justify="right", no_wrap=True)
        for f in own:
            interval = f" [{f.low:.3f}–{f.high:.3f}]" if f.low is not None and f.high is not None else ""
            name = run.contender(f.contender).shown
            table.add_row(escape(name), escape(f"{f.ap50:.3f}{interval}"), f"{f.ap50_95:.3f}")
        yield table


def show_comparison(comparison: Comparison) -> None:
    """Ratios of B to A."""
    console = Terminal(highlight=False)
    for name in dict.fromkeys(row.contender for row in comparison.rows):
        console.print(Text(name, style="bold"))
        table = Table(box=None, header_style="dim", pad_edge=False)
        table.add_column("", min_width=22)
        for heading, width in (("A fps", 6), ("B fps", 6), ("B ÷ A [95 %]", 18)):
            table.add_column(heading, justify="right", no_wrap=True, min_width=width)
        table.add_column("B is", no_wrap=True)
        for row in comparison.rows:
            if row.contender == name:
                way = "inference alone" if row.kind == "alone" else f"loop, {row.clip}"
                cells = (way, digits(row.fps_a.value), digits(row.fps_b.value), ratio_text(row.ratio))
                table.add_row(*map(escape, cells), f"[{_COLOURS.get(row.verdict, 'yellow')}]{row.verdict}[/]")
        console.print(table)
    for difference in comparison.differences:
        mark = f"allowed, {difference.condition}" if difference.condition else "differs"
        console.print(f"[yellow]![/] {mark}: {escape(difference.text)}")


def show_tuning(tuning: Tuning) -> None:
    """Print every setting that was tried, the best first, and the command line for it."""
    console = Terminal(highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(f"{tuning.budget_ms:g} ms", no_wrap=True)
    for heading in ("AP50", "p95 ms [95 %]", "fps"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("setting")
    for t in tuning.tried:
        accuracy = "–" if t.ap50 is None else f"{t.ap50:.3f}"
        colour = {"holds": "green", "misses": "red"}.get(t.verdict, "yellow")
        figures_ = (accuracy, ms_text(t.p95_ms), digits(t.fps.value))
        table.add_row(f"[{colour}]{t.verdict}[/]", *map(escape, figures_), escape(t.contender))
    console.print(table)
    for note in tuning.notes:
        console.print(f"[yellow]![/] {escape(note)}")
    if tuning.best is None:
        console.print(f"[bold red]No setting holds {tuning.budget_ms:g} ms at p95 here.[/]")
    else:
        console.print(f"[bold]{escape(tuning.best.command)}[/]")
