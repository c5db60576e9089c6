"""Our own picture steps give what the libraries' processors give, where those run without torchvision."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra foundation (torch, transformers)")
pytest.importorskip("transformers", reason="needs the extra foundation (torch, transformers)")
import torch
import transformers

from edgevision.detectors.foundation import image_processor
from edgevision.detectors.foundation.clip import Clip
from edgevision.detectors.foundation.dino import DinoV2, DinoV3
from edgevision.detectors.foundation.florence2 import Florence2
from edgevision.detectors.foundation.grounding_dino import GroundingDino
from edgevision.detectors.foundation.image_processor import Fit, Recipe, recipe_from
from edgevision.detectors.foundation.owl import OwlV2, OwlVit
from edgevision.detectors.foundation.qwen_vl import QwenVl, fitted, patches
from edgevision.detectors.foundation.sam import Sam, Sam2
from edgevision.errors import ModelInvalid

pytestmark = pytest.mark.extra

CPU = torch.device("cpu")
SIZES = [(320, 180), (180, 320), (200, 200), (333, 127), (1000, 300), (60, 50)]


def picture(width, height):
    """Smooth, with edges and noise: what resizing differs on."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(width * 1000 + height)
    layers = [127 + 100 * np.sin(x / 9 + k) * np.cos(y / 7) for k in range(3)]
    made = np.stack(layers, 2) + rng.normal(0, 12, (height, width, 3))
    made[height // 4 : height // 2, width // 3 : width // 2] = (20, 200, 240)
    return np.clip(made, 0, 255).astype(np.uint8)


def theirs(processor, pixels, **options):
    rgb = np.ascontiguousarray(pixels[:, :, ::-1])
    return processor(images=rgb, return_tensors="pt", **options)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("recipe", "processor", "settings"),
    [
        (OwlVit.recipe, "OwlViTImageProcessorPil", {}),
        (GroundingDino.recipe, "GroundingDinoImageProcessorPil", {}),
        (Sam.recipe, "SamImageProcessorPil", {}),
        (Clip.recipe, "CLIPImageProcessorPil", {}),
        (DinoV2.recipe, "BitImageProcessorPil", {"size": {"shortest_edge": 256}, "mean": "imagenet"}),
        (Florence2.recipe, "CLIPImageProcessorPil", {"size": (768, 768), "crop": False, "mean": "imagenet"}),
    ],
    ids=["owlvit", "grounding-dino", "sam", "clip", "dinov2", "florence2"],
)
def test_pixels_are_the_librarys(recipe, processor, settings, size):
    made = {}
    if settings.get("mean"):
        made = {"image_mean": list(image_processor.IMAGENET_MEAN), "image_std": list(image_processor.IMAGENET_STD)}
    if "size" in settings:
        given = settings["size"]
        made["size"] = given if isinstance(given, dict) else {"height": given[1], "width": given[0]}
    if settings.get("crop") is False:
        made["do_center_crop"] = False
    pixels = picture(*size)
    expected = theirs(getattr(transformers, processor)(**made), pixels)["pixel_values"]
    got = recipe.tensor(pixels, CPU)
    assert got.shape == expected.shape and got.dtype == torch.float32
    assert torch.allclose(got, expected.float(), atol=2e-5)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_owlv2_is_near_its_slow_processor(size):
    """That one resizes by scipy with a Gaussian, as the authors did; the default one by torch, as we do."""
    pytest.importorskip("scipy", reason="OWLv2's own Pillow processor needs scipy")
    pixels = picture(*size)
    expected = theirs(transformers.Owlv2ImageProcessorPil(), pixels)["pixel_values"]
    got = OwlV2.recipe.tensor(pixels, CPU)
    assert got.shape == expected.shape
    assert (got - expected).abs().mean() < 0.03


