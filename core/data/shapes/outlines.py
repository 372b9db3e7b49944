"""The outline of a mask as one closed line, holes and parts included."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segkit.core.data.labels import Outline
from segkit.core.data.tracing import trace
from segkit.core.polygons import join


def outline_of(mask: NDArray[np.bool_]) -> Outline:
    """(K, 2) float32 corners of one outline in units of the picture's sides.

    Holes and further parts are reached by bridges that are walked out and back. Filled, it gives the mask again; only
    further parts cost the pixels under their bridges.

    Args:
        mask: (H, W), not empty.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    joined = join(trace(mask[top : rows[-1] + 1, left : columns[-1] + 1], top, left))
    outline: Outline = (joined / np.array(mask.shape[::-1])).astype(np.float32)
    return outline
