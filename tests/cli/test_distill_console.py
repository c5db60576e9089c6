"""Progress where nobody watches: a line now and then, and none twice."""

from __future__ import annotations

import pytest

from edgevision.cli import distill_console
from edgevision.cli.distill_console import progress


def test_a_line_is_not_repeated(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distill_console, "_LINE_EVERY_S", 0.0)
    with progress("training") as tell:
        for done in (0, 1, 1, 1, 2, 3, 3, 3):
            tell(done, 3, "epoch")
        for _ in range(5):
            tell(3, 3, "writing")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "training: 0 of 3",
        "training: 1 of 3",
        "training: 2 of 3",
        "training: 3 of 3",
    ]
