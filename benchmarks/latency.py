"""One picture, from array or file to polygons, against the bare runtime on the same input: python benchmarks/latency.py

The bare runtime is `InferenceSession.run` of onnxruntime with its own defaults, in the same process.
"""

from __future__ import annotations

from typing import Any

from common import BUS, THREADS, Options, Times, bare_session, in_turns, options, peer_absent, peer_of, row, title

from segkit import YOLO
from segkit.core.images import ImageBatch
from segkit.core.images.reading import read_picture

CASES = {
    "from array to polygons": (True, False, 1.10),
    "from JPEG to polygons": (False, False, 1.25),
    "from array to polygons, native": (True, True, 1.15),
    "from JPEG to polygons, native": (False, True, 1.30),
}
"""Name → whether the picture is decoded already, masks in the picture's own resolution, bound."""


def sides(given: Options, peer: Any) -> dict[str, Any]:
    """All that takes turns."""
    model, picture, bare = YOLO(given.model), read_picture(BUS), bare_session(given.model, THREADS)
    pixels = ImageBatch([picture], (640, 640)).f32_nchw

    def ours(array: bool, native: bool) -> Any:
        source = picture if array else str(BUS)
        return lambda: model.predict(source, threads=THREADS, retina_masks=native)[0].masks.xy

    def theirs(array: bool, native: bool) -> Any:
        def run() -> float:
            said = peer.ask(source=BUS, array=array, retina_masks=native, masks="xy")
            return said["total"] - said["nms"]

        return run

    found: dict[str, Any] = {"bare": lambda: bare(pixels)}
    found |= {name: ours(array, native) for name, (array, native, _) in CASES.items()}
    if peer:
        found |= {f"peer, {name}": theirs(array, native) for name, (array, native, _) in CASES.items()}
    return found


def main() -> None:
    """Print a row a case, and the peer's."""
    given = options(__doc__)
    with peer_of(given) as peer:
        times: dict[str, Times] = in_turns(sides(given, peer), given.rounds(25), given.runs())
    title(f"One picture of 810x1080, n weights at 640, {THREADS} threads, against the bare runtime")
    row("bare InferenceSession.run", times["bare"])
    for name, (*_, bound) in CASES.items():
        row(name, times[name], times["bare"], f"<= {bound}")
    for name in CASES:
        if f"peer, {name}" in times:
            row(f"peer, {name}", times[f"peer, {name}"], times["bare"])
    if peer is None:
        peer_absent()


if __name__ == "__main__":
    main()
