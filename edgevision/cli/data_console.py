"""What reading a dataset came to, on a terminal: counts, then every reason with its first places."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from edgevision.cli.distill_console import say
from edgevision.cli.terminal import Terminal

if TYPE_CHECKING:
    from edgevision.datasets.check import DatasetCheck
    from edgevision.datasets.convert import ImportSummary
    from edgevision.datasets.reading_report import ReadingReport

_EXAMPLES = 3
_EFFECTS = {
    "image failed": "; their images are not used",
    "label left out": "; left out",
    "label changed": "",
    "note": "",
}
_QUIET = ("no labels", "nothing")
"""Counted in the table already."""


def summary_table(summary: ImportSummary) -> None:
    """Counts of images and labels, and every remark's reason."""
    rows = Table(box=None, pad_edge=False, show_header=False)
    rows.add_column()
    rows.add_column(justify="right")
    rows.add_row("layout", summary.layout)
    rows.add_row("images", str(summary.images))
    counts = [
        ("with labels", summary.usable - summary.nothing),
        ("that show none of the classes", summary.nothing),
        ("without labels", summary.statuses["new"]),
        ("that cannot be used", summary.statuses["failed"]),
    ]
    for name, count in counts:
        if count:
            rows.add_row(f"  {name}", str(count), style="red" if name == "that cannot be used" else None)
    rows.add_row("labels", str(sum(summary.labels.values())))
    for name in summary.classes:
        rows.add_row(f"  {escape(name)}", str(summary.labels[name]))
    if summary.ignored:
        rows.add_row("regions to ignore", str(summary.ignored))
    Terminal(stderr=True).print(rows, highlight=False)
    remarks(summary.report)


def check_table(check: DatasetCheck) -> None:
    """A dataset's check: counts, what reading it noticed, what a look at all images found, and the verdict."""
    from edgevision.datasets.check import KINDS
    from edgevision.datasets.check_page import verdict

    summary_table(check.summary)
    for kind, count in check.counts().items():
        say(f"{KINDS[kind]}: {count}")
        found = [f for f in check.findings if f.kind == kind]
        for one in found[:_EXAMPLES]:
            where = f"{check.data.report.shown(one.images[0])}: " if len(one.images) == 1 else ""
            say(f"  {where}{one.text}")
        if len(found) > _EXAMPLES:
            say(f"  and {len(found) - _EXAMPLES} more")
    if check.skipped:
        say(f"not looked at: {check.skipped}")
    say(f"{check.data.report.shown(check.data.place)}: {verdict(check)}")


def remarks(report: ReadingReport) -> None:
    """By reason: how often, and the first places with file and line."""
    from edgevision.datasets.reading_report import REASONS

    for effect, what in _EFFECTS.items():
        for reason, count in report.by_effect(effect):  # type: ignore[arg-type]
            if reason in _QUIET:
                continue
            say(f"{REASONS[reason].words}: {count}{what}")
            first = report.of(reason)[:_EXAMPLES]
            for remark in first:
                say(f"  {remark}")
            if len(report.of(reason)) > len(first):
                say(f"  and {len(report.of(reason)) - len(first)} more")