@pytest.mark.parametrize("recipe", [OwlV2.recipe, DinoV3.recipe], ids=["owlv2", "dinov3"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_in_floats_as_torch_resizes(recipe, size):
    """What their default processors do through torchvision, which resizes by this same function."""
    pixels = picture(*size)
    rgb = torch.from_numpy(np.ascontiguousarray(pixels[:, :, ::-1])).permute(2, 0, 1)[None] / 255
    if recipe.fit is Fit.PAD_THEN_STRETCH:
        square = torch.zeros(1, 3, max(size), max(size))
        square[:, :, : size[1], : size[0]] = rgb
        rgb = square
    side = (recipe.height_px, recipe.width_px)
    resized = torch.nn.functional.interpolate(rgb, side, mode="bilinear", align_corners=False, antialias=True)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (recipe.mean, recipe.std))
    assert torch.allclose(recipe.tensor(pixels, CPU), (resized - mean) / std, atol=1e-5)


def test_smolvlms_tile():
    """A square frame: of any other the library makes two steps of what is one step here."""
    processor = transformers.SmolVLMImageProcessorPil(
        max_image_size={"longest_edge": 512}, size={"longest_edge": 512}, do_image_splitting=False
    )
    pixels = picture(300, 300)
    expected = theirs(processor, pixels)["pixel_values"][0]
    recipe = Recipe(Fit.STRETCH, 512, 512, image_processor.HALF, image_processor.HALF, image_processor.LANCZOS)
    assert torch.allclose(recipe.tensor(pixels, CPU), expected.float(), atol=2e-5)


@pytest.mark.parametrize("size", [*SIZES, (1920, 1080), (29, 5000)], ids=str)
def test_qwens_patches(size):
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    limits = (56 * 56, 28 * 28 * 256)
    width, height = fitted(*size, 28, *limits)
    assert (height, width) == tuple(smart_resize(size[1], size[0], 28, *limits))
    if size[0] > 1500 or size[1] > 1500:
        return
    processor = transformers.Qwen2VLImageProcessorPil(size={"shortest_edge": limits[0], "longest_edge": limits[1]})
    pixels = picture(*size)
    expected = theirs(processor, pixels)
    assert expected["image_grid_thw"].tolist() == [[1, height // 14, width // 14]]
    recipe = Recipe(
        Fit.STRETCH, width, height, image_processor.CLIP_MEAN, image_processor.CLIP_STD, image_processor.BICUBIC
    )
    got = patches(recipe.tensor(pixels, CPU)[0], 14, 2, 2)
    assert torch.allclose(got, expected["pixel_values"].float(), atol=2e-5)
    assert QwenVl.title


def test_sam2_is_the_frame_stretched():
    assert Sam2.recipe.tensor(picture(320, 180), CPU).shape == (1, 3, 1024, 1024)


def test_a_recipe_is_read_from_the_checkpoint():
    told = {
        "size": {"shortest_edge": 64},
        "crop_size": {"height": 48, "width": 40},
        "image_mean": [0, 0, 0],
        "image_std": [1, 1, 1],
        "resample": 2,
    }
    recipe = recipe_from(told, Clip.recipe, "here")
    assert recipe.tensor(picture(200, 100), CPU).shape == (1, 3, 48, 40)
    assert recipe.resample == 2 and recipe.mean == (0.0, 0.0, 0.0)
    assert recipe_from({}, Clip.recipe, "here") == Clip.recipe
    assert recipe_from({"size": 96, "crop_size": 96}, Clip.recipe, "here").crop_wh == (96, 96)
    assert recipe_from({"size": {"longest_edge": 512}}, Sam.recipe, "here").side_px == 512
    bounded = recipe_from({"size": {"shortest_edge": 400, "longest_edge": 666}}, GroundingDino.recipe, "here")
    assert (bounded.side_px, bounded.most_px) == (400, 666)


@pytest.mark.parametrize(
    "told",
    [
        {"size": {"max_pixels": 4}},
        {"size": "large"},
        {"rescale_factor": 1.0},
        {"do_normalize": False},
        {"image_mean": ["a", "b", "c"]},
        {"crop_size": {"height": 3}},
    ],
    ids=str,
)
def test_a_recipe_that_cannot_be_followed_is_refused(told):
    with pytest.raises(ModelInvalid, match="cannot be followed here"):
        recipe_from(told, OwlVit.recipe if "crop_size" not in told else Clip.recipe, "here")
