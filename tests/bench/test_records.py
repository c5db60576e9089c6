"""A run as a file, its figures, and two runs against each other."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgevision.bench.compare import CONDITIONS, compare
from edgevision.bench.records import BenchRun, Sample, Series
from edgevision.bench.run_file import read_run, write_run
from edgevision.bench.summary import best_loop, figures, speed_ratio
from edgevision.bench.wording import remarks, sentences
from edgevision.errors import EdgeVisionError, UsageError
from tests.support.bench import CLIP, LIVE, MACHINE, alone_block, loop_block, run_of


def saved(run, path, **changes):
    """The run's file, with some of its values changed."""
    write_run(run, path)
    values = json.loads(path.read_text())
    values.update(changes)
    path.write_text(json.dumps(values))
    return path


# The file


def test_a_run_is_read_back_as_it_was(tmp_path):
    run = run_of({"small": 5.0, "big": 250.0}, foundation=["big"], accuracy={"small": 0.6})
    write_run(run, tmp_path / "run.json", [f.as_json() for f in figures(run)])
    again = read_run(tmp_path / "run.json")
    assert again == run
    assert again.series[0].blocks[0].stages["infer"] == run.series[0].blocks[0].stages["infer"]
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_its_figures_are_for_other_readers_and_never_believed(tmp_path):
    run = run_of({"small": 5.0})
    write_run(run, tmp_path / "run.json", [f.as_json() for f in figures(run)])
    values = json.loads((tmp_path / "run.json").read_text())
    assert values["figures"][1]["fps"]["value"] == pytest.approx(200, rel=0.02)
    values["figures"][1]["fps"]["value"] = 9999.0
    (tmp_path / "run.json").write_text(json.dumps(values))
    assert figures(read_run(tmp_path / "run.json"))[1].fps.value < 300


def test_numbers_that_json_does_not_know_are_null(tmp_path):
    run = run_of({"small": 5.0})
    write_run(run, tmp_path / "run.json", [{"low": float("nan"), "deep": [{"high": float("inf")}]}])
    assert json.loads((tmp_path / "run.json").read_text())["figures"] == [{"low": None, "deep": [{"high": None}]}]


def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path):
    with pytest.raises(EdgeVisionError, match="cannot be written"):
        write_run(run_of({"small": 5.0}), tmp_path / "no" / "run.json")


def test_a_format_of_tomorrow_is_refused(tmp_path):
    path = saved(run_of({"small": 5.0}), tmp_path / "run.json", format="edgevision.bench/2")
    with pytest.raises(UsageError, match=r"is of format edgevision.bench/2, this version reads edgevision.bench/1"):
        read_run(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "damaged or something else"),
        ("{", "damaged or something else"),
        ("[1, 2]", "names no such format"),
        ('{"format": "coco"}', "names no such format"),
        ('{"format": "edgevision.bench/1"}', "is damaged at made: Field required"),
        ("[" * 100_000, "damaged or something else"),
    ],
)
def test_other_files_are_refused_in_a_sentence(tmp_path, text, said):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_run(tmp_path / "x.json")


def test_a_missing_file_names_what_writes_one(tmp_path):
    with pytest.raises(UsageError, match=r"no such file; `edgevision bench --out DIR`"):
        read_run(tmp_path / "run.json")


def test_damage_inside_is_found(tmp_path):
    run = run_of({"small": 5.0})
    path = saved(run, tmp_path / "run.json", series=[{**run.series[0].model_dump(mode="json"), "contender": "other"}])
    with pytest.raises(UsageError, match="a series of 'other'"):
        read_run(path)
    short = run.series[1].model_dump(mode="json")
    short["blocks"][0]["stages"]["infer"].pop()
    with pytest.raises(UsageError, match="not one a frame and stage"):
        read_run(saved(run, tmp_path / "run.json", series=[short]))
    with pytest.raises(UsageError, match=r"is damaged at series.0.blocks.0.span_ns"):
        short["blocks"][0]["span_ns"] = -1
        read_run(saved(run, tmp_path / "run.json", series=[short]))
    with pytest.raises(UsageError, match="unknown_key"):
        read_run(saved(run, tmp_path / "run.json", unknown_key=1))


# Its figures


def one_series(kind, blocks, clip=CLIP):
    base = run_of({"small": 5.0}, clips=(clip,))
    series = Series(contender="small", kind=kind, clip=clip.name, settled=True, warm_up_frames=0, blocks=tuple(blocks))
    return figures(base.model_copy(update={"series": (series,)}))[0]


def test_fps_counts_from_the_first_frame_to_the_last():
    # 30 ms until the first frame is there, then one each 10 ms: 100 fps, whatever the start took.
    found = one_series("loop", [loop_block(k, [30.0] + [10.0] * 20) for k in range(4)])
    assert found.fps.value == pytest.approx(100)
    assert found.frames == 84


