"""The options of ``edgevision run``, as one dataclass, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from edgevision.cli.outputs import Output

_SOURCE = "0, /dev/video0, csi://0, rtsp://…, http(s)://…, a video, an image, a folder or glob of images, scene://"
_DISPLAY, _DETECTION, _OUTPUT, _CAMERA, _SPEED = "Display", "Detection", "Output", "Camera", "Speed"
_SWAP = "Hot swap"
_FOUNDATION = "Foundation models (--model foundation:NAME)"


class Display(StrEnum):
    """Where frames are shown."""

    AUTO = "auto"
    WINDOW = "window"
    BROWSER = "browser"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a person asked of a run; None leaves it to the model, the source or the machine."""

    source: Annotated[
        str | None, typer.Option(help=f"{_SOURCE}. By default the first camera found, else the built-in scene.")
    ] = None
    model: Annotated[str, typer.Option(help="A model's name, the path of an .onnx file, or foundation:NAME.")] = (
        "person"
    )
    conf: Annotated[
        float | None, typer.Option(help="Least score, 0-1. By default the model's own.", rich_help_panel=_DETECTION)
    ] = None
    iou: Annotated[
        float | None, typer.Option(help="Overlap over which the lesser box goes, 0-1.", rich_help_panel=_DETECTION)
    ] = None
    classes: Annotated[
        str | None, typer.Option(help="Only these classes, with commas between.", rich_help_panel=_DETECTION)
    ] = None
    imgsz: Annotated[
        int | None,
        typer.Option(
            min=32, max=8192, help="Input side in px, where the model leaves it open.", rich_help_panel=_DETECTION
        ),
    ] = None
    then: Annotated[
        str | None,
        typer.Option(help="A second model, of `distill head`: which kind each box is.", rich_help_panel=_DETECTION),
    ] = None
    track: Annotated[
        bool | None, typer.Option("--track/--no-track", help="Follow objects over time.", rich_help_panel=_DETECTION)
    ] = None
    display: Annotated[
        Display, typer.Option(help="auto: a window where there is a screen, else a page.", rich_help_panel=_DISPLAY)
    ] = Display.AUTO
    host: Annotated[str, typer.Option(help="Address of the page.", rich_help_panel=_DISPLAY)] = "127.0.0.1"
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port of the page; by default 8080 or the next free.", rich_help_panel=_DISPLAY
        ),
    ] = None
    save: Annotated[Path | None, typer.Option(help="Write the drawn video to this file.", rich_help_panel=_OUTPUT)] = (
        None
    )
    json: Annotated[
        str | None, typer.Option("--json", help="Write JSON lines to this file, or - .", rich_help_panel=_OUTPUT)
    ] = None
    sink: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=TARGET]", help="Write results to this sink too. May be repeated.", rich_help_panel=_OUTPUT
        ),
    ] = None
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None
    seconds: Annotated[float | None, typer.Option(min=0, help="Stop after so many seconds.")] = None
    threads: Annotated[
        int | None, typer.Option(min=1, max=256, help="Threads for one inference.", rich_help_panel=_SPEED)
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Frames inferred at once. By default 1 when live.", rich_help_panel=_SPEED),
    ] = None
    zoom: Annotated[
        str,
        typer.Option(
            metavar="auto|off|N",
            help="Further looks at full resolution where objects are small: N a frame, or as many as the frame rate "
            "allows. Files and images: N tiles.",
            rich_help_panel=_DETECTION,
        ),
    ] = "off"
    engine: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Inference engine: onnxruntime, openvino, or auto, which was measured fastest on this machine.",
            rich_help_panel=_SPEED,
        ),
    ] = "auto"
    detect_every: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Detect on each Nth frame only; on the others boxes follow their motion (--track).",
            rich_help_panel=_SPEED,
        ),
    ] = 1
    width: Annotated[int | None, typer.Option(min=1, help="Ask the camera for it.", rich_help_panel=_CAMERA)] = None
    height: Annotated[int | None, typer.Option(min=1, help="Ask the camera for it.", rich_help_panel=_CAMERA)] = None
    fps: Annotated[
        float | None,
        typer.Option(min=0.01, help="Ask the camera for it; play a file at it.", rich_help_panel=_CAMERA),
    ] = None
    watch_folder: Annotated[
        bool,
        typer.Option(
            "--watch-folder", help="Swap when the model's folder gets another version.", rich_help_panel=_SWAP
        ),
    ] = False
    control: Annotated[
        bool, typer.Option(help="Let `edgevision swap` reach this app, on this machine only.", rich_help_panel=_SWAP)
    ] = True
    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|TEXT",
            help="What to look for: a file, or 'person: a person, a worker; helmet: a hard hat'.",
            rich_help_panel=_FOUNDATION,
        ),
    ] = None
    weights: Annotated[
        str | None,
        typer.Option(
            help="A folder, a hub id, or random (latency only). By default the library fetches its own.",
            rich_help_panel=_FOUNDATION,
        ),
    ] = None
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.", rich_help_panel=_FOUNDATION)] = "auto"
    ask: Annotated[
        str, typer.Option(help="Ask a language model for boxes or presence.", rich_help_panel=_FOUNDATION)
    ] = "boxes"
    allow_upload: Annotated[
        bool,
        typer.Option("--allow-upload", help="foundation:api may send frames away.", rich_help_panel=_FOUNDATION),
    ] = False
    api_url: Annotated[
        str | None,
        typer.Option(
            help="OpenAI-compatible endpoint, https://HOST/v1; its key in $EDGEVISION_API_KEY.",
            rich_help_panel=_FOUNDATION,
        ),
    ] = None
    api_model: Annotated[
        str | None, typer.Option(help="The model's name at that endpoint.", rich_help_panel=_FOUNDATION)
    ] = None
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")] = False

    @property
    def only_classes(self) -> tuple[str, ...]:
        """Names of the classes to keep; empty for all."""
        return tuple(c.strip() for c in self.classes.split(",") if c.strip()) if self.classes else ()

    @property
    def tracking(self) -> bool:
        """Whether a tracker follows; it must where boxes are predicted between detections."""
        return self.detect_every > 1 if self.track is None else self.track

    @property
    def inputs(self) -> dict[str, str | None]:
        """What is read, by the option that names it."""
        return {"--source": self.source, "--model": self.model, "--then": self.then, "--prompts": self.prompts}

    @property
    def outputs(self) -> list[Output]:
        """Files that are written."""
        from edgevision.sinks import sink_kind

        option = {"video": "--save", "json": "--json"}
        return [
            Output(option.get(name, f"--sink {name}"), target)
            for name, target in self.written
            if target is not None and sink_kind(name).target == "FILE"
        ]

    @property
    def written(self) -> list[tuple[str, str | None]]:
        """Name and target of each sink that writes."""
        sinks: list[tuple[str, str | None]] = [] if self.save is None else [("video", str(self.save))]
        for text in self.sink or ():
            name, equals, target = text.partition("=")
            sinks.append((name, target if equals else None))
        # Last, so that the publish time it writes covers the others.
        return sinks if self.json is None else [*sinks, ("json", self.json)]
