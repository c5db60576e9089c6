"""The options of ``edgevision run``, as one dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from edgevision.cli.outputs import Output
from edgevision.cli.tokens import Token

_SOURCE = (
    "0, /dev/video0, csi://0, rtsp://…, http(s)://…, rtmp://…, udp://…, a video, an image, a folder or glob of images, "
    "scene://"
)
_DISPLAY, _DETECTION, _OUTPUT, _CAMERA, _SPEED = "Display", "Detection", "Output", "Camera", "Speed"
_SWAP = "Hot swap"
_FOUNDATION = "Foundation models (--model foundation:NAME)"


class Display(StrEnum):
    """Display of the frames."""

    AUTO = "auto"
    WINDOW = "window"
    BROWSER = "browser"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of a run; None leaves the choice to the model, the source or the machine."""

    source: Annotated[
        str | None, typer.Option(help=f"Source: {_SOURCE}. Default: the first camera found, else the scene.")
    ] = None
    model: Annotated[str, typer.Option(help="Model name, path of an .onnx file, or foundation:NAME.")] = "person"
    conf: Annotated[
        float | None,
        typer.Option(help="Minimum confidence score, 0-1. Default: the model's own.", rich_help_panel=_DETECTION),
    ] = None
    iou: Annotated[
        float | None, typer.Option(help="NMS IoU threshold, 0-1. Default: the model's own.", rich_help_panel=_DETECTION)
    ] = None
    classes: Annotated[
        str | None, typer.Option(help="Comma-separated list of classes to keep.", rich_help_panel=_DETECTION)
    ] = None
    imgsz: Annotated[
        int | None,
        typer.Option(
            min=32, max=8192, help="Input side in px, for a model with dynamic input size.", rich_help_panel=_DETECTION
        ),
    ] = None
    then: Annotated[
        str | None,
        typer.Option(
            help="Second-stage classifier of `distill head`, applied to each box.", rich_help_panel=_DETECTION
        ),
    ] = None
    track: Annotated[
        bool | None,
        typer.Option("--track/--no-track", help="Track objects over time (ByteTrack).", rich_help_panel=_DETECTION),
    ] = None
    zone: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=x,y …",
            help="Zone to watch: its corners in shares of the frame, 'yard=0,0.5 1,0.5 1,1 0,1'. Repeatable.",
            rich_help_panel=_DETECTION,
        ),
    ] = None
    line: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=x,y x,y",
            help="Line to watch for crossings, 'door=0.5,1 0.5,0': in is from its left to its right. Repeatable.",
            rich_help_panel=_DETECTION,
        ),
    ] = None
    display: Annotated[
        Display,
        typer.Option(
            help="Display: window, browser, none, or auto (a window if there is a screen, else browser).",
            rich_help_panel=_DISPLAY,
        ),
    ] = Display.AUTO
    host: Annotated[
        str, typer.Option(help="Address of the page; 0.0.0.0 opens it to the network.", rich_help_panel=_DISPLAY)
    ] = "127.0.0.1"
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port of the page. Default: 8080 or the next free one.", rich_help_panel=_DISPLAY
        ),
    ] = None
    save: Annotated[Path | None, typer.Option(help="Write the drawn video to this file.", rich_help_panel=_OUTPUT)] = (
        None
    )
    json: Annotated[
        str | None, typer.Option("--json", help="Write JSON lines to this file; - is stdout.", rich_help_panel=_OUTPUT)
    ] = None
    sink: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=TARGET]", help="Add a sink. Repeatable.", rich_help_panel=_OUTPUT),
    ] = None
    token: Token = None
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after this many frames.")] = None
    seconds: Annotated[float | None, typer.Option(min=0, help="Stop after this many seconds.")] = None
    threads: Annotated[
        int | None, typer.Option(min=1, max=256, help="Threads of one inference.", rich_help_panel=_SPEED)
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            help="Frames inferred in parallel. Default: 1 for a live source, else one per core.",
            rich_help_panel=_SPEED,
        ),
    ] = None
    zoom: Annotated[
        str,
        typer.Option(
            metavar="auto|off|N",
            help="Extra passes at full resolution where objects are small: N per frame, or auto, as many as the frame "
            "rate allows. Files and images: N tiles.",
            rich_help_panel=_DETECTION,
        ),
    ] = "off"
    engine: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Inference engine: onnxruntime, openvino, or auto (the fastest measured on this machine).",
            rich_help_panel=_SPEED,
        ),
    ] = "auto"
    detect_every: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Detect on every Nth frame only; tracks predict the boxes between (implies --track).",
            rich_help_panel=_SPEED,
        ),
    ] = 1
    width: Annotated[
        int | None, typer.Option(min=1, help="Requested capture width in px.", rich_help_panel=_CAMERA)
    ] = None
    height: Annotated[
        int | None, typer.Option(min=1, help="Requested capture height in px.", rich_help_panel=_CAMERA)
    ] = None
    fps: Annotated[
        float | None,
        typer.Option(
            min=0.01, help="Requested frame rate of a camera; playback rate of a file.", rich_help_panel=_CAMERA
        ),
    ] = None
    rotate: Annotated[
        int,
        typer.Option(
            metavar="DEGREES", help="Turn images clockwise by 90, 180 or 270 degrees.", rich_help_panel=_CAMERA
        ),
    ] = 0
    flip: Annotated[
        bool,
        typer.Option("--flip", help="Mirror images left to right, after --rotate.", rich_help_panel=_CAMERA),
    ] = False
    watch_folder: Annotated[
        bool,
        typer.Option(
            "--watch-folder",
            help="Swap automatically when another version is written to the model's folder.",
            rich_help_panel=_SWAP,
        ),
    ] = False
    control: Annotated[
        bool,
        typer.Option(
            help="Serve the control API that `edgevision swap` uses, on this machine only.", rich_help_panel=_SWAP
        ),
    ] = True
    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|TEXT",
            help="Classes to detect: a file, or 'person: a person, a worker; helmet: a hard hat'.",
            rich_help_panel=_FOUNDATION,
        ),
    ] = None
    weights: Annotated[
        str | None,
        typer.Option(
            help="Weights: a folder, a hub id, or random (latency only). Default: downloaded by the library.",
            rich_help_panel=_FOUNDATION,
        ),
    ] = None
    device: Annotated[str, typer.Option(help="Device: auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=_SPEED)] = (
        "auto"
    )
    ask: Annotated[
        str, typer.Option(help="Answer of a vision-language model: boxes or presence.", rich_help_panel=_FOUNDATION)
    ] = "boxes"
    allow_upload: Annotated[
        bool,
        typer.Option(
            "--allow-upload",
            help="Allow foundation:api to send frames to another machine.",
            rich_help_panel=_FOUNDATION,
        ),
    ] = False
    api_url: Annotated[
        str | None,
        typer.Option(
            help="OpenAI-compatible endpoint, https://HOST/v1; its key in $EDGEVISION_API_KEY.",
            rich_help_panel=_FOUNDATION,
        ),
    ] = None
    api_model: Annotated[str | None, typer.Option(help="Model name at that endpoint.", rich_help_panel=_FOUNDATION)] = (
        None
    )
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more on stderr.")] = False

    @property
    def only_classes(self) -> tuple[str, ...]:
        """Names of the classes to keep; empty for all."""
        return tuple(c.strip() for c in self.classes.split(",") if c.strip()) if self.classes else ()

    @property
    def tracking(self) -> bool:
        """Whether a tracker follows; it must where boxes are predicted between detections, and for zones and lines."""
        return self.detect_every > 1 or self.watching if self.track is None else self.track

    @property
    def watching(self) -> bool:
        """Whether zones or lines are watched."""
        return bool(self.zone or self.line)

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
