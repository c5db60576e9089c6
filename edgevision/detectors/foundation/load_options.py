"""What was asked for, as the models' loaders get it."""

from __future__ import annotations

from dataclasses import dataclass

from edgevision.detectors.foundation.api_settings import ApiSettings
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.errors import UsageError

ASKS = ("boxes", "presence")


@dataclass(frozen=True, slots=True)
class FoundationOptions:
    """Arguments of `load_foundation`. Raises `UsageError`."""

    name: str
    prompts: Prompts | None = None
    weights: str | None = None
    device: str = "auto"
    threads: int | None = None
    min_score: float | None = None
    allow_upload: bool = False
    ask: str = "boxes"
    api: ApiSettings | None = None

    def __post_init__(self) -> None:
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise UsageError(f"score threshold: expected a number from 0 to 1, got {self.min_score}")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads: expected at least 1, got {self.threads}")
        if self.ask not in ASKS:
            raise UsageError(f"ask: expected {' or '.join(ASKS)}, got {self.ask!r}")

    @property
    def random(self) -> bool:
        return self.weights == "random"
