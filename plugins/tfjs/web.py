"""What a web page takes from the packages of npm, and the module between them and segkit's page."""

from __future__ import annotations

from pathlib import Path

from segkit.core.backend import WebRuntime
from segkit.plugins.tfjs.packages import folder

ADAPTER = Path(__file__).with_name("adapter.js")

_LIBRARIES = ("core", "backend-webgl", "backend-wasm", "converter")
_KERNELS = ("", "-simd", "-threaded-simd")


def runtime() -> WebRuntime:
    """The files."""
    home = folder() / "node_modules" / "@tensorflow"
    files = {ADAPTER.name: ADAPTER}
    for name in _LIBRARIES:
        files[f"tf-{name}.min.js"] = home / f"tfjs-{name}" / "dist" / f"tf-{name}.es2017.min.js"
    for kind in _KERNELS:
        name = f"tfjs-backend-wasm{kind}.wasm"
        files[name] = home / "tfjs-backend-wasm" / "dist" / name
    return WebRuntime(ADAPTER.name, files)
