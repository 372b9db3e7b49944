"""The architecture of docs/architecture.md, enforced: who may import whom, and where a format may be named."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS: Mapping[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]

LEAVES = {
    f"segkit.core.{leaf}"
    for leaf in (
        "coco",
        "cores",
        "errors",
        "files",
        "frames",
        "held",
        "http",
        "lazy",
        "notices",
        "places",
        "polygons",
        "protobuf",
        "rle",
        "yamls",
    )
}
ENGINE = {
    f"segkit.core.{part}"
    for part in (
        *("backend", "data", "graph", "hub", "images", "inference", "ink", "metrics", "model", "training"),
        "validation",
    )
} | LEAVES

ALLOWED: Mapping[str, set[str]] = {
    "segkit.core": set(),
    "segkit.core.coco": set(),
    "segkit.core.cores": set(),
    "segkit.core.errors": set(),
    "segkit.core.files": {"segkit.core.errors"},
    "segkit.core.frames": {"segkit.core.errors"},
    "segkit.core.held": set(),
    "segkit.core.http": {"segkit.core.errors"},
    "segkit.core.lazy": set(),
    "segkit.core.notices": set(),
    "segkit.core.places": set(),
    "segkit.core.polygons": set(),
    "segkit.core.protobuf": set(),
    "segkit.core.rle": set(),
    "segkit.core.yamls": set(),
    "segkit.core.data": {f"segkit.core.{part}" for part in ("backend", "hub", "images", "ink")} | LEAVES,
    "segkit.core.data.loader": {f"segkit.core.{part}" for part in ("backend", "data", "hub", "images", "ink")} | LEAVES,
    "segkit.core.ink": {"segkit.core.images"} | LEAVES,
    "segkit.core.metrics": LEAVES,
    "segkit.core.validation": {
        f"segkit.core.{part}" for part in ("backend", "data", "images", "inference", "ink", "metrics")
    }
    | LEAVES,
    "segkit.core.hub": LEAVES,
    "segkit.core.images": LEAVES,
    "segkit.core.backend": {"segkit.core.images"} | LEAVES,
    "segkit.core.inference": {"segkit.core.backend", "segkit.core.images", "segkit.core.ink"} | LEAVES,
    "segkit.core.model": {"segkit.core.backend", "segkit.core.images"} | LEAVES,
    "segkit.core.graph": {"segkit.core.backend", "segkit.core.images", "segkit.core.model"} | LEAVES,
    "segkit.core.training": {
        f"segkit.core.{part}"
        for part in ("backend", "data", "data.loader", "images", "inference", "ink", "metrics", "model", "validation")
    }
    | LEAVES,
    "segkit": ENGINE,
    "segkit.cli": {
        "segkit",
        "segkit.conformance",
        "segkit.core.backend",
        "segkit.core.data",
        "segkit.core.errors",
        "segkit.core.notices",
        "segkit.core.validation",
    },
    "segkit.conformance": ENGINE,
    "segkit.plugins": set(),
    "plugin declaration": {"segkit.core.backend", "segkit.core.errors"},
    "plugin module": {"segkit.core.backend", "segkit.core.images"} | LEAVES,
    "plugin engine": {"segkit.core.backend", "segkit.core.graph", "segkit.core.images", "segkit.core.model"} | LEAVES,
}
"""Layer → other layers, or single modules of them, that it may import. Its own modules are always allowed."""

PACKAGES: Mapping[str, set[str]] = {
    "segkit.core.data": {"cv2", "filelock", "numpy", "PIL", "pydantic", "yaml"},
    "segkit.core.data.loader": {"torch"},
    "segkit.core.ink": {"PIL", "numpy"},
    "segkit.core.metrics": {"cv2", "matplotlib", "numpy"},
    "segkit.core.validation": {"cv2", "faster_coco_eval", "matplotlib", "numpy", "pydantic"},
    "segkit.core.polygons": {"cv2", "numpy"},
    "segkit.core.rle": {"cv2", "numpy"},
    "segkit.core.yamls": {"yaml"},
    "segkit.core.hub": {"filelock", "yaml"},
    "segkit.core.places": {"platformdirs"},
    "segkit.core.images": {"PIL", "cv2", "mss", "numpy"},
    "segkit.core.notices": {"rich"},
    "segkit.core.backend": {"numpy", "packaging", "pluggy", "pydantic"},
    "segkit.core.inference": {"IPython", "PIL", "cv2", "numpy", "pandas", "polars", "pydantic", "supervision"},
    "segkit.core.model": {"numpy", "pydantic", "safetensors", "torch"},
    "segkit.core.graph": {"numpy", "torch"},
    "segkit.core.training": {
        *(
            "cv2",
            "filelock",
            "matplotlib",
            "mlflow",
            "numpy",
            "optuna",
            "pluggy",
            "psutil",
            "pydantic",
            "rich",
            "tensorboard",
        ),
        *("torch", "wandb", "yaml"),
    },
    "segkit": {"numpy", "pydantic"},
    "segkit.cli": {"click", "rich", "typer"},
    "segkit.conformance": {"cv2", "numpy", "pydantic", "pytest", "torch"},
    "plugin declaration": {"pydantic"},
}
"""Layer → packages of others that it may import at all. Not listed: none; below a plugin's declaration: any."""

