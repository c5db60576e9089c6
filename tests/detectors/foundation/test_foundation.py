"""Foundation models: one contract for all, their own weights when there are any, and the libraries' own answers.

Every network here is tiny and made by the tests in its library's own format; it goes through the loading code that
the real ones go through. The full-size networks are built too, without memory for their weights, and counted.
"""

from __future__ import annotations

import copy
import socket
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra foundation (torch, transformers)")
pytest.importorskip("transformers", reason="needs the extra foundation (torch, transformers)")
import torch

from edgevision.detectors.boxes import iou
from edgevision.detectors.foundation import (
    _TABLE,
    foundation_kind,
    foundation_names,
    load_foundation,
    ultralytics_loader,
)
from edgevision.detectors.foundation import automatic_masks as everything_mode
from edgevision.detectors.foundation import vlm as language_models
from edgevision.detectors.foundation.automatic_masks import Placed, segment_everything
from edgevision.detectors.foundation.image_processor import processor_settings, read_recipe
from edgevision.errors import ModelFailed, ModelInvalid, ModelNotFound, UsageError
from tests.support.foundation import FIXED, PROMPTS, SAVERS, Shelf, frame, mobile_sam_network, save_tokenizer

pytestmark = pytest.mark.extra

OF_ULTRALYTICS = {"yolo-world", "yoloe", "mobilesam"}
LOCAL = tuple(name for name in foundation_names() if name != "api")
ASKED = {"smolvlm", "florence2", "qwen-vl"}


