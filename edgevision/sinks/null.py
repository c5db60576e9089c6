"""Results go nowhere: for ``--display none``, and for measuring the loop by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevision.interfaces import ContextManaged
from edgevision.types import Result, Status


class NothingSink(ContextManaged):
    """Takes results and shows none."""

    @property
    def wants_picture(self) -> bool:
        return False

    def publish(self, result: Result, picture: NDArray[np.uint8] | None, status: Status) -> None:
        pass

    def notice(self, status: Status) -> None:
        pass

    def close(self) -> None:
        pass
