"""What foundation models are asked, and how their answers are read: no network and no weights needed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.detectors.foundation import foundation_kind, foundation_names, is_foundation, load_foundation
from edgevision.detectors.foundation.base import Found, FoundationDetector
from edgevision.detectors.foundation.load_options import FoundationOptions
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.detectors.foundation.vlm_answers import Tally, Unparsable, question, read_answer, read_grounding
from edgevision.errors import MissingExtra, UsageError

TWO = Prompts(("person", "helmet"), (("a person", "a worker"), ("a hard hat",)))


# ---- prompts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "person: a person, a worker; helmet: a hard hat",
        "person: a person, a worker\nhelmet: a hard hat\n",
        "# what to look for\n\n person :a person ,a worker  # both\nhelmet: a hard hat;\n",
    ],
)
def test_prompts_in_words(text):
    assert Prompts.parse(text) == TWO
    assert TWO.flat == ("a person", "a worker", "a hard hat") and TWO.class_ids == (0, 0, 1)
    assert Prompts.parse(TWO.to_text()) == TWO


def test_a_class_without_words_is_its_own():
    assert Prompts.parse("cat; hot dog") == Prompts.of_classes(["cat", "hot dog"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "person: a person, a worker\nhelmet: a hard hat\n"),
        ("classes.toml", 'person = ["a person", "a worker"]\nhelmet = "a hard hat"\n'),
        ("other.toml", '[prompts]\nperson = ["a person", "a worker"]\nhelmet = ["a hard hat"]\n'),
    ],
)
def test_prompts_from_a_file(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    assert Prompts.read(path) == Prompts.given(str(path)) == TWO


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("person: a\nhelmet\n:b\n", "line 3: expected 'class: prompt, prompt', got ':b'"),
        ("person: a\n\nhelmet: ,\n", "line 3: expected"),
        ("person: a\nhelmet: b\nperson: c\n", "line 3: the class 'person' is named twice"),
        ("cat, dog", "put ';' between classes"),
        ("", "expected at least one class"),
        ("# nothing\n", "expected at least one class"),
    ],
)
def test_wrong_prompts_name_the_line(tmp_path, text, told):
    with pytest.raises(UsageError) as shown:
        Prompts.parse(text)
    assert told in str(shown.value)
    path = tmp_path / "prompts.txt"
    path.write_text(text)
    with pytest.raises(UsageError) as shown:
        Prompts.read(path)
    assert told.removeprefix("line") in str(shown.value) and str(path) in str(shown.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('person = "a"\nhelmet = 3\n', "line 2: expected helmet"),
        ('person = "a"\nhelmet = []\n', "line 2: expected helmet"),
        ('person = "a"\nhelmet = "b\n', "line 2"),
        ("prompts = 3\n", "expected a table"),
        ("", "expected at least one class"),
    ],
)
def test_wrong_toml_names_the_line(tmp_path, text, told):
    path = tmp_path / "prompts.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as shown:
        Prompts.read(path)
    assert told in str(shown.value) and str(path) in str(shown.value)


def test_files_that_are_no_prompts(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UsageError, match="UTF-8"):
        Prompts.read(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_bytes(b"a" * (2 << 20))
    with pytest.raises(UsageError, match="small file"):
        Prompts.read(tmp_path / "b.txt")
    with pytest.raises(UsageError, match="no such file"):
        Prompts.given(str(tmp_path / "missing.txt"))


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_is_prompts_or_an_error_of_ours(text):
    try:
        prompts = Prompts.parse(text)
    except UsageError:
        return
    assert len(prompts.flat) == len(prompts.class_ids) >= len(prompts.classes) >= 1


# ---- answers ----------------------------------------------------------------------------------------------------


def boxes_of(text, most=(1000.0, 1000.0)):
    return read_answer("boxes", text, TWO, (200, 100), most)


def test_boxes_in_thousandths():
    text = '[{"class": "person", "box": [0, 0, 500, 1000]}, {"label": "A Hard Hat", "bbox_2d": [100.0, 1, 200, 2]}]'
    for form in (text, f"  {text}\n", f"```json\n{text}\n```", f"```\n{text}\n```"):
        found = boxes_of(form)
        assert np.allclose(found.boxes, [[0, 0, 100, 100], [20, 0.1, 40, 0.2]])
        assert found.class_ids.tolist() == [0, 1] and found.scores.tolist() == [1, 1]
    assert len(boxes_of("[]").boxes) == 0


def test_boxes_in_pixels_of_what_it_saw():
    found = boxes_of('[{"class": "a worker", "box": [10, 20, 20, 40]}]', (20.0, 40.0))
    assert np.allclose(found.boxes, [[100, 50, 200, 100]]) and found.class_ids.tolist() == [0]


BOX = '{"class": "person", "box": [0, 0, 10, 10]}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "There are two people.",
        f"Here you are: [{BOX}]",
        f"[{BOX}] as asked",
        f"[{BOX}",
        f"```json\n[{BOX}]\n``` ```",
        BOX,
        "null",
        '"person"',
        '[["person", 0, 0, 10, 10]]',
        '[{"class": "dog", "box": [0, 0, 10, 10]}]',
        '[{"class": 0, "box": [0, 0, 10, 10]}]',
        '[{"box": [0, 0, 10, 10]}]',
        '[{"class": "person"}]',
        '[{"class": "person", "label": "helmet", "box": [0, 0, 10, 10]}]',
        '[{"class": "person", "class": "helmet", "box": [0, 0, 10, 10]}]',
        '[{"class": "person", "box": [0, 0, 10]}]',
        '[{"class": "person", "box": [0, 0, 10, "10"]}]',
        '[{"class": "person", "box": [0, 0, 10, true]}]',
        '[{"class": "person", "box": [0, 0, 10, NaN]}]',
        '[{"class": "person", "box": [0, 0, 10, 1e999]}]',
        '[{"class": "person", "box": [0, 0, 10, ' + "9" * 400 + "]}]",
        '[{"class": "person", "box": [10, 0, 10, 10]}]',
        '[{"class": "person", "box": [20, 0, 10, 10]}]',
        '[{"class": "person", "box": [-1, 0, 10, 10]}]',
        '[{"class": "person", "box": [0, 0, 10, 1001]}]',
        f"[{BOX}, 3]",
        "[" * 100_000,
        "[" + ",".join([BOX] * 301) + "]",
        " " * 70_000 + "[]" + "x" * 70_000,
    ],
)
def test_what_is_not_boxes_is_unparsable(text):
    with pytest.raises(Unparsable) as told:
        boxes_of(text)
    assert len(str(told.value)) < 80 and "\n" not in str(told.value)


def test_presence():
    found = read_answer("presence", '{"helmet": true, "person": false}', TWO, (200, 100))
    assert found.class_ids.tolist() == [1] and found.boxes.tolist() == [[0, 0, 200, 100]]
    assert len(read_answer("presence", '{"helmet": false, "person": false}', TWO, (200, 100)).boxes) == 0


@pytest.mark.parametrize(
    "text",
    [
        '{"person": true}',
        '{"person": true, "helmet": "yes"}',
        '{"person": 1, "helmet": 0}',
        '{"person": true, "helmet": false, "dog": true}',
        '{"person": true, "person": false, "helmet": false}',
        "[true, false]",
        "yes",
    ],
)
def test_what_is_not_presence_is_unparsable(text):
    with pytest.raises(Unparsable):
        read_answer("presence", text, TWO, (200, 100))


def test_grounding():
    text = "a person<loc_0><loc_0><loc_499><loc_999><loc_500><loc_0><loc_999><loc_499>, "
    text += "a hard hat<loc_9><loc_9><loc_19><loc_19>"
    found = read_grounding(text, TWO, (200, 100))
    assert found.class_ids.tolist() == [0, 0, 1]
    assert np.allclose(found.boxes[0], [0.1, 0.05, 99.9, 99.95])
    assert len(read_grounding("  ", TWO, (200, 100)).boxes) == 0


@pytest.mark.parametrize(
    "text",
    [
        "a person",
        "a person<loc_1><loc_2><loc_3>",
        "a person<loc_1><loc_2><loc_3><loc_1000>",
        "a person<loc_5><loc_2><loc_3><loc_9>",
        "a dog<loc_1><loc_2><loc_3><loc_4>",
        "<loc_1><loc_2><loc_3><loc_4>",
        "a person<poly><loc_1><loc_2><loc_3><loc_4>",
        "a person<loc_1><loc_2><loc_3><loc_4>and more",
    ],
)
def test_what_is_not_grounding_is_unparsable(text):
    with pytest.raises(Unparsable):
        read_grounding(text, TWO, (200, 100))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["person", "box"]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(["class", "box", "label", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON | st.text(max_size=60))
@settings(max_examples=400, deadline=None)
def test_any_answer_is_boxes_inside_the_frame_or_unparsable(value):
    text = value if isinstance(value, str) else json.dumps(value)
    for ask in ("boxes", "presence"):
        try:
            found = read_answer(ask, text, TWO, (200, 100))
        except Unparsable:
            continue
        assert isinstance(found, Found) and (found.boxes >= 0).all() and (found.boxes <= [200, 100, 200, 100]).all()


def test_the_question_names_what_it_wants():
    boxes, presence = question("boxes", TWO), question("presence", TWO)
    for text in (boxes, presence):
        assert '"person": a person, a worker' in text and '"helmet": a hard hat' in text
    assert "0 to 1000" in boxes and "in pixels" in question("boxes", TWO, in_pixels=True)
    assert '{"person": true or false, "helmet": true or false}' in presence


def test_the_tally_in_words():
    assert Tally().words == ""
    tally = Tally(asked=4, answered=3, unparsable=1, last_reason="expected JSON")
    assert tally.words == "4 questions, 3 answers read, 1 unparsable (the last: expected JSON)"


# ---- names and orders -------------------------------------------------------------------------------------------


def test_names():
    assert {"owlv2", "sam", "clip", "smolvlm", "api"} <= set(foundation_names())
    assert foundation_kind("foundation:yoloe") == "boxes" and foundation_kind("sam2@random") == "segments"
    assert is_foundation("foundation:owlv2") and not is_foundation("owlv2")
    with pytest.raises(UsageError, match="no foundation model named 'owl'; known are owlvit"):
        load_foundation("owl")
    with pytest.raises(UsageError, match="give one of the two"):
        load_foundation("owlv2@random", weights="here")


@pytest.mark.parametrize("wrong", [{"min_score": 1.5}, {"threads": 0}, {"ask": "poems"}])
def test_orders_that_cannot_be_meant(wrong):
    with pytest.raises(UsageError):
        load_foundation("owlv2", weights="random", **wrong)


@pytest.mark.parametrize("name", [n for n in foundation_names() if n != "api"])
def test_what_is_missing_is_named(name):
    import importlib.util

    if importlib.util.find_spec("transformers") or importlib.util.find_spec("ultralytics"):
        pytest.skip("the extras are installed here")
    with pytest.raises(MissingExtra, match=r"pip install 'edgevision\[(foundation|ultralytics)\]'") as told:
        load_foundation(name, weights="random")
    assert ("AGPL-3.0" in str(told.value)) == (name in {"yolo-world", "yoloe", "mobilesam"})


class Fixed(FoundationDetector):
    """Finds what it is told to."""

    title = "Fixed"

    def __init__(self, found, **order):
        super().__init__(FoundationOptions("fixed", **order), "1", ("a", "b"), "as told")
        self._found = found

    def _find(self, pixels):
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


def test_what_a_model_finds_is_made_right():
    boxes = np.array([[-5, -5, 500, 20], [1, 1, 1, 9], [300, 0, 310, 10], [0, 0, 4, 4], [2, 2, 6, 6]], np.float32)
    found = Found(boxes, np.array([0.2, 0.9, 0.9, 0.05, 1.1], np.float32), np.array([0, 0, 0, 1, 1], np.int64))
    detections = Fixed(found, min_score=0.1).detect(np.zeros((50, 100, 3), np.uint8))
    assert detections.boxes.tolist() == [[2, 2, 6, 6], [0, 0, 100, 20]]
    assert detections.scores.tolist() == [1, pytest.approx(0.2)] and detections.class_ids.tolist() == [1, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad):
    from edgevision.errors import ModelFailed

    found = Found(np.array([[0, 0, bad, 4]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))
    with pytest.raises(ModelFailed, match="not finite"):
        Fixed(found).detect(np.zeros((50, 100, 3), np.uint8))


def test_a_foreign_error_is_one_line():
    from edgevision.errors import ModelFailed

    with pytest.raises(ModelFailed) as told:
        Fixed(RuntimeError("out of memory\nat line 3")).detect(np.zeros((50, 100, 3), np.uint8))
    assert str(told.value) == "foundation:fixed@1: failed on a frame of 100×50 px: out of memory"