def test_warm_up_does_not_count():
    blocks = [loop_block(-1, [100.0] * 10), *(loop_block(k, [10.0] * 20) for k in range(4))]
    assert one_series("loop", blocks).fps.value == pytest.approx(100)


def test_blocks_of_one_frame_count_from_their_beginning():
    found = one_series("loop", [loop_block(k, [14_000.0]) for k in range(3)])
    assert found.fps.value == pytest.approx(1 / 14)
    assert found.work.p50.value == pytest.approx(14_000 * 0.9)


def test_what_a_frame_costs_is_without_capture_and_waiting():
    found = one_series("loop", [loop_block(k, [10.0] * 20) for k in range(4)])
    assert found.work.p50.value == pytest.approx(9.0)
    assert found.stages_ms["infer"] == pytest.approx(8.0)
    assert found.stages_ms["capture"] == pytest.approx(5.0)
    assert found.cpu_percent == pytest.approx(100)


def test_drops_are_gaps_inside_a_block():
    blocks = [
        loop_block(k, [33.0] * 4, live=True, indices=[k * 90, k * 90 + 1, k * 90 + 4, k * 90 + 5]) for k in range(3)
    ]
    found = one_series("loop", blocks, LIVE)
    assert found.dropped == 6
    assert found.verdict == "drops 33% of 30 fps"


def test_frames_from_before_a_live_block_do_not_count():
    """They waited while it was another contender's turn: neither their age nor the gap after them is the loop's."""
    made = loop_block(0, [5.0, 28.0, 33.0, 33.0, 33.0], live=True, indices=[10, 12, 13, 14, 15])
    stale = made.model_copy(update={"age_ns": (90_000_000, *made.age_ns[1:])})
    found = one_series("loop", [stale.model_copy(update={"round": k}) for k in range(3)], LIVE)
    assert found.dropped == 0
    assert found.fps.value == pytest.approx(1 / 0.033)
    assert found.age is not None
    assert found.age.longest < 90


def test_a_live_source_that_is_followed_is_kept_up_with():
    found = one_series("loop", [loop_block(k, [33.4] * 15, live=True) for k in range(5)], LIVE)
    assert found.verdict == "keeps up with 30 fps"


@pytest.mark.parametrize(("period_ms", "said"), [(4.0, "above 30 fps"), (90.0, "below 30 fps")])
def test_the_verdict_is_about_30_fps(period_ms, said):
    assert figures(run_of({"one": period_ms}))[1].verdict == said


def test_near_the_line_nothing_is_claimed():
    rng = np.random.default_rng(0)
    blocks = [loop_block(k, np.full(20, 33.3 * rng.uniform(0.8, 1.2))) for k in range(8)]
    assert one_series("loop", blocks).verdict == "cannot tell from 30 fps"


def test_a_file_speaks_before_a_live_source():
    run = run_of({"one": 5.0}, clips=(LIVE, CLIP))
    series = best_loop(run, "one")
    assert series is not None
    assert series.clip == CLIP.name


def test_how_many_times_faster():
    run = run_of({"small": 5.0, "big": 250.0}, foundation=["big"])
    found = speed_ratio(run, "small", "big")
    assert found is not None
    assert found.low < 50 < found.high
    assert found.high / found.low < 1.1
    said = sentences(run)
    assert said[0].startswith("small: 200 [")
    assert "big (random weights)" in said[1]
    assert any("small is 50." in s or "small is 49." in s for s in said)
    assert said[-1] == "No foundation model here is real time on this machine."


def test_a_fast_foundation_model_is_not_hidden():
    said = sentences(run_of({"small": 5.0, "quick": 10.0}, foundation=["quick"]))
    assert "A foundation model is real time on this machine: speed alone does not decide here." in said


def test_what_spoils_a_figure_is_said():
    run = run_of({"small": 5.0}, samples=[Sample(at_ns=1, throttled=("under-voltage",))])
    slowing = Series(
        contender="small", kind="alone", clip=CLIP.name, settled=False, warm_up_frames=9,
        blocks=tuple(alone_block(k, [5.0 + k] * 10) for k in range(8)),
    )  # fmt: skip
    said = remarks(run.model_copy(update={"series": (slowing,), "interrupted": True, "notes": ("A note.",)}))
    assert said[0] == "A note."
    assert any("interrupted" in s for s in said)
    assert any("not settled when" in s for s in said)
    assert any("slower in the second half" in s for s in said)
    assert any("under-voltage" in s for s in said)


def test_other_programs_are_said():
    run = run_of({"small": 5.0})
    assert remarks(run.model_copy(update={"busy_elsewhere": 0.04})) == remarks(run) == []
    assert remarks(run.model_copy(update={"busy_elsewhere": 0.5}))[0].startswith("Other programs used 50% of the proc")


# Two runs


