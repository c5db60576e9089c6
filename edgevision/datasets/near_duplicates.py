"""Which pictures look alike, and a split of a data set that keeps those together.

A near-duplicate in both parts makes a validation figure a memory test. Pictures are compared by a difference hash of
8 × 8 bits (of neighbouring cells, which is lighter), and of a clip from one fixed place nearly all look alike: then the
demand is made stricter step by step, until there are enough groups to divide, and that is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

DISTANCES = (10, 7, 5, 3, 2, 1, 0)
"""Bits of 64 that may differ, from lax to strict."""
_CHUNK = 2048


def picture_hash(pixels: NDArray[np.uint8]) -> int:
    """64 bits of a picture (H, W, 3) BGR; a copy that is scaled, compressed or lit otherwise has nearly the same."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = (small[:, 1:] > small[:, :-1]).ravel()
    return int(np.packbits(bits).view(">u8")[0])


def distance(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Bits in which hashes differ, element by element."""
    return np.asarray(np.bitwise_count(np.bitwise_xor(a, b)), np.uint8)


def groups_of(hashes: Sequence[int], most_bits: int) -> NDArray[np.int64]:
    """Number of each picture's group (N,): two that differ in at most ``most_bits`` are in one. All pairs are looked
    at: seconds for ten thousand pictures, minutes for a hundred thousand."""
    values = np.array(hashes, np.uint64)
    parent = np.arange(len(values))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for start in range(0, len(values), _CHUNK):
        part = values[start : start + _CHUNK]
        near = distance(part[:, None], values[None, start:]) <= most_bits
        for i, j in zip(*np.nonzero(np.triu(near, 1)), strict=True):
            a, b = root(start + int(i)), root(start + int(j))
            if a != b:
                parent[max(a, b)] = min(a, b)
    roots = [root(i) for i in range(len(values))]
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True, slots=True)
class Split:
    """Which part each picture is in, by ``groups`` that are never divided."""

    groups: NDArray[np.int64]
    parts: tuple[str, ...]
    """``train`` or ``val`` of each picture."""
    most_bits: int
    """How far apart pictures of one group may be; less than the first of `DISTANCES` where all would be one group."""
    note: str = ""
    """What makes the validation figure of this split too good, where something does."""


def split_alike(hashes: Sequence[int], val_share: float = 0.15, seed: int = 0) -> Split:
    """Divide pictures so that about ``val_share`` of them validate and no group is in two parts."""
    count = len(hashes)
    wanted = max(1, round(count * val_share))
    groups = np.zeros(count, np.int64)
    bits = DISTANCES[-1]
    for bits in DISTANCES:
        groups = groups_of(hashes, bits)
        sizes = np.bincount(groups) if count else np.zeros(0, np.int64)
        if len(sizes) >= 5 and sizes.max() <= count - wanted:
            break
    else:
        # Blocks of time: of neighbouring frames only those at the seams are in two parts.
        blocks = min(20, count)
        groups = np.arange(count) * blocks // max(count, 1)
        sizes = np.bincount(groups) if count else np.zeros(0, np.int64)
        bits = -1
    order = np.random.default_rng(seed).permutation(len(sizes))
    taken = 0
    val: set[int] = set()
    for group in order.tolist():
        # Groups that would overshoot by more than they help stay for training.
        if taken + sizes[group] <= wanted * 1.25 and taken < wanted and len(val) < len(sizes) - 1:
            val.add(group)
            taken += int(sizes[group])
    if not val and len(sizes) > 1:
        val.add(int(sizes.argmin()))
    note = ""
    if bits < 0:
        note = (
            "all images are near-duplicates: split by blocks in their order, so the measured accuracy will be too high"
        )
    elif bits < DISTANCES[0]:
        note = (
            f"most images are near-duplicates: only those within {bits} of 64 bits are kept together, so "
            "the measured accuracy will be too high; validate on images of another day or place"
        )
    parts = tuple("val" if int(g) in val else "train" for g in groups)
    return Split(groups, parts, bits, note)
