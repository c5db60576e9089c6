"""The flags of foundation models, and the loader that they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevision.detectors.foundation import is_foundation, load_foundation
from edgevision.errors import UsageError

if TYPE_CHECKING:
    from edgevision.detectors.foundation.api_settings import ApiSettings
    from edgevision.detectors.foundation.base import FoundationDetector


@dataclass(frozen=True, slots=True)
class FoundationLoader:
    """Called with ``foundation:NAME``, loads it as the flags say: at the start, and when it is swapped in."""

    prompts: str | None = None
    weights: str | None = None
    device: str = "auto"
    ask: str = "boxes"
    allow_upload: bool = False
    api_url: str | None = None
    api_model: str | None = None
    min_score: float | None = None
    threads: int | None = None

    def __call__(self, model: str) -> FoundationDetector:
        from edgevision.detectors.foundation.prompts import Prompts

        return load_foundation(
            model,
            prompts=Prompts.given(self.prompts) if self.prompts is not None else None,
            weights=self._weights_of(model),
            device=self.device,
            threads=self.threads,
            min_score=self.min_score,
            allow_upload=self.allow_upload,
            ask=self.ask,
            api=self._api(),
        )

    def check(
        self,
        model: str,
        *,
        iou: float | None,
        classes: str | None,
        imgsz: int | None,
        workers: int | None,
        watch: bool,
    ) -> None:
        """Raises `UsageError` for flags that mean nothing for this model, before anything is opened."""
        if not is_foundation(model):
            return  # the flags then are for what may be swapped in
        useless = {
            "--iou": iou is not None,
            "--imgsz": imgsz is not None,
            "--workers": workers not in (None, 1),
            "--watch-folder": watch,
        }
        if given := [flag for flag, there in useless.items() if there]:
            raise UsageError(f"{model} takes no {' or '.join(given)}: a foundation model sets that itself")
        if classes is not None:
            raise UsageError(f"{model} takes no --classes: name what to look for with --prompts")

    @staticmethod
    def account(detector: FoundationDetector, say: Callable[[str], None]) -> None:
        """Say at the end what the questions came to, where any were asked."""
        if words := detector.account:
            say(f"{detector.name}: {words}")

    def _weights_of(self, model: str) -> str | None:
        # A model that names its weights is not given others: --weights are for the one on the command line.
        return None if "@" in model else self.weights

    def _api(self) -> ApiSettings | None:
        if self.api_url is None and self.api_model is None:
            return None
        if self.api_url is None or self.api_model is None:
            raise UsageError("expected --api-url URL and --api-model NAME together, got one of them")
        from edgevision.detectors.foundation.api_settings import ApiSettings

        return ApiSettings(self.api_url, self.api_model)
