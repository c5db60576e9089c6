"""Features and a light head: from a handful of pictures to one ONNX that says which kind a picture is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgevision.errors import EdgeVisionError, UsageError
from edgevision.training.linear_probe.examples import read_examples
from tests.support.foundation import IMAGENET_PICTURE, save_picture_settings


def striped(rng: np.random.Generator, upright: bool) -> np.ndarray:
    """Stripes: upright ones warm, those across cold, of any green."""
    size = int(rng.integers(40, 90))
    place = np.arange(size) // int(rng.integers(4, 8)) % 2
    pattern = np.tile(place, (size, 1)) if upright else np.tile(place[:, None], (1, size))
    colours = rng.integers([150, 0, 0], [256, 256, 100], (2, 3))
    colours = colours[:, ::-1] if upright else colours
    return colours[pattern].astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(3)
    for kind in ("across", "upright"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for k in range(12):
            cv2.imwrite(str(tmp_path / "data" / kind / f"{k}.png"), striped(rng, kind == "upright"))
    return tmp_path / "data"


def test_examples_of_folders(folder):
    (folder / "across" / "broken.png").write_bytes(b"\x89PNG nothing")
    (folder / "across" / "notes.txt").write_text("not a picture")
    examples = read_examples(folder)
    assert examples.counts() == {"across": 12, "upright": 12}
    assert len(examples.left_out) == 1
    assert "broken.png" in examples.left_out[0]


def test_examples_cut_out_of_labelled_boxes(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "classes.txt").write_text("dark\nlight\n")
    for k in range(2):
        pixels = np.zeros((100, 200, 3), np.uint8)
        pixels[:, 100:] = 250
        cv2.imwrite(str(tmp_path / "images" / f"{k}.png"), pixels)
        (tmp_path / "labels" / f"{k}.txt").write_text("0 0.2 0.5 0.2 0.4\n1 0.8 0.5 0.2 0.4\n")
    examples = read_examples(tmp_path)
    assert examples.kinds == ("dark", "light")
    assert examples.kind_ids == [0, 1, 0, 1]
    assert [p.mean() > 128 for p in examples.pictures] == [False, True, False, True]
    assert len(set(examples.groups)) == 2, "cut-outs of one picture belong together"


def test_too_few_examples(tmp_path, folder):
    (tmp_path / "one" / "kind").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "one" / "kind" / "1.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(UsageError, match=r"too few of kind \(1\)"):
        read_examples(tmp_path / "one")
    with pytest.raises(UsageError, match="found nothing"):
        read_examples(tmp_path / "none")


def test_interval_of_a_handful():
    pytest.importorskip("edgevision.training.linear_probe.fit")
    from edgevision.training.linear_probe.fit import wilson

    # 9 of 10: Wilson's interval as tabulated (Newcombe, 1998)
    assert wilson(9, 10) == pytest.approx((0.596, 0.982), abs=1e-3)
    low, high = wilson(10, 10)
    assert high == 1
    assert 0.7 < low < 0.73


@pytest.fixture
def tiny(monkeypatch):
    """CLIP and DINOv2 of the same kind as the real ones, in a size for tests."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("onnxscript")
    from edgevision.detectors.foundation import clip, dino

    small = {"hidden_size": 48, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 64}
    config = transformers.CLIPConfig(
        vision_config={**small, "image_size": 224, "patch_size": 56}, text_config=small, projection_dim=32
    )
    dinov2 = transformers.Dinov2Config(
        hidden_size=48, num_attention_heads=2, num_hidden_layers=2, image_size=224, patch_size=28
    )
    monkeypatch.setattr(clip.Clip, "built", lambda: transformers.CLIPModel(config))
    monkeypatch.setattr(dino.DinoV2, "built", lambda: transformers.Dinov2Model(dinov2))
    return dinov2


@pytest.mark.extra
def test_one_graph_says_what_the_fit_said(folder, tmp_path, monkeypatch, tiny):
    """A checkpoint made here, loaded by the library's own way, frozen, headed, shipped and run."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("sklearn")
    from edgevision.detectors.registry import load_detector
    from edgevision.training.linear_probe.fit import fit, package

    torch.manual_seed(5)
    transformers.Dinov2Model(tiny).save_pretrained(tmp_path / "checkpoint")
    crop = {"height": 224, "width": 224}
    settings = {**IMAGENET_PICTURE, "size": {"shortest_edge": 256}, "crop_size": crop, "resample": 3}
    save_picture_settings(tmp_path / "checkpoint", settings)
    examples = read_examples(folder)
    made = fit("dinov2", str(tmp_path / "checkpoint"), examples, "stripes")
    assert sum(count for _, count in made.by_kind.values()) == 24
    assert made.low <= made.accuracy <= made.high
    assert made.manifest.accuracy[0].metric == "accuracy"
    package(made, tmp_path / "store" / "stripes")
    monkeypatch.setenv("EDGEVISION_MODELS", str(tmp_path / "store"))
    detector = load_detector("stripes")
    said = [detector.classes[int(detector.detect(p).class_ids[0])] for p in examples.pictures]
    wanted = [examples.kinds[k] for k in examples.kind_ids]
    assert np.mean([a == b for a, b in zip(said, wanted, strict=True)]) >= 0.9, "it learnt what it was shown"
    with pytest.raises(UsageError, match="exists already"):
        package(made, tmp_path / "store" / "stripes")


@pytest.mark.extra
@pytest.mark.parametrize("name", ["dinov2", "clip"])
def test_shipped_features_are_the_network_s(tmp_path, tiny, name):
    """The exported graph gives what torch gives for the same pixels."""
    import torch

    from edgevision.detectors.foundation import load_foundation
    from edgevision.detectors.onnx_session import Session
    from edgevision.training.linear_probe.graph import _Front, export_features

    with load_foundation(name, weights="random") as features:
        side = export_features(features, tmp_path / "features.onnx")
        pixels = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
        with torch.no_grad():
            wanted = _Front(features).eval()(torch.from_numpy(pixels)).numpy()
    given = Session((tmp_path / "features.onnx").read_bytes(), "features").run(pixels)[0]
    np.testing.assert_allclose(given, wanted, atol=2e-4)


@pytest.mark.extra
def test_command(folder, tmp_path, tiny):
    pytest.importorskip("sklearn")
    from edgevision.cli import app

    args = ["distill", "head", str(folder), "--name", "stripes", "--out", str(tmp_path / "stripes")]
    result = CliRunner().invoke(app, [*args, "--weights", "random"])
    assert result.exit_code == 0, result.output
    assert "random weights" in result.stdout
    assert "accuracy" not in result.stdout, "random weights have none"
    again = CliRunner().invoke(app, [*args, "--weights", "random"])
    assert isinstance(again.exception, EdgeVisionError)
    wrong = CliRunner().invoke(app, [*args[:-1], str(tmp_path / "x"), "--features", "owlv2"])
    assert isinstance(wrong.exception, UsageError)
    assert "gives no features" in str(wrong.exception)
