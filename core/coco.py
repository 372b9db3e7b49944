"""What COCO's evaluation fixes, for those that score and those that count. Standard library only."""

from __future__ import annotations

MEDIUM, LARGE = 32**2, 96**2
"""Areas in pixels of a picture at which medium and large objects begin."""
