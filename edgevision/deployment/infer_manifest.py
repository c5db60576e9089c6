"""What family a graph is of, how it is fed and what its classes are: from what it says, shows, and its owner says.

Metadata goes first, then names and shapes; what the owner says overrules both. What cannot be settled is asked for by
name, with the flag that settles it, and never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgevision.deployment.add_options import AddOptions, parse_classes, parse_input
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
from edgevision.errors import ModelInvalid

RunOnce = Callable[[tuple[int, ...]], tuple[TensorInfo, ...]]
"""Runs the graph on noise of a shape, and gives the outputs with no dimension left open."""


def infer_manifest(graph: Graph, run_once: RunOnce, options: AddOptions, name: str) -> tuple[Manifest, tuple[str, ...]]:
    """The manifest of a graph, and from what it was concluded. Raises `ModelInvalid` and `UsageError`."""
    feed = infer_input(graph, parse_input(options.input))
    named = None if options.family is None else family_named(options.family, graph.where)
    metadata = recognise(graph) if named is None or named.startswith("ultralytics") else None
    _ask_for_classes(graph, feed, options, named, metadata)
    outputs = run_once(_shape(feed))
    found = guesses(outputs, (feed["width_px"], feed["height_px"]))
    family = _detect_family(graph, outputs, found, named, metadata, options)
    classes, class_note = _classes(graph.where, options.classes, metadata, found.get(family.name), family.name, outputs)
    manifest = manifest_from(
        {
            "name": name,
            "version": options.version,
            "family": family.name,
            "classes": classes,
            "licence": options.licence or (metadata or {}).get("licence", "unknown"),
            "input": _completed(feed, family, options),
            "thresholds": standard_thresholds(family.name, graph.where),
        },
        graph.where,
    )
    notes = [f"family {family.name}: {family.why}", class_note]
    if metadata is not None and "note" in metadata:
        notes.append(metadata["note"])
    whose = "as you said" if options.input else f"what {family.name} takes"
    notes.append(f"input {manifest.input.in_words}: {whose}")
    return manifest, tuple(notes)


@dataclass(frozen=True, slots=True)
class _Family:
    """A decoder family, how its models are usually fed, and why it is taken for this graph's."""

    name: str
    recipe: Mapping[str, Any]
    why: str


def _detect_family(
    graph: Graph,
    outputs: tuple[TensorInfo, ...],
    found: Mapping[str, Guess],
    named: str | None,
    metadata: Mapping[str, Any] | None,
    options: AddOptions,
) -> _Family:
    """By metadata, by what the owner says, or by the outputs. Raises `ModelInvalid` where that leaves it open."""
    if metadata is not None and named in (None, "ultralytics", metadata["family"]):
        return _Family(metadata["family"], metadata["input"], "by the metadata of an Ultralytics export")
    if named is not None:
        return _Family(named, standard_recipe(named, outputs, graph.where), "as you said")
    name, why = _only(_with_classes(found, options.classes), graph, outputs)
    return _Family(name, standard_recipe(name, outputs, graph.where), why)


def _completed(feed: Mapping[str, Any], family: _Family, options: AddOptions) -> dict[str, Any]:
    """The manifest's [input]: as the family is fed, in the graph's size and type, and over both what the owner says."""
    values = {**family.recipe, **feed, **parse_input(options.input, family.recipe.get("channel_order", "rgb"))}
    if feed["dtype"] == "uint8":
        return {k: v for k, v in values.items() if k not in ("mean", "std")}
    return values


def _shape(feed: Mapping[str, Any]) -> tuple[int, ...]:
    sides = (feed["height_px"], feed["width_px"])
    return (1, 3, *sides) if feed["layout"] == "nchw" else (1, *sides, 3)


def _ask_for_classes(
    graph: Graph, feed: Mapping[str, Any], options: AddOptions, wished: str | None, told: Mapping[str, Any] | None
) -> None:
    """Raises `ModelInvalid` before the model is run, where its declared outputs tell that --classes is needed."""
    if told is not None or options.classes is not None or any(None in o.shape for o in graph.outputs):
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


def size_input(graph: Graph, options: AddOptions) -> tuple[str, int, int] | None:
    """The input by which RT-DETR's and D-FINE's own exports are told the picture's width and height, and what to tell.

    Told the input's own size, they give boxes in its pixels, as every other head does. None where there is no such
    input. Raises `ModelInvalid` where no camera frame can feed the other one.
    """
    sizes = [i for i in graph.inputs if i.name == "orig_target_sizes" and i.dtype == "int64" and i.shape[-1] == 2]
    if len(graph.inputs) != 2 or len(sizes) != 1:
        return None
    picture = tuple(i for i in graph.inputs if i is not sizes[0])
    feed = infer_input(_OneInput(graph.where, picture, graph.outputs, graph.metadata), parse_input(options.input))
    return sizes[0].name, feed["width_px"], feed["height_px"]


def infer_input(graph: Graph, wished: Mapping[str, Any]) -> dict[str, Any]:
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
    asked = f"has {' or '.join(map(str, counts))} classes" if counts else "gives no number of classes"
    raise ModelInvalid(
        f"{where}: {asked} and has no class names; give them with --classes names.txt or --classes a,b,c"
    )


def _coco(counts: tuple[int, ...], outputs: tuple[TensorInfo, ...], where: str) -> tuple[str, ...]:
    if not counts:
        # Finished detections do not show their classes; those of TensorFlow and torchvision count categories from 1.
        from_one = any("detection_classes" in o.name for o in outputs) or all(len(o.shape) < 3 for o in outputs)
        counts = (90,) if from_one else (80,)
    found = next((names for n in counts if (names := coco_names(n)) is not None), None)
    if found is None:
        raise ModelInvalid(f"{where}: --classes coco means 80, 90 or 91 classes, its outputs have {counts[0]}")
    return found
