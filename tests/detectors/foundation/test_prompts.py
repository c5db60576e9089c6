"""Prompts in words and in files."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.detectors.foundation.prompts import Prompts
from edgevision.errors import UsageError

TWO = Prompts(("person", "helmet"), (("a person", "a worker"), ("a hard hat",)))


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
