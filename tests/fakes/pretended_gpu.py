"""A machine with GPUs and with TensorRT, both pretended: for tests that cannot have the real ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cuda_on_cpu
import pytest
import tensorrt_on_cpu

from segkit.plugins.engine import EngineBackend, declared, devices
from segkit.plugins.engine.cuda import Driver

FAKES = Path(__file__).parent


def pretend(patch: pytest.MonkeyPatch, site: Path) -> Callable[..., cuda_on_cpu.Cuda]:
    """Install TensorRT in the new folder `site`; what is returned plugs GPUs in, `(name, (8, 9))` each, and gives their
    driver. Child processes find both, too, and a `cuda.bindings.runtime`: not here, where torch would import it.
    """
    for name, version in (("tensorrt", tensorrt_on_cpu.__version__), ("cuda_bindings", "13.5.0")):
        facts = site / f"{name}-{version}.dist-info"
        facts.mkdir(parents=True)
        (facts / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    bindings = site / "children" / "cuda" / "bindings"
    bindings.mkdir(parents=True)
    (bindings.parent / "__init__.py").touch()  # not a part of the package of that name that is installed
    (site / "tensorrt.py").write_text("from tensorrt_on_cpu import *\nfrom tensorrt_on_cpu import __version__\n")
    (bindings / "runtime.py").write_text("from cuda_runtime_on_cpu import *\n")
    patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (site, site / "children", FAKES))))
    patch.syspath_prepend(site)
    patch.delitem(sys.modules, "tensorrt", raising=False)
    patch.setattr(devices, "DRIVERS", ("/",))
    patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    patch.setattr(EngineBackend, "format", declared(with_gpu=True))

    def plug_in(*named: Any, **changes: Any) -> cuda_on_cpu.Cuda:
        cuda = cuda_on_cpu.Cuda(*named, **changes)
        patch.setattr(tensorrt_on_cpu, "cuda", cuda)
        patch.setattr(Driver, "of_this_machine", classmethod(lambda cls: cls(cuda)))
        return cuda

    return plug_in
