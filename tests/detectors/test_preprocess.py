"""Preprocessing against references written out plainly: what a model is fed must be exactly its recipe."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.detectors.manifest import InputRecipe, Resize
from edgevision.detectors.preprocess import Letterbox, Preprocessor

SIZES = [(1280, 720), (640, 480), (480, 640), (320, 320), (333, 127), (64, 48), (1, 1)]


def picture(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)


def reference(pixels, recipe):
    """The recipe, step by step, each on a fresh array."""
    h, w = pixels.shape[:2]
    if recipe.resize is Resize.STRETCH:
        canvas = cv2.resize(pixels, (recipe.width_px, recipe.height_px), interpolation=cv2.INTER_LINEAR)
    else:
        scale = min(recipe.width_px / w, recipe.height_px / h)
        nw, nh = max(1, round(w * scale)), max(1, round(h * scale))
        small = cv2.resize(pixels, (nw, nh), interpolation=cv2.INTER_LINEAR)
        dw, dh = recipe.width_px - nw, recipe.height_px - nh
        if recipe.resize is Resize.LETTERBOX:  # as Ultralytics' LetterBox does it
            left, top = round(dw / 2 - 0.1), round(dh / 2 - 0.1)
        else:
            left = top = 0
        canvas = cv2.copyMakeBorder(
            small, top, dh - top, left, dw - left, cv2.BORDER_CONSTANT, value=(recipe.pad_value,) * 3
        )
    if recipe.channel_order == "rgb":
        canvas = canvas[:, :, ::-1]
    if recipe.dtype == "uint8":
        out = canvas.copy()
    else:
        out = ((canvas.astype(np.float64) - recipe.mean) / recipe.std).astype(recipe.dtype)
    return (out if recipe.layout == "nhwc" else out.transpose(2, 0, 1))[None]


RECIPES = [
    InputRecipe(width_px=320, height_px=320, std=(255, 255, 255)),
    InputRecipe(width_px=416, height_px=416, resize=Resize.LETTERBOX_TOP_LEFT, channel_order="bgr"),
    InputRecipe(width_px=320, height_px=240, resize=Resize.STRETCH, mean=(127, 127, 127), std=(128, 128, 128)),
    InputRecipe(width_px=416, height_px=416, resize=Resize.STRETCH, mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4)),
    InputRecipe(width_px=320, height_px=320, dtype="uint8", layout="nhwc"),
    InputRecipe(width_px=320, height_px=256, dtype="uint8", layout="nhwc", channel_order="bgr", pad_value=0),
    InputRecipe(width_px=320, height_px=320, dtype="uint8", layout="nchw"),
    InputRecipe(width_px=320, height_px=320, dtype="float16", std=(255, 255, 255)),
    InputRecipe(width_px=96, height_px=160, dtype="float32", layout="nhwc", mean=(1, 2, 3), std=(4, 5, 6)),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: f"{r.resize}-{r.channel_order}-{r.layout}-{r.dtype}")
@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_tensor_is_the_recipe(recipe, size):
    pixels = picture(size)
    before = pixels.copy()
    prepared = Preprocessor(recipe).prepare(pixels)
    expected = reference(pixels, recipe)
    assert prepared.tensor.shape == expected.shape
    assert prepared.tensor.dtype == expected.dtype
    np.testing.assert_allclose(prepared.tensor, expected, rtol=0, atol=2e-3 if recipe.dtype == "float16" else 2e-5)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: f"{r.resize}-{r.channel_order}-{r.layout}-{r.dtype}")
def test_buffers_used_again_carry_nothing_over(recipe):
    """A stream that changes size must not leave the old picture in the padding."""
    preprocessor = Preprocessor(recipe)
    for seed, size in enumerate([(640, 480), (640, 480), (480, 640), (1280, 720), (640, 480)]):
        prepared = preprocessor.prepare(picture(size, seed))
        np.testing.assert_allclose(prepared.tensor, reference(picture(size, seed), recipe), rtol=0, atol=2e-3)
        preprocessor.give_back(prepared)


def test_two_at_once_do_not_share_a_buffer():
    preprocessor = Preprocessor(RECIPES[4])
    first = preprocessor.prepare(picture((640, 480), 1))
    kept = first.tensor.copy()
    second = preprocessor.prepare(picture((640, 480), 2))
    assert not np.shares_memory(first.tensor, second.tensor)
    np.testing.assert_array_equal(first.tensor, kept)


def to_input(letterbox, boxes):
    """Boxes (N, 4) xyxy from frame pixels to input pixels: the way back of `to_frame`."""
    pad = np.array([letterbox.pad_left_px, letterbox.pad_top_px] * 2, np.float32)
    return boxes * np.array(letterbox.scale_xy * 2, np.float32) + pad


@settings(max_examples=200, deadline=None)
@given(
    st.integers(16, 2000),
    st.integers(16, 2000),
    st.sampled_from(list(Resize)),
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
)
def test_boxes_come_back(width, height, resize, corners):
    box = Letterbox.fit((width, height), (320, 256), resize)
    x1, x2 = sorted((corners[0] * width, corners[2] * width))
    y1, y2 = sorted((corners[1] * height, corners[3] * height))
    boxes = np.array([[x1, y1, x2, y2]], np.float32)
    np.testing.assert_allclose(box.to_frame(to_input(box, boxes)), boxes, atol=max(width, height) * 1e-4)


def test_boxes_in_the_padding_are_cut_off():
    box = Letterbox.fit((640, 360), (320, 320), Resize.LETTERBOX)
    got = box.to_frame(np.array([[0, 0, 320, 320]], np.float32))
    np.testing.assert_array_equal(got, [[0, 0, 640, 360]])


def test_where_a_marked_pixel_lands():
    """The geometry says where a picture point lies in the input; the pixels must agree."""
    pixels = np.zeros((480, 640, 3), np.uint8)
    pixels[200:240, 400:440] = 255
    for resize in Resize:
        recipe = InputRecipe(width_px=160, height_px=96, resize=resize, dtype="uint8", layout="nhwc", pad_value=0)
        prepared = Preprocessor(recipe).prepare(pixels)
        ys, xs = np.nonzero(prepared.tensor[0, :, :, 0] > 127)
        expected = to_input(prepared.letterbox, np.array([[400, 200, 440, 240]], np.float32))[0]
        np.testing.assert_allclose([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], expected, atol=1.01)
