"""A folder of TensorFlow.js by segkit against one by the official converter: web.py --official FOLDER [--quick]

Both run in one process of Node.js with WebAssembly, in turns; `segkit tfjs setup` brings what is needed. FOLDER is what
`tensorflowjs_converter --input_format=tf_saved_model` makes of `segkit export format=saved_model` at 640.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from common import ROOT, Times, parser_of, row, title

from segkit import YOLO
from segkit.plugins.tfjs import packages

FILES = ROOT / "runs" / "benchmarks" / "web"
BOUND = 1.05


def main() -> None:
    """A line for each folder."""
    parser = parser_of(__doc__)
    parser.add_argument("--official", type=Path, help="the folder of the official converter")
    given = parser.parse_args()
    node = shutil.which("node")
    if node is None or packages.version() is None:
        print("TensorFlow.js is not here: segkit tfjs setup")
        return
    folders = {f"segkit {precision}": FILES / f"{precision}_web_model" for precision in ("fp32", "fp16", "int8")}
    for name, folder in folders.items():
        if not folder.exists():
            YOLO(given.weights).export(format="tfjs", precision=name.split()[1], output=folder)
    if given.official:
        folders["official fp32"] = given.official
    blocks, runs = (1, 1) if given.quick else (8, 4)
    command = [node, str(Path(__file__).with_name("web.js")), str(packages.folder()), str(blocks), str(runs)]
    done = subprocess.run([*command, *map(str, folders.values())], stdout=subprocess.PIPE, text=True, check=True)
    times = {name: Times(each) for name, each in zip(folders, json.loads(done.stdout), strict=True)}
    base = list(folders)[-1]
    title(f"One picture at 640, n weights, WebAssembly in Node.js, 1 thread, over {base}")
    for name, each in times.items():
        row(name, each, times[base], f"<= {BOUND}" if given.official and name == "segkit fp32" else "")


if __name__ == "__main__":
    main()
