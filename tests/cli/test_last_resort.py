"""Whatever goes wrong is one sentence, an exit code, and never a traceback on the terminal."""

from __future__ import annotations

import errno
import io
import json
import logging
import re
import sys
from pathlib import Path

import pytest
import typer
from rich.table import Table

import edgevision.cli
from benchmarks.fuzz_commands import fuzz
from edgevision.cli.last_resort import sentence_of
from edgevision.cli.safe_stream import SafeStream, guard_streams
from edgevision.cli.terminal import Terminal
from edgevision.errors import ModelInvalid

CLEAR = "\x1b[2J\x1b]0;yours\x07"


@pytest.mark.parametrize(
    ("error", "said", "code"),
    [
        (ModelInvalid(f"m.onnx: class {CLEAR}"), r"^m\.onnx: class \\x1b\[2J", 4),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 300), r"^a{60}…a{20} \(300 bytes\): File name too", 1),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "^/x: Permission denied: check", 1),
        (OSError(errno.ENOSPC, "No space left on device"), "^No space left on device: check", 1),
        (RuntimeError("Could not determine home directory."), "begins with ~ and a name", 2),
        (OverflowError("int too large to convert to float"), "a number is too large", 2),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply", 1),
        (ValueError("embedded null byte"), "zero byte", 2),
        (MemoryError(), "memory of this machine", 1),
    ],
)
def test_what_is_foreseen(error: Exception, said: str, code: int) -> None:
    text, found = sentence_of(error)
    assert re.search(said, text), text
    assert found == code
    assert "\n" not in text
    assert "\x1b" not in text


def test_a_fault_of_ours_is_kept_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> None:
        raise KeyError(f"a fault {CLEAR}")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(edgevision.cli, "app", broken)
    monkeypatch.setattr(sys, "argv", ["edgevision", "doctor"])
    with pytest.raises(SystemExit) as caught:
        edgevision.cli.main()
    assert caught.value.code == 70
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Traceback" not in said
    assert "\x1b" not in said
    (kept,) = tmp_path.iterdir()
    assert f"please report it with the file {kept}" in said
    assert "Traceback" in kept.read_text()
    assert "'doctor'" in kept.read_text()


def test_nothing_written_as_text_reaches_the_terminal_raw(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.StringIO()
    monkeypatch.setattr(sys, "stdout", raw)
    monkeypatch.setattr(sys, "stderr", raw)
    guard_streams()
    guard_streams()
    assert isinstance(sys.stdout, SafeStream)
    typer.echo(f"a class: {CLEAR}")
    sys.stderr.write(f"a camera: {CLEAR}\n")
    logging.StreamHandler(sys.stderr).emit(logging.makeLogRecord({"msg": f"a server: {CLEAR}"}))
    sys.stdout.write(json.dumps({"name": "\x1b\x9b\u202e"}, ensure_ascii=False) + "\n")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", raw.getvalue())
    assert json.loads(raw.getvalue().splitlines()[-1]) == {"name": "\x1b\x9b\u202e"}


def test_nothing_in_a_table_reaches_the_terminal_raw() -> None:
    out = io.StringIO()
    console = Terminal(file=out, force_terminal=True, width=80)
    table = Table("class", title=f"title {CLEAR}")
    table.add_row(f"[bold]{CLEAR}[/]")
    console.print(table)
    console.print(f"a sentence {CLEAR}", style="red")
    assert "\x1b[2J" not in out.getvalue()
    assert "\x07" not in out.getvalue()
    assert "\x1b[31m" in out.getvalue(), "colours of ours stay"


def test_no_command_has_a_console_of_its_own() -> None:
    folder = Path(edgevision.cli.__file__).parent
    own = [p for p in folder.rglob("*.py") if p.name != "terminal.py" and re.search(r"\bConsole\(", p.read_text())]
    assert not own, "edgevision.cli.terminal.Terminal keeps strangers' control characters from the terminal"


def test_sixty_command_lines_that_nobody_meant() -> None:
    """`benchmarks/fuzz_commands.py` tries thousands."""
    wrong = [outcome for outcome in fuzz(60, seed=11) if outcome.wrong is not None]
    assert not wrong


@pytest.mark.parametrize(
    "words", [["models", "show", "evil"], ["models", "list"], ["models", "show", "evil", "--json"]]
)
def test_a_class_of_control_characters_is_written_out(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"x")
    (folder / "model.toml").write_text(
        'name = "evil"\nfamily = "yolox"\n'
        'classes = ["a\\u001b[2J\\u009b31m", "b"]\nlicence = "free\\u001b]0;x\\u0007"\n'
        "[input]\nwidth_px = 64\nheight_px = 64\n"
    )
    monkeypatch.setenv("EDGEVISION_MODELS", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["edgevision", *words])
    with pytest.raises(SystemExit) as caught:
        edgevision.cli.main()
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", said)
    if "--json" in words:
        assert json.loads(said)["classes"] == ["a\x1b[2J\x9b31m", "b"]
    else:
        assert "\\x1b" in said


@pytest.mark.parametrize("data", ["[" * 100_000, '{"a":' * 100_000])
def test_json_nested_100_000_deep_is_one_sentence(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text(data)
    monkeypatch.setattr(sys, "argv", ["edgevision", "bench", "report", str(tmp_path / "run.json")])
    with pytest.raises(SystemExit) as caught:
        edgevision.cli.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
