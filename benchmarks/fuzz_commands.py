"""Command lines that nobody meant: each ends within 10 s, in one sentence, without a traceback.

    python benchmarks/fuzz_commands.py [--count 2000] [--seed N]

Every command's arguments and options are read from the command line itself, so a new option is tried too. The
commands run one after another in a worker process with its own home and folder; a worker that hangs is ended.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

LIMIT_S = 10
LONG = "a" * 300
TEXTS = (
    *("", " ", "-", "--", "x", "~nouser/x", "~", LONG, LONG + ".onnx", LONG + "/x.json", "b" * 5000, "a\x1b[31mb"),
    *("a\x1b]0;title\x07", "a\nb", "a\rb", "\udcff", "日本", "../../x", "/", ".", "..", "%s%n", "{}", "[", "*", "**/*"),
    *("person", "person@1", "PERSON", "nonsense", "99", "-1", "0", "csi://0", "auto", "none", "a,b,,", ",", "a:b"),
    *("scene://?size=30000x30000", "scene://?size=1x1", "scene://?frames=2&live=0", "scene://?x", "scene://\x1b[2J"),
    *("http://127.0.0.1:1/", "http://[::1", "http://127.0.0.1:99999/", "http://\x1b[2J/", "rtsp://127.0.0.1:1/x"),
    *(
        "file:///etc/passwd",
        "foundation:",
        "foundation:nonsense",
        "mqtt://127.0.0.1:1/t",
        "gopher://x",
        "://",
        "http://",
    ),
)
PATHS = (
    *("/dev/zero", "/dev/null", "/dev/full", "/proc/self/mem", "/proc/x.json", "/sys/x", "pipe", "to-zero", "to-pipe"),
    *("noise.bin", "noise.onnx", "deep.json", "deep.toml", "empty", "empty.json", "text.txt", "folder", "folder.onnx"),
    *("huge-number.json", "list.json", "null.json", "bom.json", "data", "missing.json", "missing/x.mp4", "text.txt/x"),
    *("pipe.json", "zero.json", "zero.onnx", "pipe.onnx", "zero.toml", "image.png", "bad-manifest", "socket"),
)
NUMBERS = (
    "0",
    "-1",
    "1",
    "2",
    "99999",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "1" + "0" * 400,
    "1.5",
    "",
    "x",
    "٣",
    "0x10",
    "1e-400",
)
NEVER_LONG = ("0", "-1", "1", "nan", "-inf", "x", "")
LASTING = frozenset(
    {"--seconds", "--frames", "--budget", "--epochs", "--shadow", "--watch-seconds", "--workers", "--threads"}
)
"""Options whose large values are meant to take long."""


@dataclass(frozen=True)
class Option:
    name: str
    flag: bool
    number: bool


@dataclass(frozen=True)
class Command:
    words: tuple[str, ...]
    arguments: int
    options: tuple[Option, ...]


def commands() -> list[Command]:
    """Every command, with what it takes."""
    import typer

    from edgevision.cli import app

    found: list[Command] = []

    def walk(command: Any, words: tuple[str, ...]) -> None:
        params = [p for p in command.params if p.name not in ("help", "version")]
        options = tuple(
            Option(p.opts[-1], bool(p.is_flag), _is_number(p)) for p in params if p.param_type_name == "option"
        )
        arguments = sum(p.param_type_name == "argument" for p in params)
        if not hasattr(command, "commands") or params:
            found.append(Command(words, arguments, options))
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, (*words, name))

    walk(typer.main.get_command(app), ())
    # What looks at the machine takes as long as the machine lets it.
    return [command for command in found if command.words and command.words != ("doctor",)]


def _is_number(param: Any) -> bool:
    annotation = str(param.type_descriptor.annotation)
    return "int" in annotation or "float" in annotation


def command_lines(count: int, seed: int = 0) -> Iterator[list[str]]:
    """Command lines, each command in its turn."""
    rng = random.Random(seed)
    every = commands()
    for number in range(count):
        yield _line(every[number % len(every)], rng)


def _line(command: Command, rng: random.Random) -> list[str]:
    words = list(command.words)
    given: set[str] = set()
    count = command.arguments if rng.random() < 0.85 else rng.randint(0, 3)
    words.extend(rng.choice(TEXTS + PATHS) for _ in range(count))
    for option in rng.sample(command.options, min(len(command.options), rng.choice((0, 1, 1, 2, 3)))):
        given.add(option.name)
        words.append(option.name)
        if option.name in LASTING:
            words.append(rng.choice(NEVER_LONG))
        elif not option.flag:
            words.append(rng.choice(NUMBERS) if option.number and rng.random() < 0.9 else rng.choice(TEXTS + PATHS))
    if command.words == ("run",):
        for name, value in (("--source", "scene://?frames=2&live=0"), ("--seconds", "1"), ("--display", "none")):
            if name not in given:
                words += [name, value]
    if command.words[0] == "bench" and not given & {"--source", "--data", "--images"} and len(command.words) in (1, 2):
        known = {option.name for option in command.options}
        words += ["--source", "missing.mp4"] if "--source" in known else []
    if rng.random() < 0.05:
        words.insert(rng.randint(0, len(words)), rng.choice(("--help", "--nonsense", "-x", "--json=x", "")))
    return words


def prepare(folder: Path) -> None:
    """The files that the values name."""
    (folder / "folder").mkdir()
    (folder / "folder.onnx").mkdir()
    (folder / "noise.bin").write_bytes(random.Random(1).randbytes(5000))
    (folder / "noise.onnx").write_bytes(random.Random(2).randbytes(5000))
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "deep.toml").write_text("a = " + "[" * 100_000)
    (folder / "huge-number.json").write_text('{"version": 1' + "0" * 5000 + "}")
    for name, text in (
        ("empty", ""),
        ("empty.json", ""),
        ("text.txt", "hello"),
        ("list.json", "[1]"),
        ("null.json", "null"),
    ):
        (folder / name).write_text(text)
    (folder / "bom.json").write_bytes(b"\xef\xbb\xbf{}")
    for name in ("pipe", "pipe.json", "pipe.onnx"):
        os.mkfifo(folder / name)
    for name in ("to-zero", "zero.json", "zero.onnx", "zero.toml"):
        (folder / name).symlink_to("/dev/zero")
    (folder / "to-pipe").symlink_to(folder / "pipe")
    (folder / "data" / "images").mkdir(parents=True)
    (folder / "data" / "labels").mkdir()
    (folder / "data" / "labels" / "a.txt").write_text("0 nan 2 3 1e400\n")
    (folder / "data" / "data.yaml").write_text("names: [a\x1b[31m]\n")
    (folder / "bad-manifest").mkdir()
    (folder / "bad-manifest" / "model.toml").write_text("name = 1\nclasses = []\n[input]\n")
    import cv2
    import numpy as np

    image = np.zeros((64, 64, 3), np.uint8)
    cv2.imwrite(str(folder / "image.png"), image)
    cv2.imwrite(str(folder / "data" / "images" / "a.png"), image)


def limit_s() -> float:
    """Seconds for one command: more where others wait for the same cores."""
    return LIMIT_S * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class _Late(BaseException):
    """A command took longer than it may."""


def _serve() -> None:
    """The worker: a command line a line in, what became of it out."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    quiet = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(quiet, fd)
    sys.stdin = Path(os.devnull).open()  # noqa: SIM115
    from edgevision.cli import main

    for name in ("cv2", "av", "onnxruntime", "torch", "transformers", "edgevision.training.trainer"):
        with contextlib.suppress(ImportError):  # a slow import is not a hang
            import_module(name)

    def late(*_: object) -> None:
        raise _Late

    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGALRM, late)
    for line in requests:
        words: list[str] = json.loads(line)
        sys.argv = ["edgevision", *words]
        out = io.StringIO()
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        signal.setitimer(signal.ITIMER_REAL, limit_s())
        began, ending = time.monotonic(), "0"
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                main()
        except SystemExit as exc:
            ending = str(exc.code)
        except _Late:
            ending = "late"
        except BaseException as exc:  # what would be a traceback
            ending = f"traceback: {type(exc).__name__}: {exc}"
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        text = out.getvalue()
        if "Traceback (most recent call last)" in text:
            ending = "traceback in its output"
        answer = {"ending": ending[:500], "said": text[-1500:], "took_s": time.monotonic() - began}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


