"""Where a box is going: a constant-velocity Kalman filter over many boxes at once.

The model and its figures are ByteTrack's (arXiv:2110.06864, after DeepSORT, arXiv:1703.07402): a box is its centre x,
centre y, aspect ratio (width / height) and height, each with a velocity; noise grows with the height. In that model
no coordinate ever correlates with another, so the 8×8 covariance is four 2×2 blocks, and what is usually written
with matrix products and an inverse is plain arithmetic on whole arrays, exactly equal to it.

A motion is a float64 array (5, T, 4): for T boxes and the four coordinates, the position, its velocity (per nominal
frame), the variance of the position, its covariance with the velocity, and the variance of the velocity.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import FloatArray

Motion = NDArray[np.float64]

# Standard deviations: a share of the height for x, y and height, a constant for the aspect ratio.
_POSITION_SHARE = np.array([1 / 20, 1 / 20, 0, 1 / 20])
_POSITION_CONSTANT = np.array([0, 0, 1e-2, 0])
_VELOCITY_SHARE = np.array([1 / 160, 1 / 160, 0, 1 / 160])
_VELOCITY_CONSTANT = np.array([0, 0, 1e-5, 0])
_MEASURED_CONSTANT = np.array([0, 0, 1e-1, 0])
_START_POSITION = np.array([2.0, 2.0, 1.0, 2.0])
_START_VELOCITY = np.array([10.0, 10.0, 1.0, 10.0])
# A long extrapolation of a shrinking box must not turn it inside out.
_LEAST_HEIGHT_PX = 1e-3


def begin(boxes: FloatArray) -> Motion:
    """Motions (5, N, 4) of boxes (N, 4) x1, y1, x2, y2 px seen for the first time: at rest, widely uncertain.

    Boxes must have a height.
    """
    motion = np.zeros((5, len(boxes), 4))
    motion[0] = _measured(boxes)
    height = motion[0, :, 3:4]
    motion[2] = (_START_POSITION * (height * _POSITION_SHARE + _POSITION_CONSTANT)) ** 2
    motion[4] = (_START_VELOCITY * (height * _VELOCITY_SHARE + _VELOCITY_CONSTANT)) ** 2
    return motion


def predict(motion: Motion, frames: float) -> None:
    """Let ``frames`` nominal frame periods pass, in place; any number from 0, whole or not.

    Equal to that many single steps of the published filter one after another, in closed form: so a frame that was
    dropped leaves the same uncertainty as one in which the object was not seen.
    """
    position, velocity, var_position, covariance, var_velocity = motion
    height = position[:, 3:4]
    noise_position = (height * _POSITION_SHARE + _POSITION_CONSTANT) ** 2
    noise_velocity = (height * _VELOCITY_SHARE + _VELOCITY_CONSTANT) ** 2
    position += frames * velocity
    np.maximum(position[:, 2:4], _LEAST_HEIGHT_PX, out=position[:, 2:4])
    var_position += frames * (2 * covariance + frames * var_velocity + noise_position)
    if frames != 1:
        var_position += (frames * (frames - 1) * (2 * frames - 1) / 6) * noise_velocity
        covariance += (frames * (frames - 1) / 2) * noise_velocity
    covariance += frames * var_velocity
    var_velocity += frames * noise_velocity


def correct(motion: Motion, rows: NDArray[np.intp], boxes: FloatArray) -> None:
    """Take in what was measured: ``boxes`` (K, 4) px for ``rows`` (K,) of the motion, in place."""
    position, velocity, var_position, covariance, var_velocity = seen = motion[:, rows]
    measured = (position[:, 3:4] * _POSITION_SHARE + _MEASURED_CONSTANT) ** 2
    gain = var_position / (var_position + measured)
    gain_velocity = covariance / (var_position + measured)
    surprise = _measured(boxes) - position
    position += gain * surprise
    velocity += gain_velocity * surprise
    var_velocity -= gain_velocity * covariance
    covariance *= 1 - gain
    var_position *= 1 - gain
    motion[:, rows] = seen


def boxes_of(motion: Motion) -> FloatArray:
    """Boxes (T, 4) x1, y1, x2, y2 px as the motion stands."""
    centre, shape = motion[0, :, :2], motion[0, :, 2:4]
    half = 0.5 * shape[:, 1:2]
    half = np.concatenate([half * shape[:, :1], half], axis=1)
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def shift_of(motion: Motion, frames: float) -> FloatArray:
    """How far (T, 4) px each box's corners go in ``frames`` nominal frame periods as its centre moves."""
    return np.tile(frames * motion[1, :, :2], 2).astype(np.float32)


def _measured(boxes: FloatArray) -> NDArray[np.float64]:
    """(K, 4) corners px to centre x, centre y, aspect ratio, height."""
    out = np.empty(boxes.shape)
    low, high = boxes[:, :2].astype(np.float64), boxes[:, 2:4]
    out[:, :2] = (low + high) / 2
    out[:, 2:] = high - low
    out[:, 2] /= out[:, 3]
    return out