def test_the_same_run_cannot_be_told_from_itself():
    run = run_of({"small": 5.0})
    found = compare(run, run)
    assert [r.kind for r in found.rows] == ["alone", "loop"]
    for row in found.rows:
        assert row.ratio.value == pytest.approx(1)
        assert row.ratio.low < 1 < row.ratio.high
        assert row.verdict == "cannot tell"
    assert found.differences == ()


def test_a_faster_run_is_faster():
    rows = compare(run_of({"small": 5.0}), run_of({"small": 4.0})).rows
    assert all(r.verdict == "faster" for r in rows)
    assert all(r.ratio.low < 1.25 < r.ratio.high for r in rows)
    assert all(r.verdict == "slower" for r in compare(run_of({"small": 4.0}), run_of({"small": 5.0})).rows)


def changed(run: BenchRun, what: str) -> BenchRun:
    contender, clip, machine = run.contenders[0], run.clips[0], run.machine
    if what in ("machine", "system", "governor", "python", "packages"):
        update = {
            "machine": {"cpu": "Other CPU"},
            "system": {"system": "Linux 7"},
            "governor": {"governor": "powersave"},
            "python": {"python": "3.13.0"},
            "packages": {"packages": {"onnxruntime": "1.30.0"}},
        }[what]
        return run.model_copy(update={"machine": machine.model_copy(update=update)})
    if what == "clip":
        return run.model_copy(update={"clips": (clip.model_copy(update={"sha256": "c" * 64}),)})
    update = {
        "threads": {"threads": 2},
        "streams": {"streams": 2},
        "detect_every": {"detect_every": 2},
        "spinning": {"spinning": True},
    }.get(what, {"random_weights": True})
    return run.model_copy(update={"contenders": (contender.model_copy(update=update),)})


@pytest.mark.parametrize("what", CONDITIONS)
def test_unlike_runs_are_refused_by_name(what):
    one = run_of({"small": 5.0})
    other = changed(one, what)
    with pytest.raises(UsageError, match=rf"under different conditions \({what}: .*compare with --allow {what}$"):
        compare(one, other)
    found = compare(one, other, allow=[what])
    assert len(found.rows) == 2
    assert [d.condition for d in found.differences] == [what]


def test_both_values_are_named():
    one = run_of({"small": 5.0})
    with pytest.raises(UsageError, match="Test CPU and Other CPU"):
        compare(one, changed(one, "machine"))
    with pytest.raises(UsageError, match=r"aaaaaaaaaaaa.*cccccccccccc"):
        compare(one, changed(one, "clip"))


def test_what_is_measured_may_differ_and_is_told():
    one = run_of({"small": 5.0})
    newer = one.contenders[0].model_copy(update={"sha256": "d" * 64})
    other = one.model_copy(update={"contenders": (newer,), "commit": "def"})
    texts = [d.text for d in compare(one, other).differences]
    assert texts == ["edgevision 0.1.0 (abc) and 0.1.0 (def)", "small@1: sha256 bbbbbbbbbbbb and dddddddddddd"]


def test_one_contender_each_is_a_pair_whatever_its_name():
    rows = compare(run_of({"small": 5.0}), run_of({"smaller": 2.5})).rows
    assert rows[1].contender == "small → smaller"
    assert rows[1].ratio.value == pytest.approx(2, rel=0.02)


def test_threads_in_a_label_are_a_condition_not_another_contender():
    one, other = run_of({"m int8, 1 thread": 5.0, "x": 9.0}), run_of({"m int8, 2 threads": 4.0, "y": 8.0})
    assert [r.kind for r in compare(one, other).rows] == ["alone", "loop"]


def test_each_number_of_threads_is_compared_with_its_own():
    one = run_of({"m, 1 thread": 8.0, "m, 2 threads": 5.0})
    other = run_of({"m, 2 threads": 5.0, "m, 1 thread": 8.0})
    rows = compare(one, other).rows
    assert [r.contender for r in rows] == ["m, 1 thread", "m, 1 thread", "m, 2 threads", "m, 2 threads"]
    assert all(r.ratio.value == pytest.approx(1, rel=0.01) for r in rows)


def test_nothing_in_common_is_said():
    with pytest.raises(UsageError, match="no contender and source in common"):
        compare(run_of({"a": 5.0, "b": 5.0}), run_of({"c": 5.0, "d": 5.0}))


def test_only_known_conditions_are_allowed():
    with pytest.raises(UsageError, match="--allow: expected one of machine"):
        compare(run_of({"a": 5.0}), run_of({"a": 5.0}), allow=["weather"])


def test_packages_of_one_run_only_are_no_difference():
    torch = MACHINE.model_copy(update={"packages": {**MACHINE.packages, "torch": "2.13"}})
    assert compare(run_of({"a": 5.0}), run_of({"a": 5.0}, machine=torch)).differences == ()
