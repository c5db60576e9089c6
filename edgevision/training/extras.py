"""Optional packages, asked for where a command begins, so that it ends in one sentence where they are absent."""

from __future__ import annotations

import importlib.util

from edgevision.errors import MissingExtra


def need_train(purpose: str) -> None:
    """PyTorch and onnx. Raises `MissingExtra`."""
    for package in ("torch", "onnx"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, "train", purpose)


def need_ultralytics(purpose: str) -> None:
    """Raises `MissingExtra`."""
    if importlib.util.find_spec("ultralytics") is None:
        raise MissingExtra("ultralytics", "ultralytics", purpose)
