"""The options of ``edgevision bench``, as one dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_MODEL, _SPEED, _OUTPUT, _MODES = "Models", "Measurement", "Output", "Other measurements"


class Flashed(StrEnum):
    """What ``--glass`` flashes."""

    AUTO = "auto"
    WINDOW = "window"
    BROWSER = "browser"


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """Options of a benchmark; None leaves the choice to the command."""

    model: Annotated[
        list[str] | None,
        typer.Option(help="Model name or .onnx file. Repeatable. Default: person.", rich_help_panel=_MODEL),
    ] = None
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Foundation model to compare with: owlv2, yoloe, smolvlm. Repeatable. Default without --model: the "
            "fastest open-vocabulary detector; none: no baseline.",
            rich_help_panel=_MODEL,
        ),
    ] = None
    weights: Annotated[
        str,
        typer.Option(
            help="Weights of --baseline: random (latency only), hub (downloads them), or a folder. "
            "NAME@FOLDER in --baseline sets those of one model.",
            rich_help_panel=_MODEL,
        ),
    ] = "random"
    prompts: Annotated[
        str | None,
        typer.Option(
            help="Classes that foundation models detect: a file, or 'class: words; …'.", rich_help_panel=_MODEL
        ),
    ] = None
    allow_upload: Annotated[
        bool,
        typer.Option(
            "--allow-upload", help="Allow --baseline api to send frames to another machine.", rich_help_panel=_MODEL
        ),
    ] = False
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Clip, folder, camera, stream or scene://. Repeatable. Default: a bundled clip and the scene."
        ),
    ] = None
    data: Annotated[
        Path | None, typer.Option(help="Labelled dataset (YOLO, COCO, VOC, ours). The scene has its own labels.")
    ] = None
    frames: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of frames for each measurement, in place of --seconds.", rich_help_panel=_SPEED
        ),
    ] = None
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Seconds for each model, measurement and source.", rich_help_panel=_SPEED)
    ] = 6.0
    threads: Annotated[
        str | None, typer.Option(help="Threads of one inference; 1,2 measures both.", rich_help_panel=_SPEED)
    ] = None
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Frames inferred in parallel.", rich_help_panel=_SPEED)
    ] = 1
    engine: Annotated[
        str,
        typer.Option(
            metavar="NAME[,NAME]",
            help="Inference engine of compact models: onnxruntime, openvino, auto; a,b measures both.",
            rich_help_panel=_SPEED,
        ),
    ] = "auto"
    detect_every: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Detect on every Nth frame only.", rich_help_panel=_SPEED),
    ] = 1
    sustained: Annotated[
        str | None,
        typer.Option(
            help="Duration of a sustained run, such as 10m: fps against temperature and clock rate.",
            rich_help_panel=_MODES,
        ),
    ] = None
    glass: Annotated[
        bool,
        typer.Option(
            "--glass",
            help="Measure the time from screen to result: flash the screen in view of --source.",
            rich_help_panel=_MODES,
        ),
    ] = False
    display: Annotated[
        Flashed,
        typer.Option(
            help="What --glass flashes: window, browser, or auto (a window if there is a screen).",
            rich_help_panel=_MODES,
        ),
    ] = Flashed.AUTO
    host: Annotated[
        str, typer.Option(help="Address of the flashing page; 0.0.0.0 opens it to a phone.", rich_help_panel=_MODES)
    ] = "127.0.0.1"
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port of the flashing page. Default: 8080 or the next free one.",
            rich_help_panel=_MODES,
        ),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for run.json, report.html and report.md.", rich_help_panel=_OUTPUT),
    ] = None

    @property
    def inputs(self) -> dict[str, str | Path | list[str] | None]:
        """What is read, by the option that names it."""
        read: dict[str, str | Path | list[str] | None] = {"--source": self.source, "--data": self.data}
        return read | {"--model": self.model, "--prompts": self.prompts}

    @property
    def baselines(self) -> list[str]:
        """Names of the foundation models that were asked for."""
        return [name for text in self.baseline or () for name in (n.strip() for n in text.split(",")) if name]
