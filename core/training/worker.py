"""One of several processes of a training, started by `launching`: python -m segkit.core.training.worker FOLDER"""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path

from segkit.core.backend.options import validate
from segkit.core.errors import SegkitError
from segkit.core.training.arguments import TrainArguments
from segkit.core.training.launching import DONE, ERROR, JOB
from segkit.core.training.request import Request
from segkit.core.training.starting import train


def main(folder: Path) -> int:
    """Train; gives the exit code."""
    rank = int(os.environ["RANK"])
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    request = Request(
        Path(job["model"]),
        validate(TrainArguments, job["args"], "train"),
        Path(job["checkpoint"]) if job["checkpoint"] else None,
    )
    try:
        trained = train(request)
    except (SegkitError, KeyboardInterrupt) as error:
        said = {"kind": type(error).__name__, "message": str(error)}
        (folder / ERROR.format(rank)).write_text(json.dumps(said), encoding="utf-8")
        return getattr(error, "exit_code", 130)
    if rank == 0:
        (folder / DONE).write_bytes(pickle.dumps((trained.results, str(trained.folder))))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
