"""``edgevision models``: what each command writes, keeps and refuses; golden pictures; the recipe check."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from edgevision.cli.models import app
from edgevision.deployment.verify_model import verify_model
from edgevision.detectors.manifest import manifest_from, manifest_text, read_manifest
from edgevision.detectors.registry import load_detector
from edgevision.errors import ModelInvalid, ModelNotFound, UsageError
from tests.support.models import blob_frame_pixels, blob_model

pytestmark = pytest.mark.usefixtures("own_models")


@pytest.fixture
def own_models(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.delenv("EDGEVISION_MODELS", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data" / "edgevision" / "models"


@pytest.fixture
def stored(own_models):
    """The blob model as one of the user's own."""
    return blob_model(own_models / "blobs")


@pytest.fixture
def pictures(tmp_path):
    """Twelve pictures with red blocks on the detector's grid, each at other places."""
    rng = np.random.default_rng(3)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for k in range(12):
        places = rng.choice(64, 1 + k % 4, replace=False)
        boxes = [(x * 16, y * 16, x * 16 + 16, y * 16 + 16) for x, y in ((int(p) % 8, int(p) // 8) for p in places)]
        cv2.imwrite(str(folder / f"{k:02d}.png"), blob_frame_pixels(128, 128, boxes))
    return folder


def invoke(*words):
    """Output of a command that succeeds; our own errors are raised."""
    got = CliRunner().invoke(app, [str(w) for w in words])
    if got.exception is not None and not isinstance(got.exception, SystemExit):
        raise got.exception
    return got


def test_list_and_show(stored, own_models):
    broken = own_models / "broken"
    broken.mkdir()
    (broken / "model.toml").write_text('nmae = "broken"\n')
    rows = {row["name"]: row for row in json.loads(invoke("list", "--json").output)}
    assert (rows["blobs"]["family"], rows["blobs"]["input"]) == ("ultralytics", "64×64 rgb letterbox 0-1")
    assert rows["blobs"]["where"] == str(stored)
    assert "unknown key 'nmae'" in rows["broken"]["error"]
    table = invoke("list").output
    assert "blobs" in table
    assert "cannot be read" in table
    shown = json.loads(invoke("show", "blobs", "--json").output)
    assert shown["classes"] == ["blob"]
    assert "blobs@1" in invoke("show", "blobs").output
    with pytest.raises(ModelNotFound, match="no model named 'blub'"):
        invoke("show", "blub")


def test_the_first_on_the_path_hides_the_others(stored, tmp_path, monkeypatch):
    blob_model(tmp_path / "models" / "blobs", version="2")
    rows = [row for row in json.loads(invoke("list", "--json").output) if row["name"] == "blobs"]
    assert [(row["version"], row["hidden"]) for row in rows] == [("2", False), ("1", True)]
    assert "is hidden by a model of this name" in " ".join(invoke("list").output.split())


def test_list_is_one_line_a_model_at_80_columns(own_models, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    classes = [f"a-long-class-name-{k}" for k in range(12)]
    folder = blob_model(own_models / "blobs-with-a-name", name="blobs-with-a-name")
    spoil(folder, 'classes = ["blob"]', f"classes = {json.dumps(classes)}")
    with (folder / "model.toml").open("a") as file:
        file.write('\n[[accuracy]]\ndata = "val"\nmetric = "AP50"\nvalue = 0.649\n')
        file.write('\n[[latency]]\nmachine = "here"\nthreads = 1\nmedian_ms = 3.47\n')
    lines = [line for line in invoke("list").output.splitlines() if line]
    assert lines[0].split() == ["name", "version", "finds", "input", "AP50", "ms", "where"]
    assert len(lines) == 1 + len(json.loads(invoke("list", "--json").output))
    assert all(len(line.rstrip()) <= 80 for line in lines)
    own = next(line for line in lines if line.startswith("blobs-with-a-name "))
    assert own.split()[-4:] == ["64×64", "0.65", "3.5", "yours"]
    assert "a-long-class-name-0" in own
    assert "…" in own
    assert next(line for line in lines if line.startswith("person ")).split()[-1] == "bundled"


def test_add_says_what_it_concluded_and_what_is_next(tmp_path):
    bare = blob_model(tmp_path / "elsewhere") / "model.onnx"
    said = invoke(
        "add", bare, "--name", "red", "--family", "ultralytics", "--classes", "blob", "--input", "pad=0"
    ).output
    for part in ("added red@1", "family ultralytics: as you said", "embedded in the graph", "models verify red"):
        assert part in said


def test_remove_only_what_is_ones_own(stored, tmp_path):
    blob_model(tmp_path / "models" / "other")
    assert str(stored) in invoke("remove", "blobs").output.replace("\n", "")
    assert not stored.exists()
    assert not list(stored.parent.iterdir())
    with pytest.raises(UsageError, match=r"other: stands in .*models; only models in .* are removed here"):
        invoke("remove", "other")
    for name in ("blobs", "..", "../models", "."):
        with pytest.raises(ModelNotFound):
            invoke("remove", name)
    assert (tmp_path / "models" / "other" / "model.toml").is_file()


def test_export_to_a_folder_and_a_zip(stored, tmp_path):
    invoke("export", "blobs", tmp_path / "out")
    assert load_detector(tmp_path / "out").name == "blobs@1"
    with pytest.raises(UsageError, match="exists already"):
        invoke("export", "blobs", tmp_path / "out" / "model.onnx")
    invoke("export", "blobs", tmp_path / "blobs.zip")
    with zipfile.ZipFile(tmp_path / "blobs.zip") as made:
        made.extractall(tmp_path / "unzipped")
    assert load_detector(tmp_path / "unzipped" / "blobs").name == "blobs@1"
    (stored / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(ModelInvalid, match="SHA-256"):
        invoke("export", "blobs", tmp_path / "more")
    assert not (tmp_path / "more").exists()


def spoil(folder, old, new):
    """Change a manifest behind the model's back."""
    text = (folder / "model.toml").read_text()
    assert old in text
    (folder / "model.toml").write_text(text.replace(old, new))


def test_golden_pictures_notice_a_wrong_recipe(stored, pictures):
    picture = sorted(pictures.iterdir())[3]
    report = verify_model("blobs", pictures, record=[picture])
    assert report.passed
    kept = read_manifest(stored / "model.toml").golden
    assert [g.picture for g in kept] == [f"golden-{picture.name}"]
    assert len(kept[0].boxes) == 4
    assert verify_model("blobs", pictures).golden[0].sentence == "4 boxes as recorded"
    spoil(stored, 'channel_order = "rgb"', 'channel_order = "bgr"')
    failed = verify_model("blobs", pictures).golden[0]
    assert not failed.passed
    assert "missing or moved" in failed.sentence
    assert CliRunner().invoke(app, ["verify", "blobs", "--images", str(pictures)]).exit_code == 4
    (stored / f"golden-{picture.name}").unlink()
    assert "found none that can be read" in verify_model("blobs", pictures).golden[0].sentence


@pytest.mark.parametrize("front", [False, True], ids=["float", "front inside"])
def test_a_wrong_channel_order_is_named_and_mended(front, pictures, tmp_path, own_models):
    bare = blob_model(tmp_path / "elsewhere") / "model.onnx"
    words = ("--family", "ultralytics", "--classes", "blob", "--input", "bgr 0-1 pad=0")
    invoke("add", bare, "--name", "wrong", *words, "--front" if front else "--no-front")
    pixels = cv2.imread(str(sorted(pictures.iterdir())[3]))
    assert len(load_detector("wrong").detect(pixels)) == 0
    report = verify_model("wrong", pictures)
    assert not report.passed
    assert report.better is not None
    assert " rgb " in report.better
    assert "--fix writes that down" in report.sentence
    said = invoke("verify", "wrong", "--images", pictures, "--fix")
    assert said.exit_code == 0
    assert "written down" in said.output
    mended = load_detector("wrong")
    assert (mended.manifest.input.dtype == "uint8") == front
    assert len(mended.detect(pixels)) == 4
    again = verify_model("wrong", pictures)
    assert again.passed
    assert "no other way of feeding it is clearly better" in again.sentence
    assert not [p for p in own_models.iterdir() if p.name.startswith(".")]


def test_pictures_that_show_nothing_it_knows(stored, tmp_path):
    folder = tmp_path / "black"
    folder.mkdir()
    for k in range(8):
        cv2.imwrite(str(folder / f"{k}.png"), np.zeros((64, 64, 3), np.uint8))
    report = verify_model("blobs", folder)
    assert "no way of feeding it gives steady boxes on 8 pictures" in report.sentence
    (folder / "0.png").unlink()
    with pytest.raises(UsageError, match="expected at least 8 pictures that can be read, found 7"):
        verify_model("blobs", folder)
    with pytest.raises(UsageError, match="expected a folder of images"):
        verify_model("blobs", tmp_path / "nowhere")


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@settings(deadline=None, max_examples=60)
@given(classes=st.lists(names, min_size=1, max_size=4), text=names, share=st.floats(0, 1))
def test_every_manifest_is_read_back_as_it_was(classes, text, share):
    values = {
        "name": "m",
        "version": text,
        "family": "ultralytics",
        "classes": classes,
        "licence": text,
        "input": {"width_px": 64, "height_px": 48, "resize": "stretch", "std": (58.395, 57.12, 1e-3)},
        "origin": {"teacher": text, "data": [text, "x"]},
        "accuracy": [{"data": text, "value": share, "low": share}, {"data": "b", "value": 1.0}],
        "latency": [{"machine": text, "threads": 2, "median_ms": 1.5}],
        "golden": [{"picture": "a.png", "boxes": [{"box": (1, 2, 3.5, 4), "score": share, "class_name": text}]}],
    }
    manifest = manifest_from(values, "test")
    path = Path(__import__("tempfile").mkdtemp()) / "model.toml"
    path.write_text(manifest_text(manifest), encoding="utf-8", newline="")
    assert read_manifest(path) == manifest
