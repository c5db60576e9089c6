"""Rebuild a bundled model by the teaching line: label, train, quantise, measure, and write its folder and card.

    python scripts/rebuild_model.py person --data ../shared/data --weights ../shared/weights --videos ../shared/videos \
        --run ../runs/person

The products are person, person-tiny, face and hardhat. What is done in ``--run`` is not done again, and what was
stopped goes on: call it once more. Two models may share a data folder (``--labels ../runs/person/data``). Training
takes hours on two cores, minutes on a GPU. Needs the extra [train]. ``--weights`` holds the teachers' .onnx files,
which are added to a store of the run's own where no model of that name is known.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from complete_labels import settle

from edgevision.capture import open_source
from edgevision.capture.scene import SceneSource
from edgevision.cli import distill_console
from edgevision.datasets.annotations import Box, PictureLabels
from edgevision.datasets.convert import import_data
from edgevision.datasets.data_folder import DataFolder
from edgevision.datasets.dataset import read_data
from edgevision.deployment.add_model import add_model
from edgevision.deployment.add_options import AddOptions
from edgevision.detectors.load import TeacherSpec
from edgevision.detectors.registry import stored_names
from edgevision.errors import EdgeVisionError
from edgevision.training.export.export import export_any
from edgevision.training.export.model_card import ModelCardFields
from edgevision.training.export.options import ExportOptions
from edgevision.training.labelling.auto_label import label_folder
from edgevision.training.labelling.frame_selection import Collector, CollectSettings, collect
from edgevision.training.labelling.settings import settings_from
from edgevision.training.recipe import read_recipe
from edgevision.training.train import train_student, usual_workers
from edgevision.training.weight_averaging import mean_with, shares_in

RECIPES = Path(__file__).parent / "recipes"
SCENE_SEEDS, SCENE_FRAMES = 40, 24
TEACHERS = {
    "picodet_s_416": AddOptions(classes="coco", input="416 rgb stretch imagenet", licence="Apache-2.0"),
    "yunet_n_320_320": AddOptions(licence="see upstream"),
}
PERSON_DATA = (
    "Capston2 v11, Roboflow, siwookim: stated CC BY 4.0; some people in it are not labelled",
    "Hard hat detection v2, Roboflow, iaespecializacion: CC BY 4.0; some people in it are not labelled",
    "COCO128 (training half) and tiny-coco: annotations CC BY 4.0, pictures under Flickr's terms of each",
    "FDDB, news photographs: published for research",
    "Human-Detection-Dataset, Mouso00; street set, LS-chen; ImageNet samples, EliSchwartz: licences not stated",
    "frames of Intel's sample-videos: CC BY 4.0",
    "built-in scene of edgevision: Apache-2.0",
    "COCO (pose, VQA, caption and calibration subsets): annotations CC BY 4.0, images under Flickr's terms of each",
    "PASCAL VOC (animals, vehicles): no licence stated, images under Flickr's terms of each",
    "ADE20K (validation), Flickr8k, ImageNet samples, Imagenette: for research",
    "OSIE: repository under MIT; clothing_only: CC0",
    "Leeds Sports Pose (extended), sports100, sports22, mask_crowds, BSDS500, DAVIS: licences not stated",
    "clothing_street: licence not stated",
)


@dataclass(frozen=True)
class Product:
    """What one bundled model is made of."""

    recipe: str
    """A shipped recipe, or one beside this script: what the bundled model was made by, with its own data's names."""
    labelled: str
    """The data set that people labelled; its validation part is what is measured on."""
    prompts: str
    teacher: str = ""
    """Who fills in what people did not label; nobody where empty."""
    teacher_words: str = ""
    unlabelled: tuple[str, ...] = ()
    """What the teacher alone labels."""
    partly: tuple[str, ...] = ()
    """Data sets in which an image is labelled completely, or has no label file and is labelled by the teacher. Some of
    the completely labelled images are held out."""
    scene: bool = False
    """Frames of the built-in scene too, so that the demo is detected; no part of any figure of accuracy."""
    data: tuple[str, ...] = ()
    score: float = 0.3
    twin: bool = False
    """Whether the float network is a model too, NAME-float, so that anyone can see what int8 gains and costs."""


