"""300 masks in the resolution of a 12-megapixel picture: time and memory, against the peer's masks alone: large.py"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
from common import CROWD, THREADS, Options, Times, in_turns, options, peer_absent, peer_of, row, title
from memory import Memory

from segkit import YOLO
from segkit.core.images import ImageBatch
from segkit.core.images.reading import read_picture
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.decode import select
from segkit.core.inference.masks import InstanceMasks

SIZE = (4000, 3000)
LIMITS: dict[str, Any] = {"conf": 0.001, "iou": 0.7, "max_det": 300}


def ways(given: Options, picture: Path) -> dict[str, Callable[[], int]]:
    """From raw outputs to all masks, in each form; every one gives the number of masks."""
    session = YOLO(given.model)._session(PredictArguments(threads=THREADS))
    batch = ImageBatch([read_picture(picture)], (640, 640))
    raw, _ = session.compute(batch)

    def looked_at(form: Callable[[InstanceMasks, int], object]) -> int:
        (found,) = select(raw, **LIMITS)
        masks, _ = InstanceMasks.from_prototypes(raw.prototypes[0], found, batch.geometry[0], native=True)
        held = [form(masks, index) for index in range(len(masks))]
        return len(held)

    return {
        "segkit, polygons": lambda: looked_at(InstanceMasks.polygon),
        "segkit, RLE": lambda: looked_at(InstanceMasks.rle),
    }


def main() -> None:
    """Print memory, then times."""
    given = options(__doc__)
    with tempfile.TemporaryDirectory() as folder, peer_of(given) as peer:
        picture = Path(folder) / "12-megapixels.jpg"
        cv2.imwrite(str(picture), cv2.resize(cv2.imread(str(CROWD)), SIZE, interpolation=cv2.INTER_CUBIC))
        mine = ways(given, picture)
        print(f"\nMasks in a picture of {SIZE[0]}x{SIZE[1]} pixels")
        for name, way in mine.items():
            with Memory() as memory:
                count = way()
            print(f"{f'{name}: {count} masks':52s} peak extra memory {memory.peak:8.0f} MB   <= 300")
        times = in_turns(mine, given.rounds(10), given.runs())
        if peer:  # it takes tens of seconds: no need for many turns
            question = {"source": picture, "array": True, "retina_masks": True, **LIMITS}
            said = [peer.ask(**question, memory=memory) for memory in (True, False)]
            name = f"peer, masks alone: {said[0]['count']:.0f} masks"
            print(f"{name:52s} peak extra memory {said[0]['memory']:8.0f} MB")
            times["peer, masks alone"] = Times(
                [[said[1]["postprocess"] - said[1]["nms"]]] * len(times["segkit, RLE"].blocks)
            )
        title("From raw outputs to all masks")
        for name, taken in times.items():
            row(name, taken, times.get("peer, masks alone") if name in mine else None, "< 1")
        if peer is None:
            peer_absent()


if __name__ == "__main__":
    main()