@pytest.fixture(scope="module", autouse=True)
def _one_thread_no_network():
    """Tests share the machine; and nothing here may need the network, so it is taken away."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    patch = pytest.MonkeyPatch()

    def refuse(*_args, **_kwargs):
        raise OSError("no network in this test")

    patch.setattr(socket, "getaddrinfo", refuse)
    patch.setattr(socket.socket, "connect", refuse)
    # Few points and any mask: untrained masks are not steady.
    patch.setattr(everything_mode, "POINTS_A_SIDE", 3)
    patch.setattr(everything_mode, "MIN_STABILITY", 0.0)
    patch.setattr(language_models, "MOST_TOKENS", 12)
    yield
    patch.undo()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def small_mobile_sam():
    from edgevision.detectors.foundation.mobile_sam import MobileSam

    patch = pytest.MonkeyPatch()
    patch.setattr(MobileSam, "built", staticmethod(mobile_sam_network))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def shelf(tmp_path_factory, small_mobile_sam):
    return Shelf(tmp_path_factory.mktemp("foundation"))


@pytest.fixture(params=LOCAL)
def name(request):
    if request.param in OF_ULTRALYTICS:
        try:
            ultralytics_loader.need_ultralytics(request.param)
        except Exception as exc:
            pytest.skip(f"ultralytics cannot be imported here: {exc}")
    return request.param


# ---- the contract -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(96, 64), (64, 96), (33, 41)], ids=str)
def test_contract(name, shelf, size):
    detector = shelf.detector(name)
    picture = frame(*size) if size != (33, 41) else np.ascontiguousarray(frame(48, 48)[:41, :33])
    before = picture.copy()
    found = detector.detect(picture)
    again = detector.detect(picture)
    assert (picture == before).all()
    width, height = size
    boxes = found.boxes
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2] <= width).all() and (boxes[:, 3] <= height).all()
    assert (boxes[:, 2] > boxes[:, 0]).all() and (boxes[:, 3] > boxes[:, 1]).all()
    assert (found.scores >= detector.min_score).all() and (found.scores <= 1).all()
    assert (np.diff(found.scores) <= 0).all()
    assert ((found.class_ids >= 0) & (found.class_ids < max(1, len(detector.classes)))).all()
    assert (found.boxes == again.boxes).all() and (found.scores == again.scores).all()
    if foundation_kind(name) in ("boxes", "segments", "presence"):
        assert len(found), "the tiny network finds something, or the contract would hold of nothing"
    assert detector.name.startswith(f"foundation:{name}@")
    assert detector.mode and not detector.random_weights and "random" not in detector.mode


def test_min_score_is_honoured(name, shelf):
    detector = shelf.detector(name)
    everything = detector.detect(frame())
    if not len(everything):
        pytest.skip("gives no boxes")
    before = detector.min_score
    try:
        detector.min_score = float(np.median(everything.scores))
        fewer = detector.detect(frame())
        assert 0 < len(fewer) <= len(everything)
        assert (fewer.scores >= detector.min_score).all()
        detector.min_score = 1.0
        assert (detector.detect(frame()).scores >= 1).all()
    finally:
        detector.min_score = before


def test_what_is_no_frame_is_refused(name, shelf):
    detector = shelf.detector(name)
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(ModelFailed, match="expected \\(H, W, 3\\) uint8"):
            detector.detect(wrong)


def test_nothing_after_close(name, shelf):
    folder, _ = shelf.saved(name)
    with load_foundation(name, weights=str(folder), prompts=None if name in FIXED else PROMPTS) as detector:
        pass
    detector.close()
    with pytest.raises(ModelFailed, match="closed"):
        detector.detect(frame())


def test_random_weights_say_so_and_are_the_same_each_time(name, shelf, monkeypatch):
    target = _TABLE[name][1]
    module, _, attribute = target.partition(":")
    kind = getattr(sys.modules.get(module) or __import__(module, fromlist=[attribute]), attribute)
    folder, saved = shelf.saved(name)

    def build():
        network = copy.deepcopy(saved)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_(0, 0.1)
        return network

    monkeypatch.setattr(kind, "built", staticmethod(build))
    # The tiny network in place of the real one, and its picture size too.
    if hasattr(kind, "recipe"):
        monkeypatch.setattr(kind, "recipe", read_recipe(str(folder), name, kind.recipe))
    if hasattr(kind, "settings"):
        monkeypatch.setattr(kind, "settings", {**kind.settings, **processor_settings(str(folder), name)})
    one, two = (load_foundation(f"{name}@random", prompts=PROMPTS, min_score=0.0) for _ in range(2))
    assert one.random_weights and one.name == f"foundation:{name}@random"
    assert one.mode.endswith("random weights: latency only")
    if foundation_kind(name) in ("boxes", "presence"):
        assert one.classes == PROMPTS.classes
    left, right = one.detect(frame()), two.detect(frame())
    assert (left.boxes == right.boxes).all() and (left.scores == right.scores).all()
    if name in ASKED:
        assert one.answers.asked == one.answers.unparsable == 1, "random tokens are no answer"


# ---- real weights, when there are any ---------------------------------------------------------------------------


def answer(detector, name, picture):
    """What a network gives for a picture, as numbers that tell it from another."""
    if name in ASKED:
        return np.array(detector._generated(detector._inputs(picture)[0]))
    if foundation_kind(name) == "features":
        return detector.embed(picture)
    found = detector.detect(picture)
    return np.column_stack([found.boxes, found.scores, found.class_ids])


def same(left, right, atol=0.0):
    return left.shape == right.shape and np.allclose(left, right, rtol=0, atol=atol)


def test_a_checkpoint_gives_its_own_answers(name, shelf):
    """From a file, exactly the network that was saved: not another's answers, and not random ones."""
    detector, other = shelf.detector(name, 1), shelf.detector(name, 2)
    _, saved = shelf.saved(name, 1)
    mine, others = answer(detector, name, frame()), answer(other, name, frame())
    assert len(mine) and not same(mine, others)
    held = detector.network.state_dict()
    if name not in FIXED:  # theirs are folded together: their answers tell
        wanted = saved.state_dict()
        assert wanted.keys() == held.keys()
        assert all(torch.equal(wanted[key], held[key]) for key in wanted)
        changed = [k for k, v in other.network.state_dict().items() if not torch.equal(v, wanted[k])]
        assert changed
    transplant = copy.copy(other)
    transplant._network = copy.deepcopy(saved)
    if name in FIXED:
        tensor = transplant._prepared(frame(), _letterbox_of(frame()))
        with torch.inference_mode():
            raw, fused, foreign = (_first(n(tensor)) for n in (transplant._network, detector.network, other.network))
        assert torch.allclose(raw, fused, atol=2e-3)
        assert not torch.allclose(raw, foreign, atol=2e-3)
    elif name not in ("owlvit", "owlv2", "clip", "grounding-dino"):  # those remember their words: see the parity below
        assert same(answer(transplant, name, frame()), mine)


