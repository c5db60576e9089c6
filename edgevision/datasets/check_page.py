"""A dataset's check as one HTML file, with the images that something is wrong with in it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np

from edgevision.capture.images import read_image
from edgevision.datasets.check import KINDS, DatasetCheck
from edgevision.datasets.reading_report import REASONS
from edgevision.errors import SourceBroken

_TILES = 12
"""Of one reason."""
_PLACES = 20
"""Lines of one reason."""
_TILE_PX = 300
_RED, _GREEN = (40, 40, 220), (90, 170, 60)

_STYLE = """
:root { color-scheme: light dark; --line: #8883; --dim: #888; --bad: #c62828; --good: #2e7d32; --bar: #3f7fbf; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 66rem; padding: 0 1rem; }
h1 { font-size: 1.2rem; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.05rem; margin: 2.2rem 0 .4rem; }
.verdict { font-size: 2rem; font-weight: 650; line-height: 1.2; margin: .3rem 0 1rem; }
.bad { color: var(--bad); } .good { color: var(--good); } .dim { color: var(--dim); }
table { border-collapse: collapse; } td, th { padding: .15rem 1.2rem .15rem 0; text-align: right; }
td:first-child, th:first-child { text-align: left; } th { font-weight: 600; border-bottom: 1px solid var(--line); }
.bar { display: inline-block; height: .7rem; background: var(--bar); border-radius: 2px; vertical-align: middle; }
ul { margin: .3rem 0; padding-left: 1.2rem; font-size: .9rem; } li { overflow-wrap: anywhere; }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin: .8rem 0; }
figure { margin: 0; width: 300px; max-width: 100%; }
figure img { width: 100%; border-radius: 4px; display: block; box-sizing: border-box; border: 1px solid var(--line); }
table { max-width: 100%; }
figcaption { font-size: .8rem; overflow-wrap: anywhere; color: var(--dim); }
"""


def check_page(check: DatasetCheck) -> str:
    """The whole page; its images are small copies inside it, so that it can be sent to whoever labels."""
    data, summary = check.data, check.summary
    place = data.report.shown(data.place)
    counts = [
        ("images", summary.images),
        ("with labels", summary.usable - summary.nothing),
        ("that show none of the classes", summary.nothing),
        ("without labels", summary.statuses["new"]),
        ("that cannot be used", summary.statuses["failed"]),
        ("labels", sum(summary.labels.values())),
        ("regions to ignore", summary.ignored),
    ]
    rows = "".join(f"<tr><td>{name}<td>{count}" for name, count in counts if count)
    parts = [
        f"<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(Path(place).name)}: check</title><style>{_STYLE}</style>",
        f"<h1>{escape(place)}</h1>{_verdict(check)}<table>{rows}</table>{_classes(check)}",
        *_reading(check),
        *_findings(check),
    ]
    if check.skipped:
        parts.append(f"<p class=dim>Not looked at: {escape(check.skipped)}.")
    return "\n".join(parts) + "\n"


def verdict(check: DatasetCheck) -> str:
    """The check in one line."""
    failed = check.summary.statuses["failed"]
    lost = sum(count for _, count in check.data.report.by_effect("label left out"))
    if not check.summary.usable:
        return "nothing in it can be used"
    told = [f"{failed} images cannot be used"] * bool(failed) + [f"{lost} labels are left out"] * bool(lost)
    found = sum(check.counts().values())
    if told:
        return ", ".join(told)
    return f"every label is read; {found} to look at" if found else "every label is read"


def _verdict(check: DatasetCheck) -> str:
    return f"<p class='verdict {'good' if check.sound else 'bad'}'>{escape(verdict(check))}</p>"


def _classes(check: DatasetCheck) -> str:
    """Labels by class and part, with bars."""
    counts, parts = check.summary.labels, sorted(check.parts)
    most = max(counts.values(), default=0) or 1
    named = len(parts) > 1 or parts not in ([], [""])
    heads = "".join(f"<th>{escape(p or 'no part')}" for p in parts) if named else ""
    rows = []
    for name in check.data.classes:
        cells = "".join(f"<td>{check.parts[p][name]}" for p in parts) if named else ""
        bar = f"<span class=bar style='width:calc({counts[name] / most:.3f} * min(12rem, 20vw))'></span>"
        rows.append(f"<tr><td>{escape(name) or '(no name)'}<td>{counts[name]}{cells}<td style='text-align:left'>{bar}")
    if named:
        cells = "".join(f"<td>{check.images[p]}" for p in parts)
        rows.append(f"<tr class=dim><td>images<td>{sum(check.images.values())}{cells}<td>")
    return f"<h2>Labels by class</h2><table><tr><th>class<th>labels{heads}<th>{''.join(rows)}</table>"


def _reading(check: DatasetCheck) -> Iterable[str]:
    effects = {"image failed": "; their images are not used", "label left out": "; left out"}
    report = check.data.report
    for reason, meant in REASONS.items():
        count = report.counts[reason]
        if not count or reason in ("nothing", "with its image"):
            continue
        heading = f"{meant.words}: {count}{effects.get(meant.effect, '')}"
        remarks = report.of(reason)
        images = list(dict.fromkeys(r.image for r in remarks if r.image))
        boxes = {str(p.path): tuple(b.corners for b in p.labels.boxes) for p in check.data.pictures} if images else {}
        tiles = [((Path(image),), boxes.get(image, ()), Path(image).name) for image in images]
        css = "bad" if meant.effect in effects else ""
        within = f"{report.shown(check.data.place)}/"
        yield _section(heading, css, [str(r).replace(within, "") for r in remarks], tiles, _GREEN)


def _findings(check: DatasetCheck) -> Iterable[str]:
    for kind, count in check.counts().items():
        found = [f for f in check.findings if f.kind == kind]
        lines = [f.text if not f.images else f"{f.images[0].name}: {f.text}" for f in found]
        single = [f.text if len(f.images) > 1 else f"{f.images[0].name}: {f.text}" for f in found if f.images]
        tiles = [(f.images, f.boxes, text) for f, text in zip((f for f in found if f.images), single, strict=True)]
        yield _section(f"{KINDS[kind]}: {count}", "", lines if not tiles else [], tiles, _RED)


def _section(
    heading: str,
    css: str,
    lines: Sequence[str],
    tiles: Sequence[tuple[Sequence[Path], Sequence[tuple[float, float, float, float]], str]],
    colour: tuple[int, int, int],
) -> str:
    items = "".join(f"<li>{escape(line)}" for line in lines[:_PLACES])
    more = f"<li class=dim>and {len(lines) - _PLACES} more" if len(lines) > _PLACES else ""
    figures = [_figure(images, boxes, caption, colour) for images, boxes, caption in tiles[:_TILES]]
    rest = f"<p class=dim>and {len(tiles) - _TILES} more images" if len(tiles) > _TILES else ""
    listed = f"<ul>{items}{more}</ul>" if items else ""
    shown = f"<div class=tiles>{''.join(figures)}</div>{rest}" if any(figures) else ""
    return f"<h2 class='{css}'>{escape(heading[0].upper() + heading[1:])}</h2>{listed}{shown}"


def _figure(
    images: Sequence[Path],
    boxes: Sequence[tuple[float, float, float, float]],
    caption: str,
    colour: tuple[int, int, int],
) -> str:
    """One image, or several beneath each other, with boxes on the first; nothing where none can be read."""
    shown = []
    for number, path in enumerate(images):
        try:
            pixels = read_image(path)
        except SourceBroken:
            continue
        shown.append(_thumbnail(pixels, boxes if number == 0 else (), colour))
    if not shown:
        return ""
    pictures = "".join(f"<img alt='' src='data:image/jpeg;base64,{data}'>" for data in shown)
    return f"<figure>{pictures}<figcaption>{escape(caption)}</figcaption></figure>"


def _thumbnail(
    pixels: np.ndarray, boxes: Sequence[tuple[float, float, float, float]], colour: tuple[int, int, int]
) -> str:
    """Base64 of a JPEG of `_TILE_PX` width."""
    scale = _TILE_PX / pixels.shape[1]
    size = (_TILE_PX, max(1, min(round(pixels.shape[0] * scale), 3 * _TILE_PX)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    for x1, y1, x2, y2 in boxes:
        corner, other = (round(x1 * scale), round(y1 * scale)), (round(x2 * scale), round(y2 * scale))
        cv2.rectangle(small, corner, other, colour, 2)
        if min(other[0] - corner[0], other[1] - corner[1]) < 12:  # a tiny one would not be seen
            centre = ((corner[0] + other[0]) // 2, (corner[1] + other[1]) // 2)
            cv2.circle(small, centre, 14, colour, 2, cv2.LINE_AA)
    ok, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return base64.b64encode(data.tobytes()).decode() if ok else ""
