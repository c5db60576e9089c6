"""What `distill` shows on a terminal: progress with the time left, and tables at the end. A `workflow.Shown`."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from edgevision.cli.console import announce
from edgevision.cli.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgevision.evaluation.evaluate import Evaluation
    from edgevision.training.labelling.auto_label import LabelReport
    from edgevision.training.labelling.frame_selection import CollectReport


say = announce

_LINE_EVERY_S = 30.0
"""Where nobody watches (a log file), a line now and then in place of a bar."""


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar on a terminal, lines elsewhere; call it with (done, of how many, what now). 0 of how many: not known."""
    console = Terminal(stderr=True)
    began = said = time.monotonic()
    if not console.is_terminal:
        before: int | None = None
        told: tuple[int, int] | None = None

        def tell(done: int, total: int, now: str) -> None:
            nonlocal said, before, told
            before = done - 1 if before is None else before
            at = time.monotonic()
            # A step's end is told by more than one of its parts: one line says it once.
            if (done, total) != told and (at - said >= _LINE_EVERY_S or (total and done == total)):
                said, told = at, (done, total)
                # What an earlier run did took none of this one's time.
                left = (at - began) / max(done - before, 1) * (total - done) if total else math.nan
                rest = "" if math.isnan(left) or done == total else f", about {_span(left)} left"
                sys.stderr.write(f"{what}: {done}{f' of {total}' if total else ''}{rest}\n")
                sys.stderr.flush()

        yield tell
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(), TextColumn("[dim]{task.fields[now]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=False) as bar:
        task = bar.add_task(what, total=None, now="")

        def tell(done: int, total: int, now: str) -> None:
            bar.update(task, completed=done, total=total or None, now=now[-40:])

        yield tell


def label_table(report: LabelReport) -> None:
    """What a labelling run came to."""
    table = _table("", "")
    table.add_row("images", str(report.asked))
    rows = [
        ("labelled before", report.before),
        ("labelled now", report.labelled),
        ("for review", report.review),
        ("without objects", report.nothing),
        ("failed", report.failed),
        ("empty manual label files", report.empty_labels),
    ]
    for name, count in rows:
        if count or name == "labelled now":
            table.add_row(name, str(count), style="red" if name == "failed" else None)
    for name in {**report.objects, **report.doubtful}:
        doubtful = f" ({report.doubtful[name]} uncertain)" if report.doubtful[name] else ""
        table.add_row(f"objects: {name}", f"{report.objects[name]}{doubtful}")
    _print(table)
    for sentence in _remarks(report):
        say(sentence)


def _remarks(report: LabelReport) -> Iterator[str]:
    if report.note:
        yield report.note
    yield from report.reading.sentences()
    for trouble, count in report.troubles.most_common(5):
        yield f"{_times(count)} {trouble} (first: {report.examples[trouble]})"
    if report.unmet:
        yield f"no teacher has a name for {', '.join(report.unmet)}: add its name to --prompts"
    if report.unwanted:
        yield f"detected by a teacher, not in the prompts, left out: {_counted(report.unwanted)}"
    if report.unnamed:
        yield f"labelled manually, not in the prompts, left out: {_counted(report.unnamed)}"


def collect_table(report: CollectReport) -> None:
    """What a collecting run came to."""
    table = _table("", "")
    for name, count in report.rows():
        table.add_row(name, str(count))
    _print(table)


def evaluation_table(evaluation: Evaluation) -> None:
    """Models side by side; the one that was asked for first."""
    by = "" if evaluation.by_people else " (labels are in part a teacher's own: agreement with it, not accuracy)"
    _console().print(
        f"{evaluation.data}: {evaluation.pictures} images, {evaluation.labels} objects{by}", highlight=False
    )
    if evaluation.broken:
        say(f"{evaluation.broken} images cannot be read and are left out")
    table = _table("model", "AP50 (95 % interval)", "AP50-95", "small", "medium", "large", "missed", "false", "ms")
    for m in evaluation.models:
        sizes = [_figure(m.by_size[s]) for s in ("small", "medium", "large")]
        table.add_row(
            m.name, str(m.ap50), _figure(m.ap50_95), *sizes, str(m.missed), str(m.false_boxes), f"{m.detect_ms:.1f}"
        )
    _print(table)
    first = evaluation.models[0]
    if len(first.by_class) > 1:
        classes = _table("class", *(m.name for m in evaluation.models))
        for name in first.by_class:
            shown = [str(m.by_class[name]) if name in m.by_class else "–" for m in evaluation.models]
            classes.add_row(name, *shown)
        _print(classes)
    for m in evaluation.models:
        if m.absent:
            say(f"{m.name}: does not know {', '.join(m.absent)}, which is in no average of it")
        if m.failures:
            say(f"{m.name}: failed on {m.failures} images, which count as no detections")
        if m.lead is not None:
            word = "ahead of" if m.lead.low > 0 else "behind" if m.lead.high < 0 else "not distinguishable from"
            say(f"{first.name} is {word} {m.name}: AP50 {m.lead.value:+.3f} ({m.lead.low:+.3f} to {m.lead.high:+.3f})")
    sizes_px = "small under 32² px, medium to 96² px, large over, of the image as stored"
    say(f"missed and false at each model's own threshold; {sizes_px}; ms per image with resizing and decoding")


def _table(*headings: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, show_header=any(headings))
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number == 0 else "right", overflow="fold")
    return table


def _console() -> Console:
    return Terminal(stderr=True)


def _print(table: Table) -> None:
    _console().print(table, highlight=False)


def _figure(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common(8))


def _times(count: int) -> str:
    return f"on {count} pictures" if count > 1 else "on 1 picture"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
