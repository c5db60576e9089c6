"""The report: one self-contained HTML page and Markdown, with the same numbers as the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from edgevision.bench.charts import Entry
from edgevision.bench.formatting import digits, fps_text, ms_text
from edgevision.bench.records import AccuracyFigure, BenchRun
from edgevision.bench.report_charts import LETTERS, report_charts
from edgevision.bench.summary import Figures, best_loop, figures
from edgevision.bench.wording import agreements, conditions, data_shown, remarks, sentences, verdict_of
from edgevision.errors import EdgeVisionError, UsageError


def write_report(runs: Sequence[BenchRun], folder: Path, decision: tuple[str, str] = ("", "")) -> list[Path]:
    """Write ``report.html`` and ``report.md`` into a folder, which is made. Raises `EdgeVisionError`.

    ``decision`` is what follows from the figures, as a section of HTML and as Markdown.
    """
    made = {"report.html": html_report(runs, decision[0]), "report.md": markdown_report(runs, decision[1])}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in made.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise EdgeVisionError(f"{folder}: cannot be written into: {exc.strerror or exc}; name another folder") from exc
    return [folder / name for name in made]


def entries_of(runs: Sequence[BenchRun]) -> list[Entry]:
    """Everyone who is drawn, in the order of the runs. Raises `UsageError` where nothing was measured."""
    found: list[Entry] = []
    for k, run in enumerate(runs):
        all_figures = figures(run)
        for contender in run.contenders:
            series = best_loop(run, contender.label)
            loop = next((f for f in all_figures if series and _same(f, contender.label, "loop", series.clip)), None)
            alone = next((f for f in all_figures if f.label == contender.label and f.kind == "alone"), None)
            accuracy = next((a for a in run.accuracy if a.contender == contender.label), None)
            name = f"{LETTERS[k % 26]}: {contender.shown}" if len(runs) > 1 else contender.shown
            found.append(Entry(name, len(found), contender, run, loop, series, alone, accuracy))
    if not found or not (any(e.loop or e.alone for e in found) or any(r.sustained or r.glass for r in runs)):
        raise UsageError("expected a run with figures in it, found none: measure again")
    return found


def _same(f: Figures, label: str, kind: str, clip: str) -> bool:
    return (f.label, f.kind, f.clip) == (label, kind, clip)


def html_report(runs: Sequence[BenchRun], decision: str = "") -> str:
    """The page."""
    entries = entries_of(runs)
    style = (Path(__file__).parent / "assets" / "report.css").read_text(encoding="utf-8")
    # The verdict above them says what the first one says.
    said = _sentences(runs)[1:] if len(runs) == 1 and verdict_of(runs[0]) else _sentences(runs)
    sentences = "".join(f"<li>{escape(s)}</li>" for s in said)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>edgevision bench</title><style>{style}</style></head><body><main>",
        f"<header>{_verdict_html(runs)}<ul class=verdict>{sentences}</ul></header>",
        '<div class="figures">',
        *(_figure(title, picture, caption) for title, picture, caption in report_charts(runs, entries)),
        "</div>",
        _figures_section(runs, entries),
        decision,
        *(_remarks_section(runs)),
        "<section><h2>Conditions</h2>",
        *(_conditions(k, run, len(runs)) for k, run in enumerate(runs)),
        "</section></main></body></html>",
    ]
    return "\n".join(p for p in parts if p) + "\n"


def _verdict_html(runs: Sequence[BenchRun]) -> str:
    """One large verdict, of the first run that has one."""
    found = next((v for run in runs if (v := verdict_of(run))), None)
    if found is None:
        return "<h1>Is it real time?</h1>"
    letter = f"{LETTERS[0]}: " if len(runs) > 1 else ""
    return f'<div class="answer {found.tone}"><h1>{escape(found.text)}</h1><p>{escape(letter + found.detail)}</p></div>'


def _figures_section(runs: Sequence[BenchRun], entries: Sequence[Entry]) -> str:
    rows = _rows(entries)
    if not rows:
        return ""
    units = "<p class=small>Times in milliseconds; age is from exposure to published; CPU is of one core.</p>"
    table = _table(*_without_empty(_HEADINGS, rows))
    return f"<section><h2>All figures</h2>{units}{table}{_accuracy_section(runs)}</section>"


def _sentences(runs: Sequence[BenchRun]) -> list[str]:
    if len(runs) == 1:
        return sentences(runs[0])
    return [f"{LETTERS[k % 26]}: {s}" for k, run in enumerate(runs) for s in sentences(run)]


def _figure(title: str, picture: str, caption: str) -> str:
    return f"<figure><h2>{escape(title)}</h2>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


_HEADINGS = (
    "contender", "measured", "fps [95 %]", "p50 ms", "p90", "p95", "p99", "max", "age p50", "age p95", "dropped",
    "CPU %", "J/frame", "frames", "verdict",
)  # fmt: skip


def _rows(entries: Sequence[Entry]) -> list[list[str]]:
    own = [(e, f) for e in entries for f in figures(e.run)]
    return [_row(e.name, f) for e, f in own if f.label == e.contender.label]


def _row(name: str, f: Figures) -> list[str]:
    work = f.work
    return [
        name,
        "inference alone" if f.kind == "alone" else f"loop, {f.clip_shown}",
        fps_text(f.fps),
        *(ms_text(e.value) for e in (work.p50, work.p90, work.p95, work.p99)),
        ms_text(work.longest),
        ms_text(f.age.p50.value) if f.age else "",
        ms_text(f.age.p95.value) if f.age else "",
        f"{f.dropped} ({f.dropped_share:.1%})" if f.live else "",
        f"{f.cpu_percent:.0f}",
        f"{f.joule_per_frame:.2g}" if f.joule_per_frame is not None else "",
        str(f.frames),
        f.verdict,
    ]


def _without_empty(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Without columns that nothing stands in: no live source has no age, most machines tell no energy."""
    kept = [k for k in range(len(headings)) if any(row[k] for row in rows)]
    return [headings[k] for k in kept], [[row[k] for k in kept] for row in rows]


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