@dataclass(frozen=True)
class Outcome:
    words: list[str]
    ending: str
    """An exit code, "late", "died", or "traceback…"."""
    said: str
    took_s: float

    @property
    def wrong(self) -> str | None:
        if self.ending in ("late", "died") or self.ending.startswith("traceback"):
            return self.ending
        if "not foreseen" in self.said:
            return "unforeseen"
        if any((ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 for c in self.said.replace("\r", "")):
            return "control characters"
        return None


_FIRST = ["models", "list", "--json"]
_START_S = 120


class Worker:
    """The worker process; started anew after one that hung or died."""

    def __init__(self, folder: Path) -> None:
        home = folder / "home"
        home.mkdir(exist_ok=True)
        keep = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        root = str(Path(__file__).resolve().parents[1])
        self._environment = keep | {
            "HOME": str(home),
            "XDG_DATA_HOME": str(home),
            "XDG_RUNTIME_DIR": str(home),
            "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))),
            "COLUMNS": "80",
            "NO_COLOR": "1",
        }
        self._folder = folder / "work"
        self._folder.mkdir(exist_ok=True)
        prepare(self._folder)
        self._process: subprocess.Popen[str] | None = None

    def run(self, words: list[str]) -> Outcome:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).resolve()), "--serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self._folder,
                env=self._environment,
                text=True,
            )
            self.run(_FIRST)  # imports take their time once
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        began = time.monotonic()
        process.stdin.write(json.dumps(words) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], _START_S if words == _FIRST else 2 * limit_s())
        line = process.stdout.readline() if ready else ""
        if line:
            got = json.loads(line)
            return Outcome(words, got["ending"], got["said"], got["took_s"])
        self.close()
        return Outcome(words, "died" if ready else "late", "", time.monotonic() - began)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def fuzz(count: int, seed: int = 0) -> Iterator[Outcome]:
    """Run so many command lines; one that was late is run once more, alone."""
    with tempfile.TemporaryDirectory(prefix="edgevision-fuzz-") as folder:
        worker = Worker(Path(folder))
        try:
            for words in command_lines(count, seed):
                outcome = worker.run(words)
                if outcome.ending == "late":
                    worker.close()
                    outcome = worker.run(words)
                yield outcome
        finally:
            worker.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        _serve()
        return 0
    began, endings, wrong, longest = time.monotonic(), Counter[str](), 0, 0.0
    for outcome in fuzz(options.count, options.seed):
        endings[outcome.wrong or f"exit {outcome.ending}"] += 1
        longest = max(longest, outcome.took_s)
        if outcome.wrong is not None:
            wrong += 1
            words = " ".join(repr(word[:40]) for word in outcome.words)
            sys.stdout.write(f"{outcome.wrong[:150]}\n    {words}\n    {outcome.said.strip()[-300:]!r}\n")
            sys.stdout.flush()
    sys.stdout.write(
        f"{options.count} command lines in {time.monotonic() - began:.0f} s, the longest {longest:.1f} s: "
        + ", ".join(f"{number} × {ending[:60]}" for ending, number in endings.most_common())
        + "\n"
    )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
