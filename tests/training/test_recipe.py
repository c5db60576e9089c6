"""Students' recipes: what is shipped, what is refused and where, and what may be changed on the command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from edgevision.cli.distill import app
from edgevision.errors import MissingExtra, UsageError
from edgevision.training.recipe import Phase, Recipe, read_recipe, recipe_from, shipped_recipes, softened


def test_shipped_recipes_are_valid():
    assert shipped_recipes() == ["face", "hardhat", "person", "person-tiny"]
    for name in shipped_recipes():
        recipe = read_recipe(name)
        assert recipe.epochs > 20
        assert recipe.side_px % 32 == 0
        assert recipe.schedule.cool_down_epochs < recipe.epochs


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("batch = 3\n[student]\nwidth = 3\n", "line 3: unknown key 'student.width'"),
        ("batch = 0\n", "line 1: batch: Input should be greater than 0"),
        ("[[phases]]\nepochs = 3\nside_px = 100\n", "multiple of 32"),
        ("[soft]\ntargets = 'dense'\n", "teacher: needed for targets 'dense'"),
        ("trainer = 'ultralytics'\n[soft]\ntargets = 'scores'\n", "takes boxes only"),
        ("trainer = 'ultralytics'\n[times]\n'a*' = 2\n", "has its own ways"),
        ("trainer = 'ultralytics'\n[augmentation]\npaste = 0.1\n", "has its own ways"),
        ("[augmentation]\nmosaic_scale = [2.0, 1.0]\n", "the lesser first"),
        ("batch = \n", "not valid TOML"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(text, words, tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        read_recipe(str(path))
    assert str(caught.value).startswith(str(path))


def test_nobody_by_that_name():
    with pytest.raises(UsageError, match="expected face, hardhat, person, person-tiny or a recipe"):
        read_recipe("nobody")


def test_phases_follow_one_another_and_stretch():
    recipe = recipe_from(
        {"phases": [{"epochs": 13, "side_px": 256}, {"epochs": 6, "side_px": 320}, {"epochs": 2, "mosaic": 0}],
         "schedule": {"cool_down_epochs": 7}},
        "test",
    )  # fmt: skip
    assert [recipe.phase(e).side_px for e in (0, 12, 13, 18, 19, 20, 99)] == [256, 256, 320, 320, 320, 320, 320]
    assert recipe.phase(20).mosaic == 0
    longer = recipe.lasting(42)
    assert [p.epochs for p in longer.phases] == [26, 12, 4]
    assert longer.schedule.cool_down_epochs == 14
    assert recipe.lasting(3).epochs == 3
    smaller_at_the_end = recipe.model_copy(update={"phases": (*recipe.phases[:2], Phase(epochs=1, side_px=288))})
    for epochs in (1, 2, 3, 7):
        assert smaller_at_the_end.lasting(epochs).epochs == epochs
        assert smaller_at_the_end.lasting(epochs).side_px == 288, "the size that is exported"
    assert [p.side_px for p in recipe.sized(288).phases] == [256, 288, 288]
    with pytest.raises(UsageError, match="multiple of 32"):
        recipe.sized(100)


def test_soft_targets_from_the_command_line():
    assert softened(Recipe(), "scores").soft.targets == "scores"
    dense = softened(Recipe(), "dense=runs/large")
    assert (dense.soft.targets, dense.soft.teacher) == ("dense", "runs/large")
    assert softened(dense, "boxes").soft.teacher == ""
    for wrong in ("dense", "some"):
        with pytest.raises(UsageError, match="--soft"):
            softened(Recipe(), wrong)


def test_a_recipe_survives_json():
    recipe = read_recipe("hardhat")
    assert recipe_from(json.loads(json.dumps(recipe.as_values())), "again") == recipe


def test_help_is_quick_to_import_and_a_missing_extra_is_one_sentence(tmp_path, monkeypatch):
    code = (
        "import sys, edgevision.cli.distill\n"
        "heavy = {'numpy', 'cv2', 'onnxruntime', 'torch', 'pydantic', 'rich.progress'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    got = CliRunner().invoke(app, ["train", str(tmp_path), "--student", "person", "--out", str(tmp_path / "run")])
    assert isinstance(got.exception, MissingExtra)
    assert "pip install 'edgevision[train]'" in str(got.exception)
