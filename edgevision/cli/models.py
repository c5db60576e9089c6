"""``edgevision models``: list, show, add, verify, remove and export models; time them in each engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgevision.cli.command import CommandGroup
from edgevision.cli.models_engines import engines, show_choice

if TYPE_CHECKING:
    from rich.console import Console


app = CommandGroup(
    help="""List, show, add, verify, remove and export models.

    Examples:

        edgevision models list
        edgevision models add best.onnx --name gates
        edgevision models verify gates --images images/""",
    no_args_is_help=True,
)

app.command("engines")(engines)

_Name = Annotated[str, typer.Argument(help="Model name, or the path of its folder or .onnx file.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command("list")
def list_models(json_: _Json = False) -> None:
    """List the installed models: of $EDGEVISION_MODELS, ./models, your own, the bundled ones.

    Example:

        edgevision models list
    """
    from edgevision.detectors.model_rows import model_rows
    from edgevision.detectors.registry import search_path

    rows = [row.as_json() for row in model_rows()]
    if json_:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    if not rows:
        places = ", ".join(map(str, search_path()))
        typer.echo(f"No models in {places}. Add one: edgevision models add FILE.onnx")
        return
    from edgevision.cli.models_console import show_list

    show_list(rows)


@app.command()
def show(model: _Name, json_: _Json = False) -> None:
    """Show one model: input, classes, licence, data, accuracy, latency, file.

    Example:

        edgevision models show person
    """
    from edgevision.detectors.model_rows import accuracy_in_words
    from edgevision.detectors.registry import find_model
    from edgevision.errors import UsageError

    stored = find_model(model)
    if stored.manifest is None:
        raise UsageError(f"{stored.path}: is a bare file without a manifest; add it: edgevision models add {model}")
    manifest = stored.manifest
    if json_:
        values = manifest.model_dump(mode="json") | {"where": str(stored.path)}
        typer.echo(json.dumps(values, indent=2, ensure_ascii=False))
        return
    from rich.table import Table

    recipe = manifest.input
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    size_mib = f"{stored.path.stat().st_size / 2**20:.1f} MiB" if stored.path.is_file() else "missing"
    for key, value in (
        ("name", manifest.label),
        ("family", manifest.family),
        ("input", f"{recipe.in_words}, as {recipe.dtype} {recipe.layout}"),
        ("classes", f"{len(manifest.classes)}: {', '.join(manifest.classes)}"),
        ("thresholds", f"score {manifest.thresholds.score:g}, IoU {manifest.thresholds.iou:g}"),
        ("licence", manifest.licence),
        ("teacher", manifest.origin.teacher),
        ("data", "\n".join(manifest.origin.data)),
        ("accuracy", accuracy_in_words(manifest).replace("; ", "\n") or "not measured"),
        ("latency", "\n".join(f"{x.median_ms:g} ms, {_threads(x.threads)}, {x.machine}" for x in manifest.latency)),
        ("golden", ", ".join(g.picture for g in manifest.golden) or "no golden images"),
        ("file", f"{stored.path} ({size_mib})"),
        ("sha256", manifest.sha256 or "not recorded"),
    ):
        if value:
            table.add_row(key, value)
    _console().print(table, highlight=False)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="Detector as an .onnx file.")],
    name: Annotated[str | None, typer.Option(help="Name of the model. Default: the file's name.")] = None,
    version: Annotated[str, typer.Option(help="Version, shown with every result as name@version.")] = "1",
    family: Annotated[
        str | None, typer.Option(help="Decoder family, if it cannot be recognised: ultralytics, yolox, nanodet, …")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Class names, if the file has none: a,b,c, coco, or names.txt (one per line).")
    ] = None,
    input_: Annotated[
        str,
        typer.Option(
            "--input",
            metavar="RECIPE",
            help="Preprocessing, '416x320 bgr stretch 0-255': size, rgb|bgr, letterbox|letterbox-top-left|stretch, "
            "0-1|0-255|-1-1|imagenet, mean=a/b/c std=a/b/c, pad=N. Each part overrides the family's default.",
        ),
    ] = "",
    licence: Annotated[str | None, typer.Option(help="Licence, stored in the manifest.")] = None,
    front: Annotated[bool, typer.Option(help="Embed normalisation and layout in the graph.")] = True,
    replace: Annotated[bool, typer.Option("--replace", help="Replace your model of that name.")] = False,
) -> None:
    """Add an .onnx detector: recognise it, try it in a child process with time and memory limits, install it.

    Examples:

        edgevision models add best.onnx --name gates --version 3
        edgevision models add my_yolox.onnx --classes gate,person,forklift
    """
    from edgevision.deployment.add_model import add_model
    from edgevision.deployment.add_options import AddOptions
    from edgevision.deployment.engine_trial import choose_and_keep
    from edgevision.detectors.engines import installed_engines
    from edgevision.detectors.registry import find_model

    added = add_model(file, AddOptions(name, version, family, classes, input_, licence, front, replace))
    console = _console()
    console.print(f"[green]added[/] [bold]{added.manifest.label}[/] in {added.folder}", highlight=False)
    for note in added.notes:
        console.print(f"  {note}", highlight=False)
    console.print(f"  one inference took {added.trial.median_ms:.1f} ms on one thread", highlight=False)
    if find_model(added.manifest.name).path.parent.resolve() != added.folder.resolve():
        console.print("[yellow]another model of this name comes first on the search path and hides it[/]")
    if len(installed_engines()) > 1:
        show_choice(choose_and_keep(added.folder))
    console.print(f"next: edgevision models verify {added.manifest.name} --images FOLDER-OF-YOUR-IMAGES", style="dim")


@app.command()
def verify(
    model: _Name,
    images: Annotated[
        Path | None, typer.Option(help="Folder of images from your camera. Default: the built-in scene.")
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Store the better preprocessing in the manifest, if one is clearly better.")
    ] = False,
    record: Annotated[
        list[Path] | None,
        typer.Option(help="Record this image and its detections as a golden check. Repeatable."),
    ] = None,
    json_: _Json = False,
) -> None:
    """Check a model: its file, its golden images, and whether another preprocessing would work better.

    Exit code 4 if a check fails or another preprocessing is clearly better (and --fix did not store it).

    Examples:

        edgevision models verify gates --images images/
        edgevision models verify gates --record image.jpg
    """
    from edgevision.deployment.verify_model import verify_model

    report = verify_model(model, images, fix=fix, record=record or [])
    if json_:
        typer.echo(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    else:
        from edgevision.cli.models_console import show_verify

        show_verify(report)
    if not report.passed:
        raise typer.Exit(4)


@app.command()
def remove(model: Annotated[str, typer.Argument(help="Name of a model that you added.")]) -> None:
    """Remove a model that you added; bundled models and those of other folders stay.

    Example:

        edgevision models remove gates
    """
    from edgevision.deployment.model_folder import remove_model

    typer.echo(f"removed {remove_model(model)}")


@app.command()
def export(
    model: _Name,
    to: Annotated[Path, typer.Argument(help="New folder, existing folder to write into, or NAME.zip.")] = Path(),
    prompts: Annotated[
        str | None, typer.Option(help="Classes to fix in foundation:yoloe or foundation:yolo-world.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Weights of a foundation model: a file, or random.")] = None,
    imgsz: Annotated[int, typer.Option(min=32, max=8192, help="Input side of a foundation model in px.")] = 640,
) -> None:
    """Copy a model's folder (graph, manifest, card, golden images), or write it into a zip.

    foundation:yoloe and foundation:yolo-world become an .onnx file with the classes of --prompts fixed; it runs
    without torch.

    Examples:

        edgevision models export gates gates.zip
        edgevision models export foundation:yoloe hats.onnx --prompts "helmet"
    """
    from edgevision.cli.outputs import Output, check_folder, check_outputs
    from edgevision.detectors.foundation import PREFIX, is_foundation

    if is_foundation(model):
        from edgevision.cli.foundation_options import FoundationLoader
        from edgevision.detectors.foundation.export_onnx import export_prompted

        name = model.removeprefix(PREFIX).partition("@")[0]
        path = to / f"{name}.onnx" if to.is_dir() else to
        check_outputs([Output("TO", path)], {"--weights": weights, "--prompts": prompts})
        with FoundationLoader(prompts=prompts, weights=weights, device="cpu")(model) as detector:
            typer.echo(f"exported to {export_prompted(detector, path, imgsz)}; add it: edgevision models add {path}")
        return
    from edgevision.deployment.model_folder import export_model

    check_folder("TO", to if to.is_dir() else to.parent)
    typer.echo(f"exported to {export_model(model, to)}")


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _console() -> Console:
    from edgevision.cli.terminal import Terminal

    return Terminal()