def _first(output):
    while isinstance(output, list | tuple):
        output = output[0]
    return output


def _letterbox_of(picture):
    from edgevision.detectors.foundation.yolo_world import _minimal

    return _minimal(picture.shape[1], picture.shape[0])


@pytest.mark.parametrize("name", ["owlvit", "owlv2"])
def test_owl_answers_as_its_library_does(name, shelf):
    transformers = pytest.importorskip("transformers")
    if name == "owlv2":
        pytest.importorskip("scipy", reason="OWLv2's own Pillow processor needs scipy")
    folder, network = shelf.saved(name)
    processor = getattr(transformers, {"owlvit": "OwlViTImageProcessorPil", "owlv2": "Owlv2ImageProcessorPil"}[name])
    processor = processor.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    picture = frame(96, 64)
    pixels = processor(images=picture[:, :, ::-1].copy(), return_tensors="pt")["pixel_values"]
    tokens = tokenizer(list(PROMPTS.flat), padding="max_length", max_length=16, return_tensors="pt")
    with torch.inference_mode():
        output = network(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], pixel_values=pixels)
        theirs = processor.post_process_object_detection(output, threshold=0.05, target_sizes=[(64, 96)])[0]
    _is_among(shelf.detector(name).detect(picture), theirs, lambda k: PROMPTS.class_ids[k], loose=name == "owlv2")


def test_grounding_dino_answers_as_its_library_does(shelf):
    from transformers import GroundingDinoImageProcessorPil

    folder, network = shelf.saved("grounding-dino")
    picture = frame(96, 64)
    inputs = GroundingDinoImageProcessorPil.from_pretrained(folder)(
        images=picture[:, :, ::-1].copy(), return_tensors="pt"
    )
    detector = shelf.detector("grounding-dino")
    with torch.inference_mode():
        output = network(pixel_values=inputs["pixel_values"], pixel_mask=inputs["pixel_mask"], input_ids=detector._ids)
    tokens = output.logits[0].sigmoid()
    spans = [tokens[:, a:b].amax(1) for a, b in detector._spans]
    best = torch.stack(spans, 1)
    from transformers.image_transforms import center_to_corners_format

    boxes = center_to_corners_format(output.pred_boxes[0]) * torch.tensor([96, 64, 96, 64])
    theirs = {"boxes": boxes, "scores": best.amax(1), "labels": best.argmax(1)}
    _is_among(detector.detect(picture), theirs, lambda k: PROMPTS.class_ids[k])
    # Each phrase between full stops, after [CLS]: "a person" is two tokens.
    assert [b - a for a, b in detector._spans] == [2, 2, 3]
    assert detector._ids[0, 0] == 101 and detector._ids[0, -1] == 102
    assert all(detector._ids[0, b] == 1012 for _, b in detector._spans)


def _is_among(ours, theirs, class_of, loose=False):
    """Each of our boxes is one of theirs, the best is the best, and what is missing is a duplicate."""
    boxes = theirs["boxes"].numpy().clip(0)
    boxes = np.minimum(boxes, [96, 64, 96, 64])
    scores, labels = theirs["scores"].numpy(), theirs["labels"].numpy()
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    boxes, scores, labels = boxes[inside], scores[inside], labels[inside]
    atol = 0.05 if loose else 2e-4
    assert len(ours)
    for box, score, class_id in zip(ours.boxes, ours.scores, ours.class_ids, strict=True):
        match = np.flatnonzero(np.abs(scores - score) < atol)
        near = np.abs(boxes[match] - box).max(1) < (3 if loose else 0.05)
        assert near.any(), (box, score)
        assert class_id in {class_of(labels[m]) for m in match[near]}
    assert abs(scores.max() - ours.scores.max()) < atol
    covered = iou(boxes.astype(np.float32), ours.boxes).max(1)
    if not loose:
        assert (covered[scores >= 0.0501] > 0.69).all()


