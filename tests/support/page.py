"""A loop with its live page and control API, running in this process until left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevision.deployment.app import App
from edgevision.deployment.candidate import Candidate
from edgevision.deployment.swapper import Swapper
from edgevision.errors import ModelNotFound
from edgevision.interfaces import Source
from edgevision.pipeline.loop import Pipeline
from edgevision.sinks.browser import BrowserSink
from edgevision.sinks.render import Renderer
from edgevision.types import Detections
from edgevision.web import ControlApi, LivePage

TOKEN = "a-token-for-tests"


class Blind:
    """A detector that finds nothing, at once."""

    name, classes = "blind@1", ("object",)

    def detect(self, pixels: NDArray[np.uint8]) -> Detections:
        return Detections.empty()


@dataclass(frozen=True)
class RunningPage:
    page: LivePage
    app: App


def _no_model(model: str) -> Candidate:
    raise ModelNotFound(f"expected a model of the store, got {model!r}")


@contextmanager
def running_page(source: Source) -> Iterator[RunningPage]:
    sink = BrowserSink()
    pipeline = Pipeline(source, Blind(), renderer=Renderer(), sinks=[sink])
    app = App(pipeline, Swapper(pipeline, _no_model))
    loop = threading.Thread(target=lambda: [None for _ in app.results()], daemon=True)
    api = ControlApi(app.swapper, lambda: pipeline.status)
    with LivePage(sink, pipeline.controls, token=TOKEN, api=api) as page:
        loop.start()
        try:
            yield RunningPage(page, app)
        finally:
            pipeline.controls.quit()
            loop.join(10)
