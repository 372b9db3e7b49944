"""The golden model: small, trained, ours, and the same on every machine. It ships with the suite.

It is a YOLOv8-seg of the tiny scale, trained on generated shapes by `scripts/golden_model.py`, which makes it again.
Pictures to go with it are generated, so a plugin author needs neither data nor a training.
"""

from __future__ import annotations

from pathlib import Path

from segkit.core.data.shapes.files import make_shapes

GOLDEN = Path(__file__).with_name("golden.pt")
"""The checkpoint: a plain dict with weights in half precision, as any training of segkit leaves it."""

SHA256 = "4d83453ffd1f35a6d28c458935590f78459f71ff4bf1df17a4cd1fdbaae4ab5d"
"""Of the file."""

MADE_WITH = (
    "Python 3.11.7, torch 2.13.0+cpu, numpy 2.3.5, opencv-python-headless 5.0.0.93, pillow 13.0.0, x86_64 with AVX512"
)
"""With other versions, or a processor with other instructions, the last bits of sums differ, and so does the file."""

SEED = 0
"""Of the pictures that it was trained on."""

IMGSZ = 160
"""Side of its input, in pixels; that of the pictures is twice as long."""

MASK_MAP50 = 0.8
"""What it reaches at least on pictures that it was not trained on."""


def held_out(folder: str | Path, pictures: int = 64) -> Path:
    """Generate a data set of pictures that the golden model was not trained on; its description.

    Args:
        folder: must not be there yet, or be empty.
        pictures: how many, all of them in the split "test"; of more the first are the same.

    Raises:
        OutputError: something is in the folder, or it cannot be written.
    """
    return make_shapes(folder, count=0, val=0, test=pictures, seed=SEED, imgsz=2 * IMGSZ)
