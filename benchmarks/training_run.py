"""One training with either package, through what both offer by the same names: training_run.py PACKAGE MODEL OPTIONS

OPTIONS are those of `train` as JSON. The last line of the output is JSON: `epochs`, each with the pictures that were
learnt and the seconds from its first batch to its last; `card`, the most GPU memory that was in use, in mebibytes; and
`folder`, the run's. Needs nothing but the package, so that it runs in the environment of either.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever else is printed is no answer


def main(package: str, weights: str, options: dict[str, Any]) -> None:
    """Train, and say how fast."""
    import torch

    model = importlib.import_module(package).YOLO(weights)
    epochs: list[list[float]] = []
    begun = [0.0]

    def now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    def begin(_: Any) -> None:
        begun[0] = now()
        epochs.append([0, 0])

    def count(_: Any) -> None:
        epochs[-1][0] += options["batch"]

    def end(_: Any) -> None:
        epochs[-1][1] = now() - begun[0]

    model.add_callback("on_train_epoch_start", begin)
    model.add_callback("on_train_batch_end", count)
    model.add_callback("on_train_epoch_end", end)
    folder: list[str] = []
    model.add_callback("on_train_end", lambda run: folder.append(str(run.save_dir)))
    model.train(**options)
    card = torch.cuda.max_memory_reserved() / 2**20 if torch.cuda.is_available() else 0
    print(json.dumps({"epochs": epochs, "card": card, "folder": folder[0]}), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
