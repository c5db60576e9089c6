"""Training in rounds, and an exported size that is not the trained one. Needs torch."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from edgevision.training.checkpoints import read_checkpoint  # noqa: E402
from edgevision.training.recipe import recipe_from  # noqa: E402
from edgevision.training.train import train_student  # noqa: E402
from edgevision.training.trainer import learning_rate  # noqa: E402
from tests.support.models import squares_data  # noqa: E402

pytestmark = pytest.mark.extra
SIDE = 64


def recipe(epochs, rounds, **more):
    values = {
        "student": {"widths": (8, 16, 16, 24), "depths": (0, 1, 1, 1), "neck_width": 16}, "batch": 10,
        "validate_every": 20, "phases": [{"epochs": epochs, "side_px": SIDE, "mosaic": 0.2}],
        "schedule": {"rate": 4e-3, "warm_up_steps": 2, "cool_down_epochs": 1, "average_decay": 0.8, "rounds": rounds},
    }  # fmt: skip
    values["schedule"] |= more.pop("schedule", {})
    return recipe_from(values | more, "test")


def test_every_round_warms_up_and_cools_down_at_a_lower_rate():
    wanted = recipe(7, 3, schedule={"later_rate": 0.5, "rate": 8.0})
    assert wanted.round_epochs == 3
    rates = [learning_rate(wanted, step, 10) for step in range(70)]
    assert rates[:3] == [4.0, 8.0, 8.0]
    assert rates[19:21] == [8.0, 8.0]
    assert rates[25] == pytest.approx(8 * (0.02 + 0.98 * 0.5))
    assert rates[30:33] == [2.0, 4.0, 4.0]
    assert rates[49] == 4.0
    assert rates[60] == pytest.approx(1.0), "a last round of one epoch warms up in its cool-down"
    assert max(rates[61:]) <= 2.0
    assert [learning_rate(recipe(7, 1), s, 10) for s in (5, 59)] == [4e-3, 4e-3]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("rounds")
    squares_data(root / "data", SIDE)
    return root


class Killed(BaseException):
    pass


def trained(root, name, wanted, killed_in=None):
    def kill(done, total, words):
        if words == killed_in:
            raise Killed

    train_student(
        [root / "data"], wanted, root / name, workers=0, threads=1, resume=(root / name).exists(), progress=kill
    )
    return read_checkpoint(root / name)


def test_a_round_begins_with_the_averaged_weights(data):
    wanted = recipe(2, 2, schedule={"later_rate": 1e-9})
    with pytest.raises(Killed):
        trained(data, "averaged", wanted, "epoch 2")
    first = read_checkpoint(data / "averaged")
    last = trained(data, "averaged", wanted)
    apart = [(first["model"][n] - first["average"][n]).abs().max() for n in first["model"] if n.endswith("0.weight")]
    assert max(apart) > 1e-6
    for name, value in first["average"].items():
        if name.endswith(("0.weight", "predictions.0.bias")):
            torch.testing.assert_close(last["model"][name], value, atol=1e-9, rtol=0, msg=name)


def test_a_run_killed_between_rounds_goes_on_as_if_it_was_not(data):
    whole = trained(data, "whole", recipe(3, 3))
    with pytest.raises(Killed):
        trained(data, "killed", recipe(3, 3), "epoch 2")
    again = trained(data, "killed", recipe(3, 3))
    for part in ("model", "average"):
        for name, tensor in whole[part].items():
            torch.testing.assert_close(again[part][name], tensor, rtol=0, atol=0, msg=name)


def test_a_network_is_validated_and_exported_at_the_size_that_is_asked_for(data):
    wanted = recipe(1, 1, exported_px=32)
    assert wanted.side_px == 32
    assert wanted.phase(0).side_px == SIDE
    assert trained(data, "smaller", wanted)["side_px"] == 32
    row = json.loads((data / "smaller" / "log.jsonl").read_text().splitlines()[-1])
    assert row["side"] == SIDE
    assert "ap50" in row
    assert wanted.sized(96).side_px == 96
    assert [p.side_px for p in wanted.sized(96).phases] == [96]
