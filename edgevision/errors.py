"""Every error this package raises on purpose.

EdgeVisionError
├── UsageError           an argument or option that cannot be meant
├── SourceError
│   ├── SourceNotFound   nothing there: no such camera, file or address
│   ├── SourceLost       it was there, and stopped giving frames; may come back
│   └── SourceBroken     what it gives cannot be read: truncated, corrupt
├── ModelError
│   ├── ModelNotFound
│   ├── ModelInvalid     not a model, or not one that a camera frame can feed
│   └── ModelFailed      it loaded, and failed on a frame
├── SinkError            a window, file or port that results cannot go to
└── MissingExtra         an optional package is needed and absent

A message says what was expected, what was found, and what to do.
"""

from __future__ import annotations


class EdgeVisionError(Exception):
    """Base of all; the command line prints its message in one line and exits with `exit_code`."""

    exit_code = 1


class UsageError(EdgeVisionError):
    """An argument or option that cannot be meant."""

    exit_code = 2


class SourceError(EdgeVisionError):
    """Something is wrong with where frames come from."""

    exit_code = 3


class SourceNotFound(SourceError):
    """No such camera, file or address, or it gives no first frame."""


class SourceLost(SourceError):
    """A live source stopped giving frames. It may come back."""


class SourceBroken(SourceError):
    """What the source gives cannot be read: truncated or corrupt."""


class ModelError(EdgeVisionError):
    """Something is wrong with a model."""

    exit_code = 4


class ModelNotFound(ModelError):
    """No model of that name, or no such file."""


class ModelInvalid(ModelError):
    """Not a model, damaged, of a shape no family knows, or not what its manifest says."""


class ModelFailed(ModelError):
    """A loaded model failed on a frame."""


class SinkError(EdgeVisionError):
    """Results cannot go where they were asked to go."""

    exit_code = 5


class MissingExtra(EdgeVisionError):
    """An optional package is needed for what was asked, and is not installed."""

    exit_code = 6

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package}, which is not installed: pip install 'edgevision[{extra}]'"
        )
