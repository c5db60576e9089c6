"""The mean of networks of one beginning. Needs torch."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from edgevision.cli.distill import app  # noqa: E402
from edgevision.errors import UsageError  # noqa: E402
from edgevision.training.checkpoints import load_student, read_checkpoint  # noqa: E402
from edgevision.training.recipe import recipe_from  # noqa: E402
from edgevision.training.student import Student, StudentShape  # noqa: E402
from edgevision.training.train import train_student  # noqa: E402
from edgevision.training.weight_averaging import fit_norms, weighted  # noqa: E402
from tests.support.models import squares_data  # noqa: E402

pytestmark = pytest.mark.extra
SHAPE = {"widths": (8, 16, 16, 24), "depths": (0, 1, 1, 1), "neck_width": 16}
SIDE = 64


def network(seed):
    torch.manual_seed(seed)
    made = Student(StudentShape(1, **SHAPE)).train()
    for _ in range(4):
        made(torch.rand(4, 3, SIDE, SIDE))
    return made.eval()


def test_weights_are_the_mean_by_shares():
    a, b = network(1), network(2)
    mean = weighted([(a, 0.25), (b, 0.75)]).state_dict()
    for name, value in a.state_dict().items():
        if value.dtype.is_floating_point:
            torch.testing.assert_close(mean[name], 0.25 * value + 0.75 * b.state_dict()[name])


def test_batch_norms_get_the_statistics_of_the_pictures():
    student = network(3)
    pictures = [torch.rand(4, 3, SIDE, SIDE) * 0.2 for _ in range(3)]
    fit_norms(student, pictures)
    convolution, norm = student.stem[0][0], student.stem[0][1]
    with torch.no_grad():
        seen = torch.cat([convolution(p) for p in pictures])
    torch.testing.assert_close(norm.running_mean, seen.mean((0, 2, 3)), atol=1e-5, rtol=1e-4)
    assert norm.momentum is not None
    assert not norm.training


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs from one beginning, and one of another shape."""
    root = tmp_path_factory.mktemp("mean")
    squares_data(root / "data", SIDE)

    def run(name, epochs, **more):
        values = {
            "student": SHAPE, "batch": 10, "validate_every": 20,
            "phases": [{"epochs": epochs, "side_px": SIDE, "mosaic": 0.2}],
            "schedule": {"rate": 6e-3, "warm_up_steps": 4, "cool_down_epochs": 2, "average_decay": 0.8},
        }  # fmt: skip
        train_student([root / "data"], recipe_from(values | more, "test"), root / name, workers=0, threads=1)

    run("first", 12)
    run("on", 4, init=str(root / "first"), seed=2)
    run("wide", 1, student={**SHAPE, "widths": (8, 16, 16, 32)})
    return root


def mean(*words):
    got = CliRunner().invoke(app, ["mean", *map(str, words)])
    if got.exception is not None and not isinstance(got.exception, SystemExit):
        raise got.exception
    assert got.exit_code == 0, got.output
    return got.stderr


def test_a_runs_mean_is_measured_and_exported(runs, tmp_path):
    told = mean(runs / "on", "--with", f"{runs / 'first'}=0.4", "--out", runs / "on" / "mean.pt")
    assert "AP50 " in told
    assert float(told.split("AP50 ")[1].split()[0]) > 0.5
    made = read_checkpoint(runs / "on" / "mean.pt")
    assert made["classes"] == ["square"]
    a, b = load_student(runs / "on").state_dict(), load_student(runs / "first").state_dict()
    torch.testing.assert_close(
        made["average"]["stem.0.0.weight"], 0.6 * a["stem.0.0.weight"] + 0.4 * b["stem.0.0.weight"]
    )
    words = [
        "export",
        str(runs / "on" / "mean.pt"),
        "--name",
        "kin",
        "--out",
        str(tmp_path / "kin"),
        "--pictures",
        "none",
    ]
    assert CliRunner().invoke(app, words).exit_code == 0
    card = (tmp_path / "kin" / "README.md").read_text()
    assert "begun from" in card
    assert "mean of" in card
    assert "(0.6)" in card
    assert "/tmp" not in card
    # An exported model has the same beginning: its batch norms are fitted to the run's pictures.
    assert "AP50" in mean(runs / "on", "--with", f"{tmp_path / 'kin'}=0.5", "--out", tmp_path / "new" / "again.pt")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--with", "first"], "expected NET=SHARE, such as person=0.35, got 'first'"),
        (["--with", "{first}=half"], "expected NET=SHARE"),
        (["--with", "{first}=1"], "leave the run some of 1"),
        (["--with", "{first}=0.6", "--with", "{first}=0.5"], "leave the run some of 1"),
        (["--with", "{wide}=0.5"], "expected a network of the run's shape"),
        (["--with", "nothing=0.5"], "expected a run or checkpoint of our trainer"),
    ],
)
def test_what_cannot_be_averaged_is_told(runs, words, told):
    words = [w.format(first=runs / "first", wide=runs / "wide") for w in words]
    with pytest.raises(UsageError, match=told.replace("(", r"\(")):
        mean(runs / "on", *words, "--out", runs / "bad.pt")
    assert not (runs / "bad.pt").exists()
