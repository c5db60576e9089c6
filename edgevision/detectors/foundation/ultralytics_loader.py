"""The only way to ultralytics, which is AGPL-3.0: imported when one of its models is asked for by name, and not before.

Its predictors and exporters import torchvision; its networks do not, and the networks are all that is used here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgevision.detectors.foundation.torch_base import need
from edgevision.errors import EdgeVisionError, MissingExtra, ModelInvalid, ModelNotFound

LICENCE_NOTE = "ultralytics, whose licence is AGPL-3.0"


def need_ultralytics(title: str) -> None:
    """Import ultralytics for ``title``. Raises `MissingExtra`."""
    need("ultralytics", "ultralytics", f"{title} (of {LICENCE_NOTE})")
    # It would install packages by itself where one is absent; nothing is downloaded here unasked.
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    try:
        import ultralytics  # noqa: F401
    except ImportError as exc:
        raise MissingExtra(exc.name or "ultralytics", "ultralytics", f"{title} (of {LICENCE_NOTE})") from exc


def fetched(weights: str, title: str) -> Path:
    """A checkpoint file: the one named, or one of the library's own by name, from its folder or its download.

    Raises `ModelNotFound`.
    """
    path = Path(weights).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        found = sorted(path.glob("*.pt"))
        if len(found) != 1:
            raise ModelNotFound(f"{weights}: expected one .pt file in it, found {len(found)}; name the file")
        return found[0]
    if path.name != weights:
        raise ModelNotFound(f"{weights}: no such file; expected a .pt file of {title}, or random")
    with translated(weights, title):
        from ultralytics.utils import SETTINGS
        from ultralytics.utils.downloads import attempt_download_asset

        # By its full path: of a bare name, ultralytics leaves the file wherever one stands.
        got = Path(attempt_download_asset(Path(SETTINGS["weights_dir"]) / weights))
        if not got.is_file():
            raise FileNotFoundError("not downloaded")
        return got


def load_network(weights: str, kind: type[Any], title: str) -> Any:
    """The network in a checkpoint, unpickled under ultralytics' own allow-list: no foreign code runs.

    Raises `ModelNotFound`, and `ModelInvalid` where it holds no ``kind``.
    """
    path = fetched(weights, title)
    with translated(str(path), title):
        from ultralytics.nn.tasks import torch_safe_load

        checkpoint, _ = torch_safe_load(str(path), safe_only=True)
        network = checkpoint.get("ema") or checkpoint.get("model")
        if not isinstance(network, kind):
            raise ModelInvalid(f"{path}: expected a checkpoint of {title}, got one of {type(network).__name__}")
        return network.float().eval()


def load_state(weights: str, title: str) -> dict[str, Any]:
    """The tensors of a checkpoint that holds nothing else. Raises `ModelNotFound` and `ModelInvalid`."""
    import torch

    path = fetched(weights, title)
    with translated(str(path), title):
        state = torch.load(path, map_location="cpu", weights_only=True)
        inner = state.get("model", state)
        return dict(inner)


@contextmanager
def translated(weights: str, title: str) -> Iterator[None]:
    """Whatever ultralytics raises while it loads, in one sentence."""
    try:
        yield
    except EdgeVisionError:
        raise
    except Exception as exc:
        reason = " ".join(str(exc).split())[:160] or type(exc).__name__
        if Path(weights).exists():
            raise ModelInvalid(f"{weights}: cannot be loaded as {title}: {reason}") from exc
        raise ModelNotFound(
            f"{weights}: the weights of {title} cannot be had ({reason}); "
            "give --weights FILE.pt, or --weights random for latency only"
        ) from exc