ENGINE_MODULES = {"exporter", "inspection", "lowering", "predictor", "running"}
"""Modules of a plugin that may use our model and its captured graph."""

FORMAT_NAMES = {"coreml", "edgetpu", "engine", "ncnn", "onnx", "openvino", "paddle", "pytorch", "saved_model"}
FORMAT_NAMES |= {"tensorrt", "tflite", "tfjs", "torchscript"} | {folder.name for folder in (ROOT / "plugins").iterdir()}
FORMAT_NAMES -= {"shared"}


@dataclass(frozen=True)
class Import:
    """One import statement's target: a module of segkit, or the first name of somebody else's."""

    importer: str
    imported: str
    line: int
    typing_only: bool = False
    lazy: bool = False

    def __str__(self) -> str:
        return f"{self.importer} line {self.line} imports {self.imported}"


def sources() -> dict[str, str]:
    """Module name → text, of everything that ships."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([package, *parts]).removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return found


def imports(modules: Mapping[str, str]) -> list[Import]:
    """Every import in the tree, those inside functions too; a relative one shows as a target that begins with a dot."""
    found = []
    for name, text in modules.items():
        tree = ast.parse(text)
        hidden = _inside(tree, _is_typing_block)
        lazy = _inside(tree, lambda node: isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                targets = dict.fromkeys(_targets(node, modules))
                place = node.lineno, node in hidden, node in lazy
                found += [Import(name, target, *place) for target in targets]
    return found


def _inside(tree: ast.AST, kind: Callable[[ast.AST], bool]) -> set[ast.AST]:
    return {node for block in ast.walk(tree) if kind(block) for node in ast.walk(block)}


def _is_typing_block(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _targets(node: ast.Import | ast.ImportFrom, modules: Mapping[str, str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = "." * node.level + (node.module or "")
    for alias in node.names:
        yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base


def layer(module: str) -> str:
    """The row of the tables that a module of segkit belongs to; a part of core nobody placed is a row of its own."""
    if module in ALLOWED:
        return module
    parts = module.split(".")
    if parts[:2] == ["segkit", "plugins"] and len(parts) > 2:
        if parts[2] == "shared":
            return "plugin module"
        if len(parts) == 3:
            return "plugin declaration"
        return "plugin engine" if parts[3] in ENGINE_MODULES else "plugin module"
    if parts[:2] == ["segkit", "core"]:
        return ".".join(parts[:3])
    return ".".join(parts[:2]) if ".".join(parts[:2]) in ALLOWED else "segkit"


def breaches(modules: Mapping[str, str]) -> list[str]:
    """Imports that the tables do not allow."""
    return [str(found) for found in imports(modules) if not _allowed(found)]


def _allowed(found: Import) -> bool:
    mine, target = layer(found.importer), found.imported
    if target.startswith("."):
        return False
    if target.partition(".")[0] != "segkit":
        package = target.partition(".")[0]
        free = mine in ("plugin module", "plugin engine") or found.typing_only or package in sys.stdlib_module_names
        return free or package in PACKAGES.get(mine, set())
    if target.startswith("segkit.plugins"):
        shared = target.startswith("segkit.plugins.shared") and mine in ("plugin module", "plugin engine")
        return shared or (mine.startswith("plugin ") and target.split(".")[:3] == found.importer.split(".")[:3])
    within_reach = reach(mine) if found.typing_only else ALLOWED.get(mine, set())
    return layer(target) == mine or bool({layer(target), target} & within_reach)


def reach(row: str) -> set[str]:
    """Layers that a layer imports, and those that they import, and so on: whose types it may name."""
    found: set[str] = set()
    waiting = [row]
    while waiting:
        found.add(row := waiting.pop())
        waiting += ALLOWED.get(row, set()) - found
    return found


def cycle(modules: Mapping[str, str]) -> list[str]:
    """Modules that import each other in a ring, or an empty list.

    Imports inside functions count, but for a package that reaches its own modules only when called: they run after it.
    """
    edges: dict[str, set[str]] = {name: set() for name in modules}
    for found in imports(modules):
        own = found.lazy and found.imported.startswith(f"{found.importer}.")
        if found.imported in modules and not found.typing_only and not own:
            edges[found.importer].add(found.imported)
    done: set[str] = set()

    def walk(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name not in done:
            for target in sorted(edges[name]):
                if ring := walk(target, [*trail, name]):
                    return ring
            done.add(name)
        return []

    return next((ring for name in sorted(modules) if (ring := walk(name, []))), [])


def named_formats(modules: Mapping[str, str]) -> list[str]:
    """Places outside plugins/ where a string is a format's name or its suffix."""
    return [
        f"{name} line {node.lineno} names {node.value!r}"
        for name, text in modules.items()
        if not name.startswith("segkit.plugins")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value.lower().removeprefix(".") in FORMAT_NAMES
    ]


