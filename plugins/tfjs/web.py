"""What a web page takes from the packages of npm, and the adapter between them and segkit's page."""

from __future__ import annotations

from pathlib import Path

from segkit.core.backend import WebRuntime

ADAPTER = Path(__file__).with_name("adapter.js")

_LIBRARIES = ("core", "backend-webgl", "backend-wasm", "converter")
_KERNELS = ("", "-simd", "-threaded-simd")


def runtime(packages: Path) -> WebRuntime:
    """The files; `packages` is the folder `node_modules`."""
    home = packages / "@tensorflow"
    libraries = {
        f"tf-{name}.min.js": home / f"tfjs-{name}" / "dist" / f"tf-{name}.es2017.min.js" for name in _LIBRARIES
    }
    names = [f"tfjs-backend-wasm{kind}.wasm" for kind in _KERNELS]
    kernels = {name: home / "tfjs-backend-wasm" / "dist" / name for name in names}
    return WebRuntime(ADAPTER.name, {ADAPTER.name: ADAPTER} | libraries | kernels)
