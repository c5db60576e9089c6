"""NanoDet and PicoDet: for each stride a map of class scores and one of box distances.

Both predict, for each side, a distribution over bins 0 to n in units of the stride (generalised focal loss,
arXiv:2006.04388; PicoDet, arXiv:2111.00902); the distance is its mean. Scores have their sigmoid inside the
graph, which gives all score maps (1, cells, classes), then all distance maps (1, cells, 4 * bins), finest stride
first; three strides are NanoDet's, four PicoDet's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.decode.head import Candidates, Head, best_class, cells

STRIDES = (8, 16, 32, 64)


class NanodetDecoder:
    needs_nms = True

    def __init__(self, head: Head) -> None:
        levels = len(head.outputs) // 2
        if len(head.outputs) % 2 or not 1 <= levels <= len(STRIDES):
            raise head.refuse(
                "nanodet", f"score maps (cells, {head.classes}) and as many distance maps (cells, 4 * bins)"
            )
        self._levels = [cells(head.input_wh, (stride,)) for stride in STRIDES[:levels]]
        for k, (places, _) in enumerate(self._levels):
            scores, distances = head.outputs[k].shape[-2:], head.outputs[levels + k].shape[-2:]
            wanted = (len(places), head.classes)
            bins = distances[-1]
            agrees = all(got in (want, None) for got, want in zip(scores, wanted, strict=True))
            if not agrees or distances[0] not in (len(places), None) or (bins is not None and bins % 4):
                raise head.refuse(
                    "nanodet",
                    f"a score map {wanted} and a distance map ({wanted[0]}, 4 * bins) for stride {STRIDES[k]}",
                )

    def decode(self, outputs: list[NDArray[Any]], min_score: float) -> Candidates:
        levels = len(self._levels)
        boxes, scores, class_ids = [], [], []
        for k, (places, strides) in enumerate(self._levels):
            score_map = outputs[k].reshape(len(places), -1)
            rows, best, classes = best_class(score_map, min_score)
            if len(rows) == 0:
                continue
            distances = outputs[levels + k].reshape(len(places), -1)[rows].astype(np.float32)
            distances = _mean_of_bins(distances) * strides[rows]
            centres = (places[rows] + np.float32(0.5)) * strides[rows]
            boxes.append(np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], 1))
            scores.append(best)
            class_ids.append(classes)
        if not boxes:
            return Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
        return Candidates(np.concatenate(boxes), np.concatenate(scores), np.concatenate(class_ids))


def _mean_of_bins(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits (N, 4 * bins) to the mean bin of each side (N, 4)."""
    split = logits.reshape(len(logits), 4, -1)
    weights = np.exp(split - split.max(2, keepdims=True))
    bins = np.arange(split.shape[2], dtype=np.float32)
    return np.asarray((weights @ bins) / weights.sum(2), np.float32)
