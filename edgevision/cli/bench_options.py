"""The options of ``edgevision bench``, as one dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_MODEL, _SPEED, _OUTPUT, _MODES = "Models", "How", "Output", "Other measurements"


class Flashed(StrEnum):
    """What ``--glass`` flashes."""

    AUTO = "auto"
    WINDOW = "window"
    BROWSER = "browser"


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What a person asked to measure; None leaves it to the command."""

    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A model's name or .onnx file; repeat for several. By default person.", rich_help_panel=_MODEL
        ),
    ] = None
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A foundation model to compare with: owlv2, yoloe, smolvlm; repeat. Without --model, by default the "
            "fastest open-vocabulary detector; none: no baseline.",
            rich_help_panel=_MODEL,
        ),
    ] = None
    weights: Annotated[
        str,
        typer.Option(
            help="Of --baseline: random (true latency, no accuracy), hub (downloads), or a folder. "
            "NAME@FOLDER in --baseline is for one of them.",
            rich_help_panel=_MODEL,
        ),
    ] = "random"
    prompts: Annotated[
        str | None,
        typer.Option(help="What foundation models look for: a file, or 'class: words; …'.", rich_help_panel=_MODEL),
    ] = None
    allow_upload: Annotated[
        bool, typer.Option("--allow-upload", help="Frames may go to an API (--baseline api).", rich_help_panel=_MODEL)
    ] = False
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="A clip, folder, camera, stream or scene://; repeat. By default a bundled clip and the scene."
        ),
    ] = None
    data: Annotated[
        Path | None, typer.Option(help="Labelled images (YOLO or COCO), for accuracy. The scene knows its own.")
    ] = None
    frames: Annotated[
        int | None, typer.Option(min=1, help="About so many frames each, instead of --seconds.", rich_help_panel=_SPEED)
    ] = None
    seconds: Annotated[float, typer.Option(min=0.1, help="For each model, way and source.", rich_help_panel=_SPEED)] = (
        6.0
    )
    threads: Annotated[
        str | None, typer.Option(help="For one inference; 1,2 measures both.", rich_help_panel=_SPEED)
    ] = None
    workers: Annotated[int, typer.Option(min=1, max=64, help="Frames inferred at once.", rich_help_panel=_SPEED)] = 1
    detect_every: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="The loop detects on each Nth frame only.", rich_help_panel=_SPEED),
    ] = 1
    sustained: Annotated[
        str | None,
        typer.Option(help="10m: the loop for so long, fps against heat and clock.", rich_help_panel=_MODES),
    ] = None
    glass: Annotated[
        bool,
        typer.Option(
            "--glass", help="Flash the screen, see it through --source: screen to result.", rich_help_panel=_MODES
        ),
    ] = False
    display: Annotated[
        Flashed,
        typer.Option(
            help="Of --glass: what flashes. auto: a window where there is a screen, else a page.",
            rich_help_panel=_MODES,
        ),
    ] = Flashed.AUTO
    host: Annotated[
        str, typer.Option(help="Address of that page; 0.0.0.0 lets a phone show it.", rich_help_panel=_MODES)
    ] = "127.0.0.1"
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port of that page; by default 8080 or the next free.", rich_help_panel=_MODES
        ),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(help="Write run.json, report.html and report.md into this folder.", rich_help_panel=_OUTPUT),
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
