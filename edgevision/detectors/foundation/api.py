"""A model behind an OpenAI-compatible chat endpoint (GPT, Gemini, Claude, a local server): frames leave this machine.

Nothing is sent without ``allow_upload``. The key is read from the environment for each request and is in no log,
message or representation.
"""

from __future__ import annotations

import base64
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.foundation.api_client import ChatClient, Usage
from edgevision.detectors.foundation.api_settings import ApiSettings
from edgevision.detectors.foundation.base import Found, FoundationDetector
from edgevision.detectors.foundation.load_options import FoundationOptions
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.detectors.foundation.vlm_answers import Tally, Unparsable, question, read_answer
from edgevision.errors import ModelFailed, UsageError

JPEG_QUALITY = 85


class ApiDetector(FoundationDetector):
    """Each frame is one question. `usage` counts requests, retries, errors, tokens, time and cost; `answers`, answers.

    A request that fails for good raises `ModelFailed`; an answer that cannot be read is counted and finds nothing.
    """

    title = "API"

    def __init__(self, order: FoundationOptions, settings: ApiSettings, prompts: Prompts) -> None:
        mode = f"asked for {order.ask} by API at {settings.host}, longer side at most {settings.max_side_px} px"
        super().__init__(order, settings.model, prompts.classes, mode)
        self.settings = settings
        self.answers = Tally()
        self._ask, self._prompts = order.ask, prompts
        self._client = ChatClient(settings)

    @classmethod
    def load(cls, order: FoundationOptions) -> Self:
        if order.weights is not None:
            raise UsageError("foundation:api has no weights of its own; name its model with --api-model")
        if order.api is None:
            raise UsageError("foundation:api needs --api-url URL and --api-model NAME: the endpoint to ask")
        if not order.allow_upload:
            raise UsageError(
                f"foundation:api sends every frame to {order.api.host}; "
                "give --allow-upload if frames may leave this machine"
            )
        order.api.key()  # refused now rather than on the first frame
        return cls(order, order.api, order.prompts or Prompts.default())

    @property
    def usage(self) -> Usage:
        """What the requests so far have taken and cost."""
        return self._client.usage

    @property
    def unread_answers(self) -> int:
        return self.answers.unparsable

    @property
    def account(self) -> str:
        return "; ".join(part for part in (self.answers.words, self.usage.words) if part)

    def close(self) -> None:
        super().close()
        self._client.close()

    def _find(self, pixels: NDArray[np.uint8]) -> Found:
        self.answers.asked += 1
        text = self._client.ask(question(self._ask, self._prompts), _data_url(pixels, self.settings.max_side_px))
        try:
            found = read_answer(self._ask, text, self._prompts, (pixels.shape[1], pixels.shape[0]))
        except Unparsable as exc:
            self.answers.unparsable += 1
            self.answers.last_reason = str(exc)
            return Found.nothing()
        self.answers.answered += 1
        return found


def _data_url(pixels: NDArray[np.uint8], most_px: int) -> str:
    """The frame as a JPEG in a data URL, scaled down where it is larger."""
    height, width = pixels.shape[:2]
    scale = most_px / max(height, width)
    if scale < 1:
        wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = np.asarray(cv2.resize(pixels, wh, interpolation=cv2.INTER_AREA), np.uint8)
    done, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise ModelFailed("foundation:api: the frame cannot be written as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")
