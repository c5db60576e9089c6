"""What family a graph is of, how it is fed and what its classes are: from what it says, shows, and its owner says.

Metadata goes first, then names and shapes; what the owner says overrules both. What cannot be settled is asked for by
name, with the flag that settles it, and never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevision.detectors.coco_classes import coco_names
from edgevision.detectors.decoders import (
    FAMILIES,
    Graph,
    Guess,
    family_named,
    guesses,
    recognise,
    standard_recipe,
    standard_thresholds,
)
from edgevision.detectors.manifest import Manifest, manifest_from
from edgevision.detectors.onnx_session import TensorInfo
from edgevision.errors import ModelInvalid, UsageError
from edgevision.regular_file import read_regular_text

RunOnce = Callable[[tuple[int, ...]], tuple[TensorInfo, ...]]
"""Runs the graph on noise of a shape, and gives the outputs with no dimension left open."""


@dataclass(frozen=True, slots=True)
class AddOptions:
    """What the caller says about a file; all of it may be left out."""

    name: str | None = None
    version: str = "1"
    family: str | None = None
    classes: str | None = None
    """``coco``, a text file with a name a line, or names with commas between."""
    input: str = ""
    """How it is to be fed; see `parse_input`."""
    licence: str | None = None
    front: bool = True
    """Put normalisation and layout inside the graph."""
    replace: bool = False


def parse_input(text: str, channel_order: str = "rgb") -> dict[str, Any]:
    """``"416x320 bgr stretch imagenet"`` to values of the manifest's [input]. Raises `UsageError`.

    ``channel_order`` is the order where the text names none.

    Words in any order, spaces or commas between: a size in px (``416`` or ``416x320``, width first), ``rgb`` or
    ``bgr``, ``letterbox``, ``letterbox-top-left`` or ``stretch``, ``0-1``, ``0-255``, ``-1-1`` or ``imagenet``,
    ``nchw`` or ``nhwc``, ``mean=a/b/c``, ``std=a/b/c``, ``pad=N``.
    """
    values: dict[str, Any] = {}
    imagenet = False
    for word in filter(None, re.split(r"[,\s]+", text.lower())):
        if match := re.fullmatch(r"(\d+)(?:[x×](\d+))?", word):
            values["width_px"], values["height_px"] = int(match[1]), int(match[2] or match[1])
        elif word in ("rgb", "bgr"):
            values["channel_order"] = word
        elif word in ("letterbox", "letterbox-top-left", "stretch"):
            values["resize"] = word
        elif word in ("nchw", "nhwc"):
            values["layout"] = word
        elif word in ("0-1", "0-255", "-1-1"):
            mean, std = {"0-1": (0.0, 255.0), "0-255": (0.0, 1.0), "-1-1": (127.5, 127.5)}[word]
            values["mean"], values["std"] = (mean,) * 3, (std,) * 3
        elif word == "imagenet":
            imagenet = True
        elif match := re.fullmatch(r"(mean|std)=([\d.]+)/([\d.]+)/([\d.]+)", word):
            values[match[1]] = tuple(float(match[k]) for k in (2, 3, 4))
        elif match := re.fullmatch(r"pad=(\d+)", word):
            values["pad_value"] = int(match[1])
        else:
            raise UsageError(
                f"--input: expected a size such as 416x320, rgb|bgr, letterbox|letterbox-top-left|stretch, "
                f"0-1|0-255|-1-1|imagenet, nchw|nhwc, mean=a/b/c, std=a/b/c or pad=N, got {word!r}"
            )
    if imagenet:
        turn = slice(None, None, -1 if values.get("channel_order", channel_order) == "bgr" else 1)
        values["mean"], values["std"] = IMAGENET_MEAN[turn], IMAGENET_STD[turn]
    return values


IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of red, green and blue, in 0-255."""


def settle(graph: Graph, run_once: RunOnce, wish: AddOptions, name: str) -> tuple[Manifest, tuple[str, ...]]:
    """The manifest of a graph, and from what it was concluded. Raises `ModelInvalid` and `UsageError`."""
    where = graph.where
    feed = feeding(graph, parse_input(wish.input))
    wished = None if wish.family is None else family_named(wish.family, where)
    told = recognise(graph) if wished is None or wished.startswith("ultralytics") else None
    sides = (feed["height_px"], feed["width_px"])
    shape = (1, 3, *sides) if feed["layout"] == "nchw" else (1, *sides, 3)
    _ask_for_classes(graph, feed, wish, wished, told)
    outputs = run_once(shape)
    found = guesses(outputs, (feed["width_px"], feed["height_px"]))
    if told is not None and wished in (None, "ultralytics", told["family"]):
        family, recipe = told["family"], dict(told["input"])
        why = "by the metadata of an Ultralytics export"
    elif wished is not None:
        family, why, recipe = wished, "as you said", dict(standard_recipe(wished, outputs, where))
    else:
        family, why = _only(_with_classes(found, wish.classes), graph, outputs)
        recipe = dict(standard_recipe(family, outputs, where))
    notes = [f"family {family}: {why}"]
    classes, class_note = _classes(where, wish.classes, told, found.get(family), family, outputs)
    notes.append(class_note)
    if told is not None and "note" in told:
        notes.append(told["note"])
    values = {**recipe, **feed, **parse_input(wish.input, recipe.get("channel_order", "rgb"))}
    if feed["dtype"] == "uint8":
        values = {k: v for k, v in values.items() if k not in ("mean", "std")}
    manifest = manifest_from(
        {
            "name": name,
            "version": wish.version,
            "family": family,
            "classes": classes,
            "licence": wish.licence or (told or {}).get("licence", "unknown"),
            "input": values,
            "thresholds": standard_thresholds(family, where),
        },
        where,
    )
    notes.append(f"input {manifest.input.in_words}: " + ("as you said" if wish.input else f"what {family} takes"))
    return manifest, tuple(notes)


