"""The best one-to-one assignment of rows to columns, in numpy: scipy would be a large guest for thirty lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def assign(gain: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs (row, column) with the largest sum of gains; every row or every column has one, whichever are fewer.

    Shortest augmenting paths (Jonker and Volgenant, Computing 38, 1987): rows join one by one, each along the path of
    least reduced cost to a free column. Finite gains (R, C); O(R² C).
    """
    if gain.shape[0] > gain.shape[1]:
        return sorted((row, column) for column, row in assign(gain.T))
    rows, columns = gain.shape
    row_prices, column_prices = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns, -1)
    for start in range(rows):
        distance, before = np.full(columns, np.inf), np.full(columns, -1)
        settled = np.zeros(columns, np.bool_)
        row, column, reached = start, -1, 0.0
        while row >= 0:
            through = reached - gain[row] - row_prices[row] - column_prices
            shorter = ~settled & (through < distance)
            distance[shorter], before[shorter] = through[shorter], column
            column = int(np.where(settled, np.inf, distance).argmin())
            reached = float(distance[column])
            settled[column] = True
            row = int(owner[column])
        taken = settled & (owner >= 0)
        row_prices[start] += reached
        row_prices[owner[taken]] += reached - distance[taken]
        column_prices[taken] -= reached - distance[taken]
        while column >= 0:
            previous = int(before[column])
            owner[column] = owner[previous] if previous >= 0 else start
            column = previous
    return sorted((int(owner[column]), int(column)) for column in np.flatnonzero(owner >= 0))
