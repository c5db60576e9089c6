"""``edgevision models``: list, show, add, verify, remove and export models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgevision.cli.command import CommandGroup

if TYPE_CHECKING:
    from rich.console import Console

    from edgevision.detectors.manifest import Manifest

app = CommandGroup(
    help="The models at hand: list, show, add, verify, remove, export.",
    no_args_is_help=True,
)

_Name = Annotated[str, typer.Argument(help="A model's name, or the path of its folder or .onnx file.")]
_Json = Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")]


@app.command("list")
def list_models(json_: _Json = False) -> None:
    """Every model on the search path: $EDGEVISION_MODELS, ./models, your own, the bundled ones."""
    from edgevision.detectors.manifest import read_manifest
    from edgevision.detectors.registry import search_path, stored_folders
    from edgevision.errors import EdgeVisionError

    rows: list[dict[str, Any]] = []
    names: set[str] = set()
    for folder in stored_folders():
        hidden = folder.name in names
        names.add(folder.name)
        try:
            rows.append(_row(read_manifest(folder / "model.toml"), folder, hidden))
        except EdgeVisionError as exc:
            rows.append({"name": folder.name, "where": str(folder), "error": str(exc)})
    if json_:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    console = _console()
    if not rows:
        places = ", ".join(map(str, search_path()))
        console.print(f"No models yet, in none of {places}. Add one: edgevision models add FILE.onnx")
        return
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("name", "version", "family", "input", "classes", "licence", "accuracy"):
        table.add_column(heading, overflow="fold")
    table.add_column("where", style="dim", overflow="fold")
    for row in rows:
        if "error" in row:
            table.add_row(row["name"], "", "", "", "", "", "[red]cannot be read[/]", row["where"])
            continue
        first = ", ".join(row["classes"][:3]) + (f" … {len(row['classes'])}" if len(row["classes"]) > 3 else "")
        where = row["where"] + (" (hidden by one of this name above)" if row["hidden"] else "")
        accuracy = row["accuracy"] or "not measured"
        table.add_row(row["name"], row["version"], row["family"], row["input"], first, row["licence"], accuracy, where)
    console.print(table)
    for row in rows:
        if "error" in row:
            console.print(f"[red]{row['name']}[/]: {row['error']}", highlight=False)


@app.command()
def show(model: _Name, json_: _Json = False) -> None:
    """All that is known of one model."""
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
        ("data", "; ".join(manifest.origin.data)),
        ("accuracy", _accuracy(manifest) or "not measured"),
        ("latency", "; ".join(f"{x.median_ms:g} ms, {x.threads} threads, {x.machine}" for x in manifest.latency)),
        ("golden", ", ".join(g.picture for g in manifest.golden) or "no golden pictures"),
        ("file", f"{stored.path} ({size_mib})"),
        ("sha256", manifest.sha256 or "not recorded"),
    ):
        if value:
            table.add_row(key, value)
    _console().print(table, highlight=False)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A detector as an .onnx file.")],
    name: Annotated[str | None, typer.Option(help="By default the file's own.")] = None,
    version: Annotated[str, typer.Option(help="Shown with every result, as name@version.")] = "1",
    family: Annotated[str | None, typer.Option(help="How its outputs are read, where that cannot be told.")] = None,
    classes: Annotated[
        str | None, typer.Option(help="names.txt (one a line), a,b,c or coco; where the file does not say.")
    ] = None,
    input_: Annotated[
        str,
        typer.Option(
            "--input",
            metavar="RECIPE",
            help="'416x320 bgr stretch 0-255': size, rgb|bgr, letterbox|letterbox-top-left|stretch, "
            "0-1|0-255|-1-1|imagenet, mean=a/b/c std=a/b/c, pad=N; any part overrules what the family takes.",
        ),
    ] = "",
    licence: Annotated[str | None, typer.Option(help="Written down with it.")] = None,
    front: Annotated[bool, typer.Option(help="Put normalisation and layout inside the graph.")] = True,
    replace: Annotated[bool, typer.Option("--replace", help="Replace your model of the same name.")] = False,
) -> None:
    """Add an .onnx detector to your models: it is tried in a child process with bounds on time and memory."""
    from edgevision.deployment.add_model import add_model
    from edgevision.deployment.infer_manifest import AddOptions
    from edgevision.detectors.registry import find_model

    added = add_model(file, AddOptions(name, version, family, classes, input_, licence, front, replace))
    console = _console()
    console.print(f"[green]added[/] [bold]{added.manifest.label}[/] in {added.folder}", highlight=False)
    for note in added.notes:
        console.print(f"  {note}", highlight=False)
    console.print(f"  one inference took {added.trial.median_ms:.1f} ms on one thread", highlight=False)
    if find_model(added.manifest.name).path.parent.resolve() != added.folder.resolve():
        console.print("[yellow]another model of this name stands before it on the search path and hides it[/]")
    console.print(f"next: edgevision models verify {added.manifest.name} --images FOLDER-OF-YOUR-PICTURES", style="dim")


@app.command()
def verify(
    model: _Name,
    images: Annotated[
        Path | None, typer.Option(help="A folder of pictures as your camera sees them. By default the built-in scene.")
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Write the better recipe down, where one is clearly better.")
    ] = False,
    record: Annotated[
        list[Path] | None,
        typer.Option(help="Keep this picture, and what is found in it now, as a golden check. May be repeated."),
    ] = None,
    json_: _Json = False,
) -> None:
    """Check a model: its file, its golden pictures, and whether it would see better if it were fed otherwise.

    Exit code 4 where a check fails or another recipe is clearly better (and --fix did not mend it).
    """
    from edgevision.deployment.verify_model import verify_model

    report = verify_model(model, images, fix=fix, record=record or [])
    if json_:
        typer.echo(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    else:
        from rich.table import Table

        console = _console()
        for outcome in report.golden:
            mark = "[green]passed[/]" if outcome.passed else "[red]failed[/]"
            console.print(f"golden {outcome.picture}: {mark}, {outcome.sentence}", highlight=False)
        table = Table(box=None, header_style="bold", pad_edge=False)
        for heading in ("fed as", "told by its", "pictures", "boxes", "steady", "merit", "against the manifest's"):
            table.add_column(heading, justify="left" if heading in ("fed as", "told by its") else "right")
        colours = [row for row in report.recipes if row.against == "mirrored"]
        for row in [*colours[:6], *(row for row in report.recipes if row.against == "pieces")]:
            colour = "green" if row.is_manifest else ""
            table.add_row(
                row.words + (" (usual for its family)" if row.is_usual else ""),
                "mirror image" if row.against == "mirrored" else "pieces",
                str(row.pictures),
                str(row.boxes),
                f"{row.steady:.0%}",
                f"{row.merit:.2f}",
                row.compared,
                style=colour or None,
            )
        if report.recipes:
            console.print(table)
        console.print(report.sentence, highlight=False)
        if report.undecided:
            console.print(report.undecided, style="yellow", highlight=False)
    if not report.passed:
        raise typer.Exit(4)


@app.command()
def remove(model: Annotated[str, typer.Argument(help="The name of a model you added.")]) -> None:
    """Remove a model you added. Bundled models and those of other folders stay."""
    from edgevision.deployment.model_folder import remove_model

    typer.echo(f"removed {remove_model(model)}")


@app.command()
def export(
    model: _Name,
    to: Annotated[Path, typer.Argument(help="A new folder, a folder to put it in, or NAME.zip.")] = Path(),
    prompts: Annotated[
        str | None, typer.Option(help="Of foundation:yoloe or foundation:yolo-world: the classes to fix in it.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Of a foundation model: a file, or random.")] = None,
    imgsz: Annotated[int, typer.Option(min=32, max=8192, help="Of a foundation model: the input's side in px.")] = 640,
) -> None:
    """Copy a model's folder (graph, manifest, card, golden pictures) to somewhere else, or into a zip.

    foundation:yoloe and foundation:yolo-world, with the classes of --prompts, become an .onnx file: no torch needed.
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


def _row(manifest: Manifest, folder: Path, hidden: bool) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "version": manifest.version,
        "family": manifest.family,
        "input": manifest.input.in_words,
        "classes": list(manifest.classes),
        "licence": manifest.licence,
        "accuracy": _accuracy(manifest),
        "where": str(folder),
        "hidden": hidden,
    }


def _accuracy(manifest: Manifest) -> str:
    return "; ".join(f"{a.metric} {a.value:.2f} ({a.data})" for a in manifest.accuracy)


def _console() -> Console:
    from rich.console import Console

    return Console()
