"""Who belongs to whom: the pairing of rows with columns that gains most in all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Gain = NDArray[np.float64]
Indices = NDArray[np.intp]


def assign(gain: Gain) -> tuple[Indices, Indices]:
    """Rows (K,) and their columns (K,) whose summed ``gain`` (R, C) is the greatest that any pairing has.

    Exact. Each row and column is used at most once; only pairs that gain (> 0) are paired, so a row or column may
    stay alone. Gains must be finite. Ties are broken the same way every time. Most rows of a tracker's matrix are
    decided by looking; what is left goes through successive shortest paths (Jonker and Volgenant, 1987).
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
    """As `assign`, for the part of a matrix that needs the full search: O(n² m), n the shorter side."""
    turned = gain.shape[0] > gain.shape[1]
    cost = -np.maximum(gain.T if turned else gain, 0)
    rows, columns = cost.shape
    row_price, column_price = cost.min(axis=1), np.zeros(columns)
    holder = np.full(columns, -1, np.intp)
    holds = np.full(rows, -1, np.intp)
    # Rows whose cheapest column is still free take it; that pairing and these prices are already consistent.
    for row, column in enumerate(cost.argmin(axis=1)):
        if holder[column] < 0:
            holder[column], holds[row] = row, column
    for start in np.flatnonzero(holds < 0):
        distance = np.full(columns, np.inf)
        came_from = np.empty(columns, np.intp)
        done = np.zeros(columns, bool)
        row, reached = int(start), 0.0
        visited = []
        while True:
            through = reached + (cost[row] - row_price[row]) - column_price
            shorter = ~done & (through < distance)
            distance[shorter] = through[shorter]
            came_from[shorter] = row
            column = int(np.where(done, np.inf, distance).argmin())
            reached = float(distance[column])
            done[column] = True
            if holder[column] < 0:
                break
            row = int(holder[column])
            visited.append((row, column))
        row_price[start] += reached
        for row, passed in visited:
            row_price[row] += reached - distance[passed]
            column_price[passed] -= reached - distance[passed]
        while True:
            row = int(came_from[column])
            holder[column] = row
            holds[row], column = column, int(holds[row])
            if row == start:
                break
    picked = np.arange(rows)
    useful = cost[picked, holds] < 0
    picked, holds = picked[useful], holds[useful]
    return (holds, picked) if turned else (picked, holds)
