"""The linear assignment problem: the pairing of rows with columns whose total gain is greatest.

The Hungarian method (Kuhn 1955), by shortest augmenting paths as in Jonker and Volgenant, "A Shortest Augmenting Path
Algorithm for Dense and Sparse Linear Assignment Problems", Computing 38, 1987. The names are those of SciPy's
``linear_sum_assignment``, which follows Crouse, "On implementing 2D rectangular assignment algorithms", IEEE
Transactions on Aerospace and Electronic Systems 52, 2016.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Gain = NDArray[np.float64]
Indices = NDArray[np.intp]


def assign(gain: Gain) -> tuple[Indices, Indices]:
    """Rows (K,) and their columns (K,) whose summed ``gain`` (R, C) is the greatest that any pairing has.

    Exact. Each row and column is used at most once; only pairs that gain (> 0) are paired, so a row or column may
    stay alone. Gains must be finite. Ties are broken the same way every time. Most rows of a tracker's matrix have one
    obvious partner; what is left goes through the full search.
    """
    rows, columns = gain.shape
    match = np.full(rows, -1, np.intp)
    possible = gain > 0
    left_rows: Indices = np.flatnonzero(possible.any(axis=1))
    left_columns: Indices = np.arange(columns)
    while len(left_rows):
        part = gain if len(left_rows) == rows else gain[left_rows]
        part = part if len(left_columns) == columns else part[:, left_columns]
        best = part.argmax(axis=1)
        # A row that wants a column which no other row can have (or wants) may have it: no better pairing exists.
        wanted = part > 0
        sure = (wanted.sum(axis=0)[best] == 1) & wanted[np.arange(len(best)), best]
        if not sure.all():
            first_choice = np.bincount(best, minlength=part.shape[1])
            if first_choice.max() == 1:
                sure[:] = True
        if not sure.any():
            found_rows, found_columns = _shortest_paths(part)
            match[left_rows[found_rows]] = left_columns[found_columns]
            break
        match[left_rows[sure]] = left_columns[best[sure]]
        free = np.ones(len(left_columns), bool)
        free[best[sure]] = False
        left_columns, left_rows = left_columns[free], left_rows[~sure]
        if not len(left_columns):
            break
        left_rows = left_rows[(gain[left_rows][:, left_columns] > 0).any(axis=1)]
    paired = np.flatnonzero(match >= 0)
    return paired, match[paired]


def _shortest_paths(gain: Gain) -> tuple[Indices, Indices]:
    """As `assign`, for the part of a matrix that needs the full search: O(n² m), n the shorter side.

    ``u`` (R,) and ``v`` (C,) are the dual variables of rows and columns: ``cost[i, j] - u[i] - v[j]`` is at least 0
    everywhere and 0 for each pair, which proves the pairing optimal.
    """
    transposed = gain.shape[0] > gain.shape[1]
    cost = -np.maximum(gain.T if transposed else gain, 0)
    rows, columns = cost.shape
    u, v = cost.min(axis=1), np.zeros(columns)
    row4col = np.full(columns, -1, np.intp)
    col4row = np.full(rows, -1, np.intp)
    # Rows whose cheapest column is still free take it; that pairing and these dual variables are already consistent.
    for i, j in enumerate(cost.argmin(axis=1)):
        if row4col[j] < 0:
            row4col[j], col4row[i] = i, j
    for start in np.flatnonzero(col4row < 0):
        sink, path = _augmenting_path(cost, int(start), u, v, row4col)
        _augment(path, int(start), sink, row4col, col4row)
    picked = np.arange(rows)
    useful = cost[picked, col4row] < 0
    picked, col4row = picked[useful], col4row[useful]
    return (col4row, picked) if transposed else (picked, col4row)


def _augmenting_path(cost: Gain, start: int, u: Gain, v: Gain, row4col: Indices) -> tuple[int, Indices]:
    """Dijkstra over reduced costs, from a free row to the nearest free column; ``u`` and ``v`` are updated.

    Gives the free column, and for each column (C,) the row before it on its shortest path.
    """
    columns = cost.shape[1]
    shortest = np.full(columns, np.inf)
    path = np.empty(columns, np.intp)
    scanned = np.zeros(columns, bool)
    passed: list[tuple[int, int]] = []
    i, lowest = start, 0.0
    while True:
        through = lowest + (cost[i] - u[i]) - v
        shorter = ~scanned & (through < shortest)
        shortest[shorter] = through[shorter]
        path[shorter] = i
        j = int(np.where(scanned, np.inf, shortest).argmin())
        lowest = float(shortest[j])
        scanned[j] = True
        if row4col[j] < 0:
            break
        i = int(row4col[j])
        passed.append((i, j))
    u[start] += lowest
    for row, column in passed:
        u[row] += lowest - shortest[column]
        v[column] -= lowest - shortest[column]
    return j, path


def _augment(path: Indices, start: int, sink: int, row4col: Indices, col4row: Indices) -> None:
    """Exchange pairs along the path, from its free column back to its free row."""
    j = sink
    while True:
        i = int(path[j])
        row4col[j] = i
        col4row[i], j = j, int(col4row[i])
        if i == start:
            break