def test_clip_features_and_presence_are_the_librarys(shelf):
    from transformers import AutoTokenizer, CLIPImageProcessorPil

    folder, network = shelf.saved("clip")
    detector, picture = shelf.detector("clip"), frame(96, 64)
    pixels = CLIPImageProcessorPil.from_pretrained(folder)(images=picture[:, :, ::-1].copy(), return_tensors="pt")
    tokens = AutoTokenizer.from_pretrained(folder)(
        ["a hard hat"], padding="max_length", max_length=16, return_tensors="pt"
    )
    with torch.inference_mode():
        output = network(**pixels, input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
    vectors = detector.embed([picture, picture[:, :40]])
    assert vectors.shape == (2, 24) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors[0], output.image_embeds[0].numpy(), atol=1e-4)
    assert np.allclose(detector._words[1].numpy(), output.text_embeds[0].numpy(), atol=1e-5)
    # Presence is that similarity, against what is neutral.
    logits = detector._scale * (vectors[0] @ np.concatenate([detector._words, detector._neutral]).T)
    expected = 1 / (1 + np.exp(logits[2] - logits[:2]))
    assert np.allclose(detector.presence(picture), expected, atol=1e-5)
    found = detector.detect(picture)
    assert (found.boxes == [0, 0, 96, 64]).all()
    assert np.allclose(np.sort(found.scores), np.sort(expected), atol=1e-5)


def test_clip_classifies_given_boxes(shelf):
    detector, picture = shelf.detector("clip"), frame(96, 64)
    boxes = np.array([[0, 0, 40, 60], [50, 4, 96, 64], [-9, -9, 500, 500], [20, 20, 20, 20]], np.float32)
    shares = detector.classify(picture, boxes)
    assert shares.shape == (4, 2) and (shares >= 0).all() and (shares.sum(1) < 1).all()
    alone = detector.classify(np.ascontiguousarray(picture[:60, :40]), np.array([[0, 0, 40, 60]], np.float32))
    assert np.allclose(shares[0], alone[0], atol=1e-5), "a region is what its own pixels are"
    assert not np.allclose(shares[0], shares[1])
    assert detector.classify(picture, np.zeros((0, 4), np.float32)).shape == (0, 2)


@pytest.mark.parametrize("name", ["dinov2", "dinov3"])
def test_features_of_pictures(name, shelf):
    _, network = shelf.saved(name)
    detector = shelf.detector(name)
    pictures = [frame(96, 64, seed) for seed in range(3)]
    vectors = detector.embed(pictures)
    assert vectors.shape == (3, 32) and vectors.dtype == np.float32
    assert np.allclose(vectors[1], detector.embed(pictures[1])[0], atol=1e-5)
    assert detector.embed([]).shape == (0, 32)
    with torch.inference_mode():
        own = network(pixel_values=detector._recipe.tensor(pictures[2], torch.device("cpu"))).pooler_output[0]
    assert np.allclose(vectors[2], (own / own.norm()).numpy(), atol=1e-5)
    assert detector.classes == () and "no boxes" in detector.mode and not len(detector.detect(pictures[0]))


# ---- language models --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says", "boxes"),
    [
        ("smolvlm", '[{"class": "helmet", "box": [0, 500, 500, 1000]}]', [[0, 32, 48, 64]]),
        ("qwen-vl", '[{"label": "a worker", "bbox_2d": [250, 0, 1000, 1000]}]', [[24, 0, 96, 64]]),
        ("qwen-vl", "[]", []),
        ("smolvlm", "There is a person.", None),
        ("smolvlm", '[{"class": "dog", "box": [0, 0, 10, 10]}]', None),
    ],
)
def test_an_answer_in_words_becomes_boxes(name, says, boxes, tmp_path, monkeypatch):
    """A checkpoint that says one thing, whatever it is shown: through tokenizer, template, network and parser."""
    monkeypatch.setattr(language_models, "MOST_TOKENS", 1)
    network = SAVERS[name](tmp_path, 3)
    # A last norm of nothing makes every next token equally likely, and the first of them is taken.
    with torch.no_grad():
        network.get_decoder().norm.weight.zero_()
    network.save_pretrained(tmp_path)
    marks = {
        "smolvlm": {1: "<|im_start|>", 92: "<image>", 93: "<fake_token_around_image>", 94: "<global-img>"},
        "qwen-vl": {1: "<|im_start|>", 92: "<|image_pad|>", 93: "<|vision_start|>", 94: "<|vision_end|>"},
    }
    save_tokenizer(tmp_path, {0: says, **marks[name], 95: "<|im_end|>" if name == "qwen-vl" else "<end_of_utterance>"})
    detector = load_foundation(name, weights=str(tmp_path), prompts=PROMPTS)
    found = detector.detect(frame(96, 64))
    tally = detector.answers
    if boxes is None:
        assert not len(found) and (tally.asked, tally.answered, tally.unparsable) == (1, 0, 1)
        assert "1 unparsable" in detector.account
    else:
        assert found.boxes.tolist() == boxes and (tally.answered, tally.unparsable) == (1, 0)
        assert (found.scores == 1).all()


