"""The decision is right where the answer is known, says why, and shows the way it took."""

from __future__ import annotations

import json
import re
import shlex
import xml.etree.ElementTree as ET

import pytest
import typer
from typer.testing import CliRunner

from edgevision.bench.decide import MEANING, Answers, Evidence, Pattern, Prices, chart, costs, decide, reference
from edgevision.bench.decide.answers import read_answers
from edgevision.bench.decide.evidence import Measured
from edgevision.bench.decide.page import page
from edgevision.bench.decide.rules import CHART, Question
from edgevision.cli import app
from edgevision.errors import UsageError

KNOWN = {
    "real-time video on a phone": ({"fps": 31, "device": "phone"}, ["custom"]),
    "a private forecast of video income": ({"material": "numbers", "may_leave": False}, ["custom"]),
    "credit scoring at a bank": ({"material": "numbers", "control": True, "task": "fixed"}, ["custom"]),
    "an internal-support chatbot": ({"material": "text", "task": "open"}, ["foundation"]),
    "the same, said less": ({"material": "text"}, ["foundation"]),
    "an early MVP": ({"fps": 0, "days": 14, "scale_later": False, "labels": 0}, ["foundation"]),
    "unlabelled pictures, a narrow real-time task": (
        {"task": "fixed", "fps": 30, "unlabelled": 2000},
        ["foundation as labeller", "distillation"],
    ),
    "a proof of concept that must scale": ({"days": 3, "scale_later": True}, ["bootstrap, then swap"]),
    "a handful of labels and an embedding model": ({"labels": 20, "answer": "kind"}, ["features + light head"]),
    "too few pictures": ({"fps": 30, "unlabelled": 40, "labels": 3}, ["synthetic data"]),
    "pictures all alike": ({"labels": 900, "uniform": True}, ["synthetic data"]),
    # and some whose answer follows
    "many labels": ({"fps": 30, "labels": 5000}, ["custom"]),
    "nobody knows the things": ({"fps": 30, "unlabelled": 900, "teacher_knows": False, "can_label": True}, ["custom"]),
    "nobody can label either": (
        {"fps": 30, "unlabelled": 900, "teacher_knows": False, "can_label": False},
        ["synthetic data"],
    ),
    "real time, tomorrow, with nothing": ({"fps": 30, "days": 1, "labels": 0}, ["bootstrap, then swap"]),
    "a hundred million frames": ({"frames_month": 1e8, "unlabelled": 5000}, ["foundation as labeller", "distillation"]),
    "open, in real time": ({"task": "open", "fps": 30}, ["bootstrap, then swap"]),
}


@pytest.mark.parametrize("case", KNOWN)
def test_known_answers(case):
    answers, patterns = KNOWN[case]
    decision = decide(Answers.model_validate(answers), reference())
    assert [str(p) for p in decision.patterns] == patterns, decision.steps
    assert decision.sentence.startswith(patterns[0])


def test_every_way_of_the_chart_leads_somewhere():
    names = {q.name for q in CHART}
    for question in CHART:
        for way in (question.yes, question.no):
            assert (way in names) if isinstance(way, str) else all(p in MEANING for p in way)
        assert all(n in Answers.model_fields for n in question.needs)
    asked = {n for q in CHART for n in q.needs}
    assert set(Answers.model_fields) - asked == {"ml_people"}, "an answer that nobody looks at is not asked for"


@pytest.mark.parametrize("pattern", Pattern)
def test_the_next_command_is_one(pattern):
    """Every option that is told to type exists."""
    for line in re.split(r"\s+# later: |\n", MEANING[pattern].command):
        words = shlex.split(line, comments=True)
        assert words[0] == "edgevision"
        command, rest = typer.main.get_command(app), words[1:]
        while hasattr(command, "commands"):
            command, rest = command.commands[rest[0]], rest[1:]
        command.make_context(words[1], rest)


def test_what_was_measured_decides():
    """The same needs, another machine: a foundation model that keeps up is the answer."""
    slow = Evidence((Measured("foundation:owlv2", "foundation", 0.1, 10_430, "this laptop"),), True, "run.json")
    fast = Evidence((Measured("foundation:owlv2", "foundation", 60.0, 17, "this server"),), True, "run.json")
    needs = Answers(fps=30, scale_later=False)
    no, yes = decide(needs, slow), decide(needs, fast)
    assert no.patterns == (Pattern.CUSTOM,)
    assert "30 fps are required; the fastest foundation model, owlv2 reached 0.1 fps here" in no.sentence
    assert yes.patterns == (Pattern.FOUNDATION,)


def test_features_alone_do_not_find_boxes():
    found = reference().best("foundation")
    assert found is not None
    assert "dino" not in found.model
    assert "clip" not in found.model


def test_costs_grow_with_frames_where_they_should():
    few, many = (
        {c.pattern: c for c in costs(Answers(frames_month=n), reference(), Prices())} for n in (1_000, 1_000_000)
    )
    for pattern in Pattern:
        assert many[pattern].a_month == pytest.approx(1000 * few[pattern].a_month)
    assert many[Pattern.FOUNDATION].a_month > 10 * many[Pattern.CUSTOM].a_month
    assert few[Pattern.FOUNDATION].once == 0 < few[Pattern.CUSTOM].once
    # the sum by hand: a million frames at so many ms each, at 0.10 an hour
    custom = reference().best("compact")
    assert custom is not None
    assert many[Pattern.CUSTOM].a_month == pytest.approx(1e6 / custom.fps / 3600 * 0.10)


