"""The Ray cluster that a labelling job runs on: one of its own on this machine, or one at an address."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from edgevision.errors import EdgeVisionError, UsageError

HOMES = "ev-ray-"
"""Begins the names of what a job leaves in the folder for temporary files; the number of its process follows."""
_OBJECT_STORE_BYTES = 100 * 2**20
"""Paths go in and boxes come out, never pixels: Ray's own default is a third of the machine's memory."""
_KNOCK_S = 5.0
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_enable_metrics_collection": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
_ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Off Linux, Ray by itself binds to loopback only, and to every address where this is on, as it always is on Linux."""


def environment_for(address: str | None) -> dict[str, str]:
    """Of the process that talks to Ray, which reads it when it is imported.

    A cluster of our own has a token of its own: without one, Ray would leave its own in the home folder.
    """
    if address is not None:
        return _QUIET
    return _QUIET | _ON_LOOPBACK | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}


class RayCluster:
    """Connected within a ``with``, in a process that `environment_for` was given to and that does nothing afterwards.

    Raises `UsageError` where no cluster is at ``address``, `EdgeVisionError` where none starts here.
    """

    def __init__(self, cores: int, address: str | None = None) -> None:
        """``cores`` are those of a cluster of its own, without ``address``."""
        self._cores, self._address = cores, address
        self._home: Path | None = None

    def __enter__(self) -> Self:
        import ray

        try:
            if self._address is not None:
                _knock(self._address)
                ray.init(address=self._address, log_to_driver=False, logging_level=logging.ERROR)
            else:
                self._start()
        except (ConnectionError, ValueError, RuntimeError, TimeoutError, OSError) as exc:
            self.__exit__(None, None, None)
            raise _not_begun(self._address, exc) from exc
        _hush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import ray

        ray.shutdown()
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)

    @property
    def cores(self) -> int:
        """Of the whole cluster."""
        import ray

        return max(1, int(ray.cluster_resources().get("CPU", 1)))

    def _start(self) -> None:
        import ray

        _clear_up_after_the_killed()
        # A short path: the names of Ray's sockets must fit in 107 characters.
        self._home = Path(tempfile.mkdtemp(prefix=f"{HOMES}{os.getpid()}-"))
        ray.init(
            address="local",
            num_cpus=self._cores,
            num_gpus=0,
            object_store_memory=_OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _node_ip_address="127.0.0.1",
            _temp_dir=str(self._home),
        )


def _clear_up_after_the_killed() -> None:
    """What a killed process left behind: its Ray ended with it, its marks and the folder of its sockets did not."""
    for left in Path(tempfile.gettempdir()).glob(f"{HOMES}*-*"):
        pid = left.name.removeprefix(HOMES).partition("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _knock(address: str) -> None:
    """Ray itself waits two minutes for a cluster that is not there. Raises `ConnectionError`."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or "//" in host:
        return  # "auto", or a scheme of Ray's own
    try:
        socket.create_connection((host, int(port)), timeout=_KNOCK_S).close()
    except (OSError, OverflowError) as exc:
        raise ConnectionError(str(exc)) from exc


def _not_begun(address: str | None, exc: BaseException) -> EdgeVisionError:
    told = " ".join(str(exc).split())[:200]
    if address is None:
        return EdgeVisionError(f"Ray did not start on this machine ({told}): try fewer --workers, or --engine local")
    return UsageError(
        f"--address: expected a Ray cluster at {address}, found none ({told}): see that it runs, and that "
        "RAY_AUTH_MODE and RAY_AUTH_TOKEN are those it was started with"
    )


def _hush() -> None:
    """Ray tells how it plans its jobs; we tell how many pictures are done."""
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray.data", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)