_ACCURACY = ("contender", "data", "AP50 [95 %]", "AP50-95", "images", "labels", "classes")


def _accuracy_rows(runs: Sequence[BenchRun]) -> list[list[str]]:
    rows = []
    for k, run in enumerate(runs):
        letter = f"{LETTERS[k % 26]}: " if len(runs) > 1 else ""
        for a in run.accuracy:
            classes = ", ".join(a.classes)
            name = letter + run.contender(a.contender).shown
            rows.append(
                [name, data_shown(run, a.data), _ap_text(a), f"{a.ap50_95:.3f}", str(a.frames), str(a.labels), classes]
            )
    return rows


def _ap_text(a: AccuracyFigure) -> str:
    return f"{a.ap50:.3f}" + (f" [{a.low:.3f}–{a.high:.3f}]" if a.low is not None and a.high is not None else "")


def _accuracy_section(runs: Sequence[BenchRun]) -> str:
    rows = _accuracy_rows(runs)
    parts = [_table(_ACCURACY, rows)] if rows else []
    parts += [f"<p>{escape(words)}</p>" for words in _agreements(runs)]
    return "".join(parts)


def _agreements(runs: Sequence[BenchRun]) -> list[str]:
    return [words for run in runs for words in agreements(run)]


def _remarks(runs: Sequence[BenchRun]) -> list[str]:
    said = [(k, text) for k, run in enumerate(runs) for text in remarks(run)]
    return [f"{LETTERS[k % 26]}: {text}" if len(runs) > 1 else text for k, text in said]


def _remarks_section(runs: Sequence[BenchRun]) -> list[str]:
    said = _remarks(runs)
    if not said:
        return []
    items = "".join(f"<li>{escape(text)}</li>" for text in said)
    return [f"<section><h2>Warnings</h2><ul>{items}</ul></section>"]


def _conditions(number: int, run: BenchRun, count: int) -> str:
    letter = f"<h3>Run {LETTERS[number % 26]}</h3>" if count > 1 else ""
    items = "".join(f"<li>{escape(line)}</li>" for line in [*conditions(run), *_materials(run)])
    return f'{letter}<ul class="small">{items}</ul>'


def _materials(run: BenchRun) -> list[str]:
    """Models and sources, with what makes them the same elsewhere."""
    lines = []
    for c in run.contenders:
        facts = [
            f"SHA-256 {c.sha256[:16]}" if c.sha256 else "",
            f"{c.file_bytes / 2**20:.1f} MiB" if c.file_bytes else "",
            f"input {c.input_wh[0]}×{c.input_wh[1]} px" if c.input_wh else "",
            c.provider or "",
            "spinning threads off" if c.spinning is False else "",
            f"first results after {', '.join(digits(t / 1e9) for t in c.cold_start_ns)} s" if c.cold_start_ns else "",
            f"peak RSS {digits(c.peak_rss_mib)} MiB" if c.peak_rss_mib else "",
            f"asked for {c.mode}" if c.mode else "",
            f"alone: {c.alone or 'detect() on a decoded image'}",
        ]
        lines.append(f"{c.shown}: {', '.join(f for f in facts if f)}")
    for clip in run.clips:
        rate = f" at {clip.fps:g} fps" if clip.fps else ""
        sha = f", SHA-256 {clip.sha256[:16]}" if clip.sha256 else ""
        kind = "live" if clip.live else "at full speed"
        lines.append(f"{clip.name}: {clip.width_px}×{clip.height_px}{rate}, {kind}{sha}")
    if run.idle_w is not None:
        lines.append(f"idle before the run: {digits(run.idle_w)} W")
    return lines


def markdown_report(runs: Sequence[BenchRun], decision: str = "") -> str:
    """The page without its figures, for a repository or a ticket."""
    entries = entries_of(runs)
    first = next((v for run in runs if (v := verdict_of(run))), None)
    title = first.text if first else "Is it real time?"
    lines = [f"# {title}", "", *(f"- {s}" for s in _sentences(runs)), ""]
    rows = _rows(entries)
    if rows:
        lines += [*_markdown_table(*_without_empty(_HEADINGS, rows)), ""]
    ratings = _accuracy_rows(runs)
    if ratings:
        lines += ["## Accuracy", "", *_markdown_table(_ACCURACY, ratings), ""]
    lines += [f"- {words}" for words in _agreements(runs)]
    lines += [decision, ""] if decision else []
    said = _remarks(runs)
    if said:
        lines += ["## Warnings", "", *(f"- {text}" for text in said), ""]
    for k, run in enumerate(runs):
        lines += ["## Conditions" + (f" of run {LETTERS[k % 26]}" if len(runs) > 1 else ""), ""]
        lines += [*(f"- {line}" for line in [*conditions(run), *_materials(run)]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"

    return [line(headings), line(["---"] * len(headings)), *(line(row) for row in rows)]
