"""Answers of vision-language models, parsed strictly."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.detectors.foundation.base import Found
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.detectors.foundation.vlm_answers import Tally, Unparsable, question, read_answer, read_grounding

TWO = Prompts(("person", "helmet"), (("a person", "a worker"), ("a hard hat",)))


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
