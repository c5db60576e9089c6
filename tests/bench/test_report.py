"""The page: every number it should have, nothing from elsewhere, and pictures that are well formed."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from edgevision.bench.charts import pareto
from edgevision.bench.formatting import fps_text, ms_text
from edgevision.bench.records import AgreementFigure, Glass, Moment, Sample, Sustained
from edgevision.bench.report import html_report, markdown_report, write_report
from edgevision.bench.summary import figures
from edgevision.bench.timeline_charts import sustained_words
from edgevision.errors import EdgeVisionError, UsageError
from edgevision.evaluation.svg import LinearAxis, LogAxis
from tests.support.bench import CLIP, LIVE, run_of


@pytest.fixture
def run():
    made = run_of(
        {"person@1 int8, 1 thread": 4.4, "person-float@1, 1 thread": 11.0, "owlv2, 1 thread": 10_400.0},
        foundation=["owlv2, 1 thread"],
        clips=(CLIP, LIVE),
        accuracy={"person@1 int8, 1 thread": 0.61, "person-float@1, 1 thread": 0.64},
        samples=[Sample(at_ns=k * 10**9, temperature_c=50.0 + k, clock_mhz=2400.0) for k in range(30)],
    )
    moments = tuple(Moment(at_s=2.0 * k + 1, frames=120 - k, span_s=2.0) for k in range(80))
    held = Sustained(
        contender="person@1 int8, 1 thread", clip=CLIP.name, line_fps=30.0, began_ns=0, moments=moments,
        under_line_at_s=121.0,
    )  # fmt: skip
    seen = AgreementFigure(
        contender="person-float@1, 1 thread", reference="person@1 int8, 1 thread", data=LIVE.name, frames=30,
        reference_boxes=77, boxes=80, found_again=0.91,
    )  # fmt: skip
    return made.model_copy(update={"sustained": (held,), "agreement": (seen,)})


def words_of(page):
    """Text of a page, without its markup."""
    return re.sub(r"[ \n\t]+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.S)))


def test_every_figure_stands_in_page_and_markdown(run):
    page, text = words_of(html_report([run])), markdown_report([run])
    for f in figures(run):
        wanted = [fps_text(f.fps), ms_text(f.work.p50.value), ms_text(f.work.p99.value), ms_text(f.work.longest)]
        wanted += [str(f.frames), f.contender, f.verdict]
        if f.age is not None:
            wanted += [ms_text(f.age.p50.value), ms_text(f.age.p95.value), f"{f.dropped} ({f.dropped_share:.1%})"]
        for word in wanted:
            assert word in page, (f.contender, f.kind, word)
            assert word in text, (f.contender, f.kind, word)
    for shown in (page, text):
        assert "0.610 [0.580–0.640]" in shown
        assert "91% of the 77 boxes" in shown
        assert "under 30.0 fps after 121 s" in shown
        for condition in ("Test CPU, 2 cores, 4 GiB", "governor: performance", "onnxruntime 1.32.0", "no counter"):
            assert condition in shown
        assert "SHA-256 aaaaaaaaaaaaaaaa" in shown  # of the clip
        assert "SHA-256 bbbbbbbbbbbbbbbb" in shown  # of the models
    assert "peak RSS 146 MiB" in page


def test_nothing_comes_from_elsewhere(run):
    page = html_report([run])
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script|<link|<img|<iframe|srcset|xlink", page)
    assert "src=" not in page
    assert "href=" not in page


def test_random_weights_are_marked_and_have_no_accuracy(run):
    page = html_report([run])
    for name in re.findall(r"owlv2, 1 thread[^<;:|]{0,20}", page):
        assert name.startswith("owlv2, 1 thread (random weights)"), name
    for line in markdown_report([run]).splitlines():
        assert "owlv2" not in line or "(random weights)" in line
    assert "their accuracy is not measured" in page


def test_its_pictures_are_well_formed_and_inside_their_frames(run):
    pictures = re.findall(r"<svg.*?</svg>", html_report([run]), re.S)
    assert len(pictures) == 7
    for text in pictures:
        picture = ET.fromstring(text)
        _, _, width, height = map(float, picture.attrib["viewBox"].split())
        assert picture.find("title").text
        assert picture.find("desc").text
        for one in picture.iter():
            for key in ("x", "x1", "x2", "cx"):
                assert -1 <= float(one.attrib.get(key, 0)) <= width, ET.tostring(one)
            for key in ("y", "y1", "y2", "cy"):
                assert -1 <= float(one.attrib.get(key, 0)) <= height, ET.tostring(one)
            assert "nan" not in str(one.attrib)


def test_the_line_of_real_time_is_on_a_log_axis(run):
    speed = ET.fromstring(re.search(r"<svg.*?</svg>", html_report([run]), re.S)[0])
    line = next(e for e in speed.iter("line") if e.attrib["class"] == "line30")
    ticks = {e.text: float(e.attrib["x"]) for e in speed.iter("text") if e.attrib["class"] == "tick"}
    assert ticks["0.1"] < ticks["1"] < ticks["10"] < float(line.attrib["x1"]) < ticks["100"]
    assert ticks["1"] - ticks["0.1"] == pytest.approx(ticks["100"] - ticks["10"], abs=0.3)


def test_names_cannot_break_out_of_the_page():
    page = html_report([run_of({'<script>alert("x")</script> & co': 5.0})])
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_several_runs_are_told_apart(run):
    page = html_report([run, run_of({"person@1 int8, 1 thread": 9.0})])
    assert "A: person@1 int8, 1 thread" in page
    assert "B: person@1 int8, 1 thread" in page
    assert "<h3>Run B</h3>" in page


def test_a_glass_run_alone_is_a_report():
    made = run_of({"person": 5.0})
    glass = Glass(contender="person", shown_by="a window", latencies_ms=(90.0, 100.0, 120.0), flashes=4, seen=3)
    alone = made.model_copy(update={"series": (), "glass": (glass,)})
    for text in (html_report([alone]), markdown_report([alone])):
        assert "screen to result 100 ms at p50" in text
        assert "3 of 4 flashes seen" in text


def test_a_run_without_figures_is_refused():
    with pytest.raises(UsageError, match="found none: measure again"):
        html_report([run_of({"person": 5.0}).model_copy(update={"series": ()})])


def test_where_it_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgeVisionError, match="cannot be written into"):
        write_report([run_of({"person": 5.0})], tmp_path / "file")


def test_both_files_are_written(tmp_path):
    assert [p.name for p in write_report([run_of({"person": 5.0})], tmp_path / "new")] == ["report.html", "report.md"]


# Parts


def test_pareto_front_is_those_that_none_beats_in_both():
    points = [(5.0, 0.6), (4.0, 0.5), (11.0, 0.58), (20.0, 0.7), (4.0, 0.45)]
    assert pareto(points) == [(4.0, 0.5), (5.0, 0.6), (20.0, 0.7)]


@pytest.mark.parametrize("values", [[0.1, 231.0], [200.0, 210.0], [30.0], [1e-3, 1e5], [float("nan"), 5.0], []])
def test_log_axes_have_ticks_in_order_and_in_sight(values):
    axis = LogAxis(values, 8, 400)
    places = [axis(t) for t in axis.ticks()]
    assert len(places) >= 1
    assert places == sorted(places)
    assert all(8 <= p <= 400 for p in places)
    assert len(places) <= 12


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 0.003), (47.2, 51.0), (0, 231), (5, 5)])
def test_linear_axes_have_round_ticks(low, high):
    axis = LinearAxis(low, high, 0, 100)
    assert 2 <= len(axis.ticks()) <= 11


def test_sustained_in_words():
    moments = tuple(Moment(at_s=1.0 + 2 * k, frames=100.0 if k < 15 else 40.0, span_s=2.0) for k in range(30))
    held = Sustained(contender="x", clip="c", line_fps=30.0, began_ns=0, moments=moments)
    assert sustained_words(held) == (
        "1.0 minutes: 50.0 fps in the first tenth, 20.0 in the last, never under 30.0 fps for ten seconds"
    )
