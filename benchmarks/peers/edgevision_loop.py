"""Our loop, drawn and encoded, as `edgevision run` sets it up: clip, model, frames, streams; prints fps."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
from clock import fps_of
from plain import jpeg

import edgevision as ev
from edgevision.cli.console import SWITCH_S
from edgevision.pipeline.memory import keep_freed_memory
from edgevision.sinks.render import Renderer


class Jpeg:
    """Has every frame drawn and encoded, shown to nobody: the peers' work."""

    wants_picture = True

    def publish(self, result: object, picture, status: object) -> None:
        jpeg(picture)

    def notice(self, status: object) -> None: ...

    def close(self) -> None: ...


def results(clip: str, model: str, streams: int):
    detector = ev.load_detector(model, threads=1, lanes=streams)
    with ev.open_source(Path(clip)) as source:
        pipeline = ev.Pipeline(source, detector, streams=streams, sinks=(Jpeg(),), renderer=Renderer())
        yield from pipeline.results()


if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_S)
    cv2.setNumThreads(1)
    keep_freed_memory()
    print(fps_of(results(sys.argv[1], sys.argv[2], int(sys.argv[4])), int(sys.argv[3])))
