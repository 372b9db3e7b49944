"""All benchmarks, one process after the other: python benchmarks [--peer PYTHON] [--quick]"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ORDER = (
    *("latency", "postprocess", "folder", "large", "scan", "evaluation", "val", "loader", "training", "startup"),
    *("pools", "formats", "web", "quality"),
)

if __name__ == "__main__":
    for name in ORDER:
        script = Path(__file__).with_name(f"{name}.py")
        ended = subprocess.run([sys.executable, str(script), *sys.argv[1:]], check=False).returncode
        if ended:
            sys.exit(ended)