def test_every_import_is_one_that_the_architecture_allows() -> None:
    assert breaches(sources()) == []


def test_no_modules_import_each_other_in_a_ring() -> None:
    assert cycle(sources()) == []


def test_no_code_outside_plugins_names_a_format() -> None:
    assert named_formats(sources()) == []


FOR_TYPES = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import "


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("segkit.core.errors", "import numpy"),
        ("segkit.core.images.batch", "from segkit.core.backend import Format"),
        ("segkit.core.nobody_placed_it", "from segkit.core.images import ImageBatch"),
        ("segkit.core.images.batch", "def f():\n    import torch"),
        ("segkit.core.data.loading.pool", "import torch"),
        ("segkit.core.data.dataset", "from segkit.core.data.loader import TrainLoader"),
        ("segkit.core.backend.base", "import onnxruntime"),
        ("segkit.core.backend.base", "from segkit.core.graph import capture"),
        ("segkit.core.inference.decode", "import segkit.core.model"),
        ("segkit.core.inference.decode", "from .masks import InstanceMasks"),
        ("segkit.core.model.network", "from segkit.plugins import onnx"),
        ("segkit.cli.predict", "from segkit.core.model import load_network"),
        (
            "segkit.core.backend.base",
            FOR_TYPES + "segkit.core.model",
        ),
        ("segkit.model", "import torch"),
        ("segkit.plugins.onnx", "import onnx"),
        ("segkit.plugins.onnx", "from segkit.core.graph import capture"),
        ("segkit.plugins.onnx.exporter", "from segkit.plugins.pytorch import backend"),
        ("segkit.plugins.onnx.exporter", "from segkit import YOLO"),
    ],
)
def test_a_forbidden_import_is_noticed(module: str, statement: str) -> None:
    assert len(breaches({module: statement})) == 1


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("segkit.core.images.batch", "from segkit.core.images.geometry import Letterbox\nimport cv2, pathlib"),
        ("segkit.core.graph.program", "import torch\nfrom segkit.core.model import load_network"),
        ("segkit.core.data.loader", "import torch\nfrom segkit.core.data.order import Order"),
        ("segkit.plugins.onnx.exporter", "import onnx\nfrom segkit.core.graph import capture"),
        ("segkit.cli.predict", "import segkit\nfrom segkit.core.errors import SegkitError"),
        ("segkit.model", FOR_TYPES + "torch"),
        ("segkit.cli.info", FOR_TYPES + "segkit.core.model"),
    ],
)
def test_an_allowed_import_passes(module: str, statement: str) -> None:
    assert breaches({module: statement}) == []


def test_a_ring_is_noticed_even_through_a_function() -> None:
    ring = {
        "segkit.a": "import segkit.b",
        "segkit.b": "def f():\n    from segkit import c",
        "segkit.c": "import segkit.a",
    }
    assert cycle(ring) == ["segkit.a", "segkit.b", "segkit.c", "segkit.a"]


def test_a_package_may_reach_its_own_modules_when_it_is_called() -> None:
    package, module = "def f():\n    from segkit.a import b", "from segkit.a import Options"
    assert cycle({"segkit.a": package, "segkit.a.b": module}) == []
    assert cycle({"segkit.a": "import segkit.a.b", "segkit.a.b": module}) == ["segkit.a", "segkit.a.b", "segkit.a"]


def test_a_format_named_outside_its_plugin_is_noticed() -> None:
    text = "names = ['onnx', 'on', f'x']\nsuffix = '.TFLite'\ndef f():\n    '''The onnx format.'''"
    assert len(named_formats({"segkit.core.images.batch": text})) == 2
    assert named_formats({"segkit.plugins.onnx": text}) == []
