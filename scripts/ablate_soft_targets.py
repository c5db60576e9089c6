"""What soft targets bring: the same student, data, seed and epochs, with boxes only, with scores, and dense.

    python scripts/ablate_soft_targets.py DATA... --val DATA --student person --epochs 10 --run ../runs/ablation

Each way is a run of its own below ``--run`` and is gone on with where it was stopped. ``--dense-teacher NET`` adds the
third way, by a larger student of ours or by a detector of the store. With ``--seeds 1,2,3`` the spread over seeds says
which differences mean anything.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

from edgevision.cli import distill_console
from edgevision.errors import EdgeVisionError
from edgevision.training.recipe import read_recipe, softened
from edgevision.training.train import train_student, usual_workers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--val", type=Path)
    parser.add_argument("--student", default="person")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--side", type=int)
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--dense-teacher", metavar="NET")
    parser.add_argument("--ways", default="boxes,scores", help="what is compared beside the dense teacher")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--workers", type=int, default=usual_workers())
    options = parser.parse_args()
    ways = options.ways.split(",") + ([f"dense={options.dense_teacher}"] if options.dense_teacher else [])
    found: dict[str, list[float]] = {}
    try:
        base = read_recipe(options.student).lasting(options.epochs)
        if options.side:
            base = base.sized(options.side)
        for seed in (int(s) for s in options.seeds.split(",")):
            for way in ways:
                recipe = softened(base.model_copy(update={"seed": seed}), way)
                kind = recipe.soft.targets
                run = options.run / f"{kind}-{seed}"
                with distill_console.progress(f"{kind}, seed {seed}") as tell:
                    train_student(
                        options.data, recipe, run, validation=options.val, resume=run.exists(), threads=options.threads,
                        workers=options.workers, say=distill_console.say, progress=tell,
                    )  # fmt: skip
                rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
                found.setdefault(kind, []).append([r["ap50"] for r in rows if "ap50" in r][-1])
    except EdgeVisionError as exc:
        sys.exit(str(exc))
    print(f"\n| targets | AP50 after {options.epochs} epochs | over `boxes` |\n|---|---|---|")
    for kind, values in found.items():
        mean = statistics.mean(values)
        spread = f" ± {statistics.stdev(values):.3f} over {len(values)} seeds" if len(values) > 1 else ""
        print(f"| {kind} | {mean:.3f}{spread} | {mean - statistics.mean(found['boxes']):+.3f} |")


if __name__ == "__main__":
    main()