@pytest.mark.parametrize("case", KNOWN)
def test_chart_shows_the_way_taken(case):
    decision = decide(Answers.model_validate(KNOWN[case][0]), reference())
    root = ET.fromstring(chart(decision))
    taken = [e for e in root.iter("{http://www.w3.org/2000/svg}rect") if "taken" in e.get("class", "")]
    assert len(taken) == len(decision.steps) + 1
    ways = [e for e in root.iter("{http://www.w3.org/2000/svg}path") if e.get("class") == "taken"]
    assert len(ways) == len(decision.steps)


def test_no_two_boxes_of_the_chart_lie_on_each_other():
    root = ET.fromstring(chart(decide(Answers(), reference())))
    places = [(e.get("x"), e.get("y")) for e in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert len(places) == len(set(places))


def test_interview_asks_only_what_the_way_needs():
    asked = []

    def ask(question: Question, answers: Answers) -> Answers:
        asked.append(question.name)
        return answers.model_copy(update={"labels": 9000}) if question.name == "labels" else answers

    decision = decide(Answers(fps=30), reference(), ask)
    assert decision.patterns == (Pattern.CUSTOM,)
    assert asked == [s.name for s in decision.steps]
    assert "barred" not in asked


def test_answers_file(tmp_path):
    path = tmp_path / "need.toml"
    path.write_text('fps = 30\ndevice = "pi"\nmay_leave = false\n')
    assert read_answers(path).told() == {"fps": 30.0, "device": "pi", "may_leave": False}
    for text, expected in [("fpss = 1", "fpss is not a question"), ("fps = 'x'", "fps"), ("fps =", "expected TOML")]:
        path.write_text(text)
        with pytest.raises(UsageError, match=expected):
            read_answers(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_answers(tmp_path / "none.toml")


def test_command(tmp_path):
    picture, document = tmp_path / "chart.svg", tmp_path / "page.html"
    args = ["decide", "--fps", "30", "--target", "pi", "--unlabelled", "2000"]
    shown = CliRunner().invoke(app, [*args, "--svg", str(picture), "--html", str(document)])
    assert shown.exit_code == 0, shown.output
    assert "foundation as labeller and distillation" in shown.stdout
    assert "30 fps are required" in shown.stdout
    assert "edgevision distill" in shown.stdout
    ET.parse(picture)
    text = document.read_text()
    assert picture.read_text() in text
    assert not re.search(r"(src|href)=|url\(|@import", text), "nothing is fetched"
    told = json.loads(CliRunner().invoke(app, [*args, "--json"]).stdout)
    assert told["patterns"] == ["foundation as labeller", "distillation"]
    assert told["told"] == {"device": "pi", "fps": 30.0, "unlabelled": 2000}


def test_command_interviews():
    said = "pictures\nfixed\nwhere\nmany\n12\n2\n\n\n\n\n\n\n\n\n\n\n"
    shown = CliRunner().invoke(app, ["decide", "--ask"], input=said)
    assert shown.exit_code == 0, shown.output
    assert "many" in shown.stderr, "a wrong answer is asked again"


def test_page_escapes_what_it_is_told():
    evidence = Evidence((Measured("<b>evil", "foundation", 1, 1, "x"),), True, "<script>")
    shown = page(decide(Answers(fps=30), evidence), costs(Answers(), evidence, Prices()))
    assert "<script>" not in shown
    assert "<b>evil" not in shown


@pytest.mark.parametrize("args", [["--fps", "-3"], ["--target", "toaster"], ["--bench", "nowhere.json"]])
def test_wrong_flags(args):
    from edgevision.errors import EdgeVisionError

    result = CliRunner().invoke(app, ["decide", *args])
    assert result.exit_code != 0
    assert result.exception is None or isinstance(result.exception, EdgeVisionError | SystemExit)


def test_decision_from_a_run_stands_in_its_report(tmp_path):
    from edgevision.bench import write_run
    from tests.support.bench import run_of

    write_run(run_of({"person@1": 4.0}), tmp_path / "run.json")
    (tmp_path / "need.toml").write_text("fps = 30\nlabels = 5000\n")
    args = [
        "bench",
        "report",
        str(tmp_path / "run.json"),
        "--out",
        str(tmp_path),
        "--answers",
        str(tmp_path / "need.toml"),
    ]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0, result.output
    page_text, text = (tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()
    assert "<h2>Decision: custom</h2>" in page_text
    assert 'class="decision"' in page_text
    assert "## Decision: custom" in text
    assert "from this report" in page_text


def test_commands_wrap_and_costs_have_a_currency():
    decision = decide(Answers(fps=30, device="pi", unlabelled=2000), reference())
    prices = Prices(currency="USD")
    text = page(decision, costs(decision.answers, reference(), prices), prices)
    assert "white-space:pre-wrap" in text
    assert text.count('<pre class="command">') == len(decision.commands) > 0
    costs_shown = re.findall(r"<td>[\d,.]+&nbsp;(\w+)</td>", text)
    assert set(costs_shown) == {"USD"}
    assert len(costs_shown) == 2 * len(Pattern)