def _ask_for_classes(
    graph: Graph, feed: Mapping[str, Any], wish: AddOptions, wished: str | None, told: Mapping[str, Any] | None
) -> None:
    """Raises `ModelInvalid` before the model is run, where its declared outputs tell that --classes is needed."""
    if told is not None or wish.classes is not None or any(None in o.shape for o in graph.outputs):
        return
    found = guesses(graph.outputs, (feed["width_px"], feed["height_px"]))
    try:
        family = wished or _only(_with_classes(found, None), graph, graph.outputs)[0]
    except ModelInvalid:
        return  # what comes out may tell more
    _classes(graph.where, None, None, found.get(family), family, graph.outputs)


@dataclass(frozen=True, slots=True)
class _OneInput:
    """A graph, seen without those of its inputs that are no picture."""

    where: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    metadata: Mapping[str, str]


def size_input(graph: Graph, wish: AddOptions) -> tuple[str, int, int] | None:
    """The input by which RT-DETR's and D-FINE's own exports are told the picture's width and height, and what to tell.

    Told the input's own size, they give boxes in its pixels, as every other head does. None where there is no such
    input. Raises `ModelInvalid` where no camera frame can feed the other one.
    """
    sizes = [i for i in graph.inputs if i.name == "orig_target_sizes" and i.dtype == "int64" and i.shape[-1] == 2]
    if len(graph.inputs) != 2 or len(sizes) != 1:
        return None
    picture = tuple(i for i in graph.inputs if i is not sizes[0])
    feed = feeding(_OneInput(graph.where, picture, graph.outputs, graph.metadata), parse_input(wish.input))
    return sizes[0].name, feed["width_px"], feed["height_px"]


def feeding(graph: Graph, wished: Mapping[str, Any]) -> dict[str, Any]:
    """Name, size, layout and type of the one input that a camera frame can feed. Raises `ModelInvalid`."""
    where = graph.where
    if len(graph.inputs) != 1:
        got = "; ".join(map(str, graph.inputs)) or "none"
        raise ModelInvalid(
            f"{where}: expected one input, for the picture, got {got}; export it without its post-processing"
        )
    info = graph.inputs[0]
    refused = ModelInvalid(
        f"{where}: no camera frame can feed its input {info}: expected 1×3×height×width or 1×height×width×3 of "
        "float32, float16 or uint8"
    )
    shape = info.shape
    if len(shape) != 4 or info.dtype not in ("float32", "float16", "uint8"):
        raise refused
    layouts = [k for k, axis in (("nchw", 1), ("nhwc", 3)) if shape[axis] in (3, None)]
    # Where an open axis leaves both possible, the one that is 3 for certain decides.
    certain = [k for k, axis in (("nchw", 1), ("nhwc", 3)) if shape[axis] == 3]
    layouts = [wished["layout"]] if wished.get("layout") in layouts else certain or layouts
    if not layouts:
        raise refused
    if shape[0] not in (1, None):
        raise ModelInvalid(f"{where}: takes {shape[0]} pictures at once, expected 1; export it with batch size 1")
    height, width = shape[2:4] if layouts[0] == "nchw" else shape[1:3]
    open_size = height is None or width is None
    height = height or wished.get("height_px") or _metadata_side(graph, 0)
    width = width or wished.get("width_px") or _metadata_side(graph, 1)
    if height is None or width is None:
        raise ModelInvalid(f"{where}: leaves its input size open ({info}); say one, as in --input 640x640")
    if (wished.get("height_px", height), wished.get("width_px", width)) != (height, width) and not open_size:
        raise ModelInvalid(
            f"{where}: takes {width}×{height} px only, got --input {wished['width_px']}x{wished['height_px']}"
        )
    return {"name": info.name, "width_px": width, "height_px": height, "layout": layouts[0], "dtype": info.dtype}


