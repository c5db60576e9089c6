"""The terminal output of ``edgevision models``: one line a model, and what verifying found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from edgevision.cli.terminal import Terminal

if TYPE_CHECKING:
    from edgevision.deployment.verify_model import VerifyReport

_HEADINGS = ("name", "version", "finds", "input", "AP50", "ms", "where")
_RIGHT = ("AP50", "ms")
_GAP_PX = 2
_LEAST_FINDS = 12


def models_table(rows: Sequence[dict[str, Any]], width: int) -> Table:
    """One line a model, at most ``width`` characters as long as names leave room: the classes are cut, names never."""
    cells = [_cells(row) for row in rows]
    others = [max(len(h), *(len(c[k]) for c in cells)) for k, h in enumerate(_HEADINGS) if h != "finds"]
    room = max(_LEAST_FINDS, width - sum(others) - _GAP_PX * (len(_HEADINGS) - 1))
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, _GAP_PX, 0, 0), expand=False)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right" if heading in _RIGHT else "left", no_wrap=True, overflow="ignore")
    for row, values in zip(rows, cells, strict=True):
        finds = values[2] if len(values[2]) <= room else f"{values[2][: room - 1]}…"
        shown = [escape(v) for v in (*values[:2], finds, *values[3:])]
        table.add_row(*shown, style="red" if "error" in row else "dim" if row["hidden"] else None)
    return table


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    where = row["origin"] + (" (hidden)" if row.get("hidden") else "")
    if "error" in row:
        return row["name"], "", "cannot be read", "", "", "", where
    ap50, ms = row["ap50"], row["ms"]
    return (
        row["name"],
        row["version"],
        ", ".join(row["classes"]),
        row["input"].split(" ", 1)[0],
        "–" if ap50 is None else f"{ap50:.2f}",
        "–" if ms is None else f"{ms:.1f}",
        where,
    )


def show_list(rows: Sequence[dict[str, Any]]) -> None:
    """The table, and why a model cannot be read or is hidden."""
    console = Terminal()
    console.print(models_table(rows, console.width), highlight=False, soft_wrap=True)
    for row in rows:
        if "error" in row:
            console.print(f"[red]{escape(row['name'])}[/]: {escape(row['error'])}", highlight=False)
        elif row["hidden"]:
            text = f"{row['name']} {row['version']} in {row['where']} is hidden by a model of this name above it"
            console.print(escape(text), style="dim", highlight=False)


def show_verify(report: VerifyReport) -> None:
    """Golden images, and the preprocessing that fits the model best."""
    console = Terminal()
    for outcome in report.golden:
        mark = "[green]passed[/]" if outcome.passed else "[red]failed[/]"
        console.print(f"golden {outcome.picture}: {mark}, {outcome.sentence}", highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("preprocessing", ratio=1)
    for heading in ("judged by", "images", "boxes", "steady", "score"):
        table.add_column(heading, justify="left" if heading == "judged by" else "right", no_wrap=True)
    table.add_column("compared", max_width=18)
    mirrored = [row for row in report.recipes if row.against == "mirrored"]
    for row in [*mirrored[:6], *(row for row in report.recipes if row.against == "pieces")]:
        table.add_row(
            row.words + (" (usual)" if row.is_usual else ""),
            "mirror image" if row.against == "mirrored" else "crops",
            str(row.pictures),
            str(row.boxes),
            f"{row.steady:.0%}",
            f"{row.merit:.2f}",
            row.compared,
            style="green" if row.is_manifest else None,
        )
    if report.recipes:
        console.print(table)
    console.print(report.sentence, highlight=False)
    if report.undecided:
        console.print(report.undecided, style="yellow", highlight=False)
