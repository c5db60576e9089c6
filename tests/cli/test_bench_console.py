"""The tables of ``edgevision bench`` at 80 columns: no line is wider, no name and no word is broken."""

from __future__ import annotations

import pytest

from edgevision.bench import compare
from edgevision.bench.contender import ContenderSpec
from edgevision.bench.records import BenchRun
from edgevision.bench.report import html_report, markdown_report
from edgevision.bench.statistics import Estimate
from edgevision.bench.tuning import Tried, Tuning
from edgevision.bench.wording import verdict_of
from edgevision.cli.bench_console import show_comparison, show_run, show_tuning
from tests.support.bench import CLIP, LIVE, run_of

LONG = "safety-helmets-float"


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def tables_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def run() -> BenchRun:
    return run_of({LONG: 123.4, "small": 5.0}, clips=(CLIP, LIVE), accuracy={LONG: 0.6, "small": 0.5})


def test_accuracy_names_its_contender_on_one_line(capsys):
    show_run(run())
    lines = tables_of(capsys)
    start = next(k for k, line in enumerate(lines) if line.startswith("accuracy on clip.mp4: 50 images, 120 labels"))
    own = lines[start + 2 : start + 4]
    assert own[0].startswith(f"{LONG}  ")
    assert own[0].endswith("0.600 [0.570–0.630]    0.300")
    assert all(len(line) <= 80 for line in own)


def test_a_comparison_fits(capsys):
    show_comparison(compare(run(), run_of({LONG: 80.0, "small": 5.0}, clips=(CLIP, LIVE)), ["machine"]))
    lines = tables_of(capsys)
    assert all(len(line) <= 80 for line in lines)
    assert LONG in lines
    assert any(line.startswith("inference alone") and line.endswith("faster") for line in lines)


def test_a_tuning_fits_and_breaks_no_name(capsys):
    name = f"{LONG}@12 int8, 320 px, 2 threads, 4 workers, 1 of 3 frames"
    tried = Tried(
        ContenderSpec(LONG), "a", name, 0.6, 0.5, 0.7, Estimate(31.2, 29.1, 33.4), Estimate(31.2, 29.1, 33.4),
        Estimate(30.1, 29.0, 31.0), "cannot tell",
    )  # fmt: skip
    show_tuning(Tuning(33.0, (tried,), None, (), run()))
    lines = tables_of(capsys)
    assert all(len(line) <= 80 for line in lines)
    assert any(f"{LONG}@12" in line for line in lines)


@pytest.mark.parametrize(
    ("periods", "text", "tone"),
    [({"small": 5.0}, "Real time: 20", "good"), ({"big": 250.0}, "Not real time: 4.0", "bad")],
)
def test_a_report_begins_with_one_verdict(periods, text, tone, capsys):
    made = run_of(periods)
    verdict = verdict_of(made)
    assert verdict is not None
    assert verdict.text.startswith(text)
    assert verdict.text.endswith(" fps")
    assert verdict.tone == tone
    page = html_report([made])
    assert page.count("<h1>") == 1
    assert f"<h1>{verdict.text}</h1>" in page
    assert markdown_report([made]).startswith(f"# {verdict.text}\n")
    show_run(made)
    assert tables_of(capsys)[0] == verdict.text