def _metadata_side(graph: Graph, place: int) -> int | None:
    """Height (0) or width (1) that an Ultralytics export was made for."""
    numbers = [int(n) for n in re.findall(r"\d+", graph.metadata.get("imgsz", ""))][:2]
    return numbers[min(place, len(numbers) - 1)] if numbers else None


def _with_classes(found: Mapping[str, Guess], wished: str | None) -> Mapping[str, Guess]:
    """The guesses that fit the names given, where any does; where one alone is usual for the shapes, that one."""
    if wished is not None:
        coco = wished.strip().lower() == "coco"
        count = 0 if coco else len(parse_classes(wished))

        def fits(guess: Guess) -> bool:
            return not guess.class_counts or any(coco_names(n) if coco else n == count for n in guess.class_counts)

        found = {family: guess for family, guess in found.items() if fits(guess)} or found
    usual = {family: guess for family, guess in found.items() if not guess.seldom}
    return usual or found


def _only(found: Mapping[str, Guess], graph: Graph, outputs: tuple[TensorInfo, ...]) -> tuple[str, str]:
    if len(found) == 1:
        family, guess = next(iter(found.items()))
        return family, f"by its outputs, {guess.because}"
    listed = "; ".join(map(str, outputs))
    flags = 'with --family F --classes names.txt --input "WIDTHxHEIGHT rgb|bgr letterbox|stretch 0-1|0-255|imagenet"'
    if not found:
        raise ModelInvalid(
            f"{graph.where}: carries no metadata, and its outputs look like no known detector's ({listed}, from "
            f"{graph.inputs[0]}); if you know what it is, say so {flags}; families are "
            f"{', '.join(sorted(FAMILIES))}"
        )
    fits = "; ".join(f"{family} ({guess.because})" for family, guess in found.items())
    raise ModelInvalid(f"{graph.where}: its outputs ({listed}) fit {fits}; say which {flags}")


def _classes(
    where: str,
    wished: str | None,
    told: Mapping[str, Any] | None,
    guess: Guess | None,
    family: str,
    outputs: tuple[TensorInfo, ...],
) -> tuple[tuple[str, ...], str]:
    counts = guess.class_counts if guess else ()
    if wished is not None:
        names = _coco(counts, outputs, where) if wished.strip().lower() == "coco" else parse_classes(wished)
        if counts and len(names) not in counts:
            expected = " or ".join(map(str, counts))
            raise ModelInvalid(
                f"{where}: as {family} its outputs have {expected} classes, got {len(names)} names in --classes"
            )
        return names, f"{len(names)} classes: as you said"
    if told is not None and told["classes"]:
        names = tuple(told["classes"])
        if counts and len(names) not in counts:
            raise ModelInvalid(
                f"{where}: its metadata names {len(names)} classes, its outputs have {counts[0]}; "
                "say them with --classes"
            )
        return names, f"{len(names)} classes: by its metadata"
    if guess and guess.classes:
        return (
            guess.classes,
            f"class {', '.join(guess.classes)}: what such a head nearly always finds; --classes overrules",
        )
    for count in counts:
        if (names_or_none := coco_names(count)) is not None:
            return names_or_none, f"{count} classes taken for COCO's, as there are just as many; --classes overrules"
    asked = f"has {' or '.join(map(str, counts))} classes" if counts else "does not tell how many classes it has"
    raise ModelInvalid(f"{where}: {asked}, and carries no names; say them with --classes names.txt or --classes a,b,c")


def _coco(counts: tuple[int, ...], outputs: tuple[TensorInfo, ...], where: str) -> tuple[str, ...]:
    if not counts:
        # Finished detections do not show their classes; those of TensorFlow and torchvision count categories from 1.
        from_one = any("detection_classes" in o.name for o in outputs) or all(len(o.shape) < 3 for o in outputs)
        counts = (90,) if from_one else (80,)
    found = next((names for n in counts if (names := coco_names(n)) is not None), None)
    if found is None:
        raise ModelInvalid(f"{where}: --classes coco means 80, 90 or 91 classes, its outputs have {counts[0]}")
    return found


def parse_classes(text: str) -> tuple[str, ...]:
    """Names from a text file (one a line; blank lines do not count) or with commas between. Raises `UsageError`."""
    path = Path(text).expanduser()
    try:
        is_file = path.is_file()
    except OSError:  # a long list of names is no path
        is_file = False
    if is_file:
        try:
            parts = read_regular_text(path).splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            raise UsageError(f"--classes: {path} cannot be read as text: {exc}") from exc
    elif path.suffix.lower() in (".txt", ".names"):
        raise UsageError(f"--classes: {path}: no such file")
    else:
        parts = text.split(",")
    names = tuple(p.strip() for p in parts if p.strip())
    if not names or len(set(names)) != len(names):
        raise UsageError(f"--classes: expected names that differ, got {len(names)} of which {len(set(names))} differ")
    return names
