"""One of several processes of a training, started by `launching`: python -m segkit.core.training.worker FOLDER"""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path

from segkit.core.backend.options import validate
from segkit.core.errors import SegkitError, TrainingError
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
    except KeyboardInterrupt:
        _tell(folder, rank, KeyboardInterrupt.__name__, "")
        return 130
    except SegkitError as error:
        _tell(folder, rank, type(error).__name__, str(error))
        return error.exit_code
    except Exception as error:  # of torch, a plugin, or a fault of ours: the traceback is on standard error
        first = (str(error).splitlines() or [""])[0]
        _tell(folder, rank, TrainingError.__name__, f"Process {rank} failed: {type(error).__name__}: {first[:300]}")
        raise
    if rank == 0:
        (folder / DONE).write_bytes(pickle.dumps((trained.results, str(trained.folder))))
    return 0


def _tell(folder: Path, rank: int, kind: str, message: str) -> None:
    """Leave an error for the process that started this one."""
    (folder / ERROR.format(rank)).write_text(json.dumps({"kind": kind, "message": message}), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
