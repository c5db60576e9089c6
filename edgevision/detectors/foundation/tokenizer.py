"""Prompts as token ids, by the checkpoint's own tokenizer."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgevision.detectors.foundation.torch_base import RANDOM_SEED, local, translated


def load_tokenizer(weights: str, what: str) -> Any:
    """The tokenizer that came with the weights. Raises `ModelNotFound` and `ModelInvalid`."""
    from transformers import AutoTokenizer

    with translated(weights, f"{what} (its tokenizer)"):
        return AutoTokenizer.from_pretrained(local(weights))


def stand_in_ids(count: int, length: int, vocabulary: int, *, last: int | None = None) -> list[list[int]]:
    """Token ids of the right shape, the same each time: a vocabulary comes with weights, so random weights have none.

    ``last`` ends each line: CLIP's kin read a text at its end token.
    """
    numbers = np.random.default_rng(RANDOM_SEED).integers(0, max(1, vocabulary - 2), (count, length))
    if last is not None:
        numbers[:, -1] = last
    lines: list[list[int]] = numbers.tolist()
    return lines
