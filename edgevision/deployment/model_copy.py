"""A copy of a model's file, made and hashed by the child process that tries the model next.

What a user names may be a device without end, a pipe, or on a drive that does not answer. The process that shows a
camera reads none of that: it reads the copy, once the child has found it fit.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

from edgevision.deployment.probe import Limits, Probe
from edgevision.detectors.registry import MOST_BYTES
from edgevision.errors import ModelInvalid, ModelNotFound
from edgevision.regular_file import require_regular


class ModelCopy:
    """The copy, and the probe that made it, open. Both go with this object, if not before."""

    def __init__(self, path: Path, sha256: str, probe: Probe) -> None:
        self.sha256, self.probe = sha256, probe
        self._path = path
        self._remove = weakref.finalize(self, _remove, probe, path.parent)

    def read(self) -> bytes:
        """The graph's bytes. Raises `ModelInvalid`."""
        try:
            return self._path.read_bytes()
        except OSError as exc:
            raise ModelInvalid(f"{self.probe.where}: its copy cannot be read: {exc.strerror or exc}") from exc

    def remove(self) -> None:
        self._remove()


def copied_by_child(path: Path, limits: Limits) -> ModelCopy:
    """Raises `ModelNotFound`, and `ModelInvalid` for what is no regular file, too large or not read in time."""
    try:
        require_regular(path, MOST_BYTES)
    except FileNotFoundError:
        raise ModelNotFound(f"{path}: no such file") from None
    except OSError as exc:
        raise ModelInvalid(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    folder = Path(tempfile.mkdtemp(prefix="edgevision-probe-"))
    probe = Probe(folder / "model.onnx", str(path), limits)
    try:
        probe.__enter__()
        return ModelCopy(folder / "model.onnx", probe.take(path, MOST_BYTES), probe)
    except BaseException:
        _remove(probe, folder)
        raise


def _remove(probe: Probe, folder: Path) -> None:
    probe.close()
    shutil.rmtree(folder, ignore_errors=True)