def test_florence_answers_with_locations(tmp_path, monkeypatch):
    monkeypatch.setattr(language_models, "MOST_TOKENS", 1)
    network = SAVERS["florence2"](tmp_path, 3)
    with torch.no_grad():
        network.model.language_model.shared.weight.zero_()  # tied to the head: every token alike
    network.generation_config.forced_eos_token_id = None
    network.save_pretrained(tmp_path)
    says = "a hard hat<loc_0><loc_499><loc_499><loc_999>"
    save_tokenizer(tmp_path, {0: says, 1: "<pad>", 2: "</s>", 1099: "<image>"}, size=1100)
    detector = load_foundation("florence2", weights=str(tmp_path), prompts=PROMPTS)
    found = detector.detect(frame(96, 64))
    assert (detector.answers.answered, detector.answers.unparsable) == (1, 0), detector.answers
    assert found.class_ids.tolist() == [1]
    assert np.allclose(found.boxes, [[0.048, 31.968, 47.952, 63.968]], atol=1e-3)


def test_florence_is_asked_for_boxes_only():
    with pytest.raises(UsageError, match="ask it for boxes"):
        load_foundation("florence2", weights="random", ask="presence")


# ---- loading, and what goes wrong with it -----------------------------------------------------------------------


def test_half_a_checkpoint_is_refused(shelf, tmp_path):
    """transformers would fill the gaps with random numbers and warn."""
    from safetensors.torch import load_file, save_file

    folder, _ = shelf.saved("owlvit")
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(tmp_path / "model.safetensors")
    gone = next(k for k in tensors if "box_head" in k)
    del tensors[gone]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelInvalid, match=r"1 of its weights are missing.*box_head"):
        load_foundation("owlvit", weights=str(tmp_path))


@pytest.mark.parametrize(("name", "of"), [("owlvit", "clip"), ("sam", "dinov2"), ("dinov2", "owlvit")])
def test_another_models_checkpoint_is_refused(name, of, shelf):
    folder, _ = shelf.saved(of)
    with pytest.raises(ModelInvalid) as told:
        load_foundation(name, weights=str(folder), prompts=PROMPTS)
    assert "\n" not in str(told.value)


def test_a_damaged_checkpoint_is_refused(shelf, tmp_path):
    folder, _ = shelf.saved("dinov2")
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(ModelInvalid, match="cannot be loaded as DINOv2"):
        load_foundation("dinov2", weights=str(tmp_path))


def test_no_such_folder():
    with pytest.raises(ModelNotFound, match="no such folder"):
        load_foundation("owlvit", weights="/nowhere/at/all")


def test_offline_says_what_to_do():
    """In a process of its own: the hub's library reads its settings once."""
    code = (
        "from edgevision.detectors.foundation import load_foundation\n"
        "from edgevision.errors import ModelNotFound\n"
        "try: load_foundation('owlvit')\n"
        "except ModelNotFound as exc: print(exc)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**_environment(), "HF_HUB_OFFLINE": "1", "HF_HOME": "/nonexistent-home-of-no-models"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 1, done
    assert "google/owlvit-base-patch32" in lines[0] and "--weights random" in lines[0]


def _environment():
    import os

    return {k: v for k, v in os.environ.items() if not k.startswith("HF_")}


@pytest.mark.parametrize("name", sorted(FIXED))
def test_prompts_without_a_text_encoder(name, shelf):
    pytest.importorskip("ultralytics")
    folder, _ = shelf.saved(name)
    with pytest.raises(ModelNotFound, match="its text encoder cannot be had"):
        load_foundation(name, weights=str(folder), prompts=PROMPTS)


def test_a_pickle_with_code_in_it_is_not_run(tmp_path):
    pytest.importorskip("ultralytics")

    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"model": Payload()}, tmp_path / "bad.pt")
    for name in ("yoloe", "mobilesam"):
        with pytest.raises(ModelInvalid):
            load_foundation(name, weights=str(tmp_path / "bad.pt"))
    assert not (tmp_path / "ran").exists()