PERSON = Product(
    f"{RECIPES}/person.toml", "person", "person", "picodet_s_416", "picodet_s_416 (PaddleDetection, Apache-2.0)",
    ("unlabelled", "face/images/train"), ("world",), True, PERSON_DATA, twin=True,
)  # fmt: skip
PRODUCTS = {
    "person": PERSON,
    "person-tiny": replace(PERSON, recipe=f"{RECIPES}/person-tiny.toml", twin=False, score=0.25),
    "face": Product(
        "face", "face", "face", "yunet_n_320_320", "yunet_n_320_320 (ShiqiYu, libfacedetection.train)",
        ("unlabelled",), data=(PERSON_DATA[3], PERSON_DATA[4]),
    ),
    "hardhat": Product(
        "hardhat", "hardhat", "hard_hat; no_hard_hat; no_head_wear; person", data=(PERSON_DATA[1],),
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("product", choices=PRODUCTS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="folder of the teachers' .onnx files")
    parser.add_argument("--videos", type=Path, help="folder of clips, frames of which the teacher labels too")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--recipe", help="a recipe in place of the product's own: a name or a .toml file")
    parser.add_argument("--labels", type=Path, help="data folder of another run, to train on in place of labelling")
    parser.add_argument("--out", type=Path, help="by default models/PRODUCT")
    parser.add_argument("--checkpoint", type=Path, help="export this one and train nothing")
    parser.add_argument(
        "--init", default="", help="what to begin from: a run or a model of ours, in place of the recipe's own"
    )
    parser.add_argument(
        "--with", dest="mean", action="append", default=[], metavar="NET=SHARE",
        help="keep the mean with these, as `distill mean` does: what the run began from",
    )  # fmt: skip
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--workers", type=int, default=usual_workers())
    parser.add_argument("--model-version", default="1")
    parser.add_argument("--note", action="append", default=[], help="a line for the card; repeat it")
    options = parser.parse_args()
    product = PRODUCTS[options.product]
    # A store of the run's own: a rebuild must not depend on what a user has added.
    os.environ.setdefault("XDG_DATA_HOME", str((options.run / "store").resolve()))
    try:
        rebuild(options, product)
    except EdgeVisionError as exc:
        sys.exit(f"{options.product}: {exc}")


def rebuild(options: argparse.Namespace, product: Product) -> None:
    labels = options.labels or options.run / "data"
    run = options.checkpoint or options.run / "student"
    recipe = read_recipe(options.recipe or product.recipe)
    if options.checkpoint is None:
        if options.labels is None:
            make_labels(options, product, labels)
        if recipe.soft.teacher in TEACHERS:
            known_teacher(recipe.soft.teacher, options.weights)
        if options.epochs:
            recipe = recipe.lasting(options.epochs)
        if options.init:
            recipe = recipe.model_copy(update={"init": options.init})
        parts = sorted(p.parent for p in labels.glob("*/labels.json"))
        with distill_console.progress("training") as tell:
            train_student(
                parts, recipe, run, validation=options.data / product.labelled, resume=run.exists(),
                workers=options.workers, threads=options.threads, say=distill_console.say, progress=tell,
            )  # fmt: skip
        if options.mean:
            mean_with(run, shares_in(options.mean), run / "mean.pt", distill_console.say)
            run = run / "mean.pt"
    out = options.out or Path("models") / options.product
    kinds = [(options.product, out, True)]
    if product.twin:
        kinds.append((f"{options.product}-float", out.with_name(f"{out.name}-float"), False))
    for name, target, int8 in kinds:
        fields = ModelCardFields(
            name, options.model_version, "Apache-2.0", product.score, product.teacher_words,
            f"scripts/rebuild_model.py {options.product}", product.data, tuple(options.note), pictures="scene",
            replace=True,
        )  # fmt: skip
        shipped = export_any(
            run,
            target,
            fields,
            ExportOptions(
                int8=int8,
                half=not int8,
                calibrate=None if options.checkpoint is None else options.data / product.labelled / "images/train",
                data=options.data / product.labelled,
                classes=tuple(c.strip() for c in product.prompts.split(";")),
                side_px=recipe.side_px,
            ),
            distill_console.say,
        )
        figure = shipped.evaluation.models[-1].ap50 if shipped.evaluation else ""
        size = (shipped.folder / "model.onnx").stat().st_size / 1e6
        print(f"{shipped.manifest.label}: AP50 {figure}, {shipped.ms:.1f} ms, {size:.2f} MB, in {shipped.folder}")


def make_labels(options: argparse.Namespace, product: Product, labels: Path) -> None:
    """The data folders ``labels``/…, each gone on with where it was stopped."""
    own = read_data(options.data / product.labelled).of_split("train")
    if not product.teacher:
        if not (labels / "people" / "labels.json").exists():
            import_data(options.data / product.labelled, labels / "people")
        return
    teachers = (TeacherSpec(known_teacher(product.teacher, options.weights), threads=options.threads),)
    with_people = settings_from(teachers, product.prompts, "0.45", "0.25")
    alone = settings_from(teachers, product.prompts, "0.38", "0.2")
    jobs: list[tuple[str, Callable[[Callable[[int, int, str], None]], object]]] = [
        (
            "people",
            lambda tell: label_folder(
                options.data / product.labelled / "images/train", labels / "people", teachers, with_people, people=own,
                progress=tell,
            ),
        )
    ]  # fmt: skip
    for place in product.unlabelled:
        name = place.split("/")[0]
        jobs.append(
            (
                name,
                lambda tell, p=place, n=name: label_folder(
                    options.data / p, labels / n, teachers, alone, progress=tell
                ),
            )
        )
    for place in product.partly:
        people = read_data(options.data / place)
        jobs.append(
            (
                place,
                lambda tell, p=place, own=people: label_folder(
                    options.data / p / "images/train", labels / p, teachers, with_people, people=own, progress=tell
                ),
            )
        )
    if options.videos is not None:
        frames = frames_of(options.videos, labels.parent / "clips")
        jobs.append(("clips", lambda tell: label_folder(frames, labels / "clips", teachers, alone, progress=tell)))
    for name, job in jobs:
        with distill_console.progress(f"labelling {name}") as tell:
            distill_console.label_table(job(tell))  # type: ignore[arg-type]
    for place in product.partly:
        complete = {p.path.name for p in read_data(options.data / place).usable}
        print(f"{place}: {settle(labels / place, complete)}")
    if product.scene and not (labels / "scene" / "labels.json").exists():
        draw_scene(labels / "scene")


def frames_of(videos: Path, folder: Path) -> Path:
    """Sharp and different frames of all clips, in a folder of pictures."""
    collector = Collector(folder, CollectSettings(most=160))
    for clip in sorted(videos.iterdir()):
        with open_source(str(clip)) as source:
            collect(source, clip.name, collector)
    return folder


def known_teacher(name: str, weights: Path | None) -> str:
    """A teacher's name, its file added to the store where it is not known there."""
    if name not in stored_names():
        if weights is None:
            raise EdgeVisionError(f"the teacher {name} is not among the models; name the folder of its file: --weights")
        add_model(weights / f"{name}.onnx", TEACHERS[name])
    return name


def draw_scene(folder: Path) -> None:
    """Frames of the built-in scene with its true boxes, at half size, as the other pictures are."""
    rng = np.random.default_rng(5)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    made = []
    for seed in range(100, 100 + SCENE_SEEDS):
        with SceneSource(people=int(rng.integers(2, 12)), size_wh=(768, 432), seed=seed, live=False) as scene:
            for k in range(SCENE_FRAMES):
                pixels, truth = scene.render(97 * k + int(rng.integers(60)))
                small = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
                name = f"scene_{seed}_{k}.png"
                cv2.imwrite(str(folder / "images" / name), small)
                boxes = tuple(Box(0, (b[0], b[1], b[2], b[3])) for b in (truth.boxes / 2).tolist())
                made.append(PictureLabels(name, small.shape[1], small.shape[0], "done", boxes))
    # Only now: labels.json says that all are there.
    with DataFolder(folder, ["person"]) as data:
        data.pictures.update({labels.file: labels for labels in made})


if __name__ == "__main__":
    main()
