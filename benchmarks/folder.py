"""A folder of 128 pictures: images a second, to polygons, against the bare runtime with as many threads: folder.py

The bare runtime computes one and the same input as often as there are pictures; segkit reads them, letterboxes,
computes, selects and makes polygons, while its runtime is busy with the next one. Half of the bare work is done before
and half after, so that a machine that speeds up or slows down treats both alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from common import FOLDER, THREADS, Options, bare_session, options, peer_absent, peer_of

from segkit import YOLO
from segkit.core.images import ImageBatch
from segkit.core.images.reading import read_picture

PICTURES = sorted(FOLDER.glob("*.jpg"))


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    time.sleep(0.1)
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ratios(given: Options, threads: int, rounds: int) -> tuple[list[float], list[float]]:
    """Images a second of segkit, and its share of the bare runtime's, round by round."""
    pictures = PICTURES[:16] if given.quick else PICTURES
    model, bare = YOLO(given.model), bare_session(given.model, threads)
    pixels = ImageBatch([read_picture(pictures[0])], (640, 640)).f32_nchw
    sources = [str(path) for path in pictures]
    model.predict(sources[:2], threads=threads)
    bare(pixels)

    def half() -> None:
        for _ in range(len(pictures) // 2):
            bare(pixels)

    def ours() -> None:
        for result in model.predict(sources, threads=threads, stream=True):
            _ = result.masks and result.masks.xy

    speeds, shares = [], []
    for _ in range(rounds):
        before, mine, after = seconds(half), seconds(ours), seconds(half)
        speeds.append(len(pictures) / mine)
        shares.append((before + after) / mine)
    return speeds, shares


def main() -> None:
    """Print a row a number of threads."""
    given = options(__doc__)
    print(f"\n{len(PICTURES)} pictures, n weights at 640, one a batch: share of the bare runtime's images/s")
    for threads in (1, THREADS):
        speeds, shares = ratios(given, threads, given.rounds(3))
        print(
            f"{f'segkit, runtime threads: {threads}':36s} {statistics.median(speeds):6.1f} images/s   "
            f"share: median {statistics.median(shares):.3f}, best {max(shares):.3f}   >= 0.90",
            flush=True,
        )
    with peer_of(given) as peer:
        if peer is None:
            peer_absent()
            return
        peer.ask(source=PICTURES[0])
        said = [peer.ask(source=FOLDER, masks="xy") for _ in range(given.rounds(2))]
        speed = max(len(PICTURES) / (each["total"] - each["nms"]) * 1e3 for each in said)
        print(f"{'peer, runtime threads: its own choice':36s} {speed:6.1f} images/s")


if __name__ == "__main__":
    main()