def test_the_yolo_checkpoints_own_classes(shelf):
    pytest.importorskip("ultralytics")
    assert shelf.detector("yoloe").classes == shelf.detector("yolo-world").classes == ("person", "helmet")


def test_a_device_that_is_not_there(shelf):
    folder, _ = shelf.saved("dinov2")
    with pytest.raises(UsageError, match="expected auto, cpu"):
        load_foundation("dinov2", weights=str(folder), device="toaster")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="has no 'cuda:3'"):
            load_foundation("dinov2", weights=str(folder), device="cuda:3")


def test_threads_are_given_back(shelf):
    folder, _ = shelf.saved("dinov2")
    detector = load_foundation("dinov2", weights=str(folder), threads=2)
    before = torch.get_num_threads()
    seen = []
    detector._features = lambda batch, real=detector._features: seen.append(torch.get_num_threads()) or real(batch)
    detector.detect(frame())
    assert seen == [2] and torch.get_num_threads() == before


# ---- the full-size networks -------------------------------------------------------------------------------------

MILLIONS = {
    # As their authors count them; SAM 2 without the memory of its video part, which a still picture does not pass.
    "owlvit": 153.2,
    "owlv2": 155.0,
    "grounding-dino": 172.2,
    "yolo-world": 12.8,
    "sam": 93.7,
    "sam2": 31.4,
    "clip": 151.3,
    "dinov2": 22.1,
    "dinov3": 21.6,
    "smolvlm": 256.5,
    "florence2": 236.2,
    "qwen-vl": 2127.5,
}


@pytest.mark.parametrize("name", sorted(MILLIONS))
def test_random_weights_have_the_real_size(name):
    """So that their latency is the real one's. On torch's meta device: counted, not allocated."""
    if name in OF_ULTRALYTICS:
        pytest.importorskip("ultralytics")
    module, _, attribute = _TABLE[name][1].partition(":")
    kind = getattr(__import__(module, fromlist=[attribute]), attribute)
    with torch.device("meta"):
        network = kind.built()
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(MILLIONS[name], abs=0.1)


# ---- everything mode --------------------------------------------------------------------------------------------


def test_everything_mode_finds_what_is_there(monkeypatch):
    """A decoder that knows the picture: a mask for the thing under each point, and an unsteady one beside it."""
    monkeypatch.setattr(everything_mode, "POINTS_A_SIDE", 8)
    monkeypatch.setattr(everything_mode, "MIN_STABILITY", 0.95)
    things = np.array([[8, 8, 40, 56], [70, 20, 120, 60]], np.float32)  # in a 128×128 input, the frame 128×64 of it
    rows, columns = torch.meshgrid(torch.arange(32) * 4 + 2, torch.arange(32) * 4 + 2, indexing="ij")

    def decode(points):
        logits = torch.full((len(points), 2, 32, 32), -10.0)
        ratings = torch.zeros(len(points), 2)
        for k, (x, y) in enumerate(points.tolist()):
            for x1, y1, x2, y2 in things.tolist():
                if x1 <= x < x2 and y1 <= y < y2:
                    inside = (columns >= x1) & (columns < x2) & (rows >= y1) & (rows < y2)
                    logits[k, 0][inside] = 10.0
                    ratings[k, 0] = 0.95
            logits[k, 1] = torch.where(columns < x, 0.5, -0.5)
            ratings[k, 1] = 0.99
        return logits, ratings

    placed = Placed((256, 128), (128, 64), (128, 128))
    found = segment_everything(decode, placed, torch.device("cpu"), 0.88)
    order = np.argsort(found.boxes[:, 0])
    assert len(found.boxes) == 2, "one box a thing: duplicates and unsteady masks are gone"
    assert np.abs(found.boxes[order] - things * 2).max() <= 8, "to within a mask's cell"
    assert np.allclose(found.scores, 0.95)
