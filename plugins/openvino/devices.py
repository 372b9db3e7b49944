"""Devices as users name them, to devices as OpenVINO names them."""

from __future__ import annotations

from segkit.core.errors import OptionError
from segkit.plugins.openvino.runtime import ov

CPU = "CPU"
_CHOOSES = "AUTO"
"""OpenVINO's own choice among those that there are."""


def device(core: ov.Core, name: str) -> str:
    """The device that `name` means: "cpu", "gpu", "gpu:1", "npu", "auto"; "intel:gpu" is the same as "gpu".

    Raises:
        OptionError: OpenVINO has no such device here; those that it has are listed.
    """
    offered = [*core.available_devices, _CHOOSES]  # "GPU.0" and "GPU.1" where there are two
    wanted = name.strip().upper().removeprefix("INTEL:").replace(":", ".")
    if wanted in offered or f"{wanted}.0" in offered:
        return wanted
    if wanted.endswith(".0") and wanted.removesuffix(".0") in offered:
        return wanted.removesuffix(".0")
    listed = ", ".join(sorted(item.lower().replace(".", ":") for item in offered))
    hint = "; OpenVINO does not run on NVIDIA's" if wanted.startswith("CUDA") else ""
    raise OptionError.invalid("device", name, f"OpenVINO offers {listed} here{hint}")
