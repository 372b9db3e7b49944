"""Devices as users name them, to execution providers as onnxruntime names them."""

from __future__ import annotations

import onnxruntime as ort

from segkit.core.errors import OptionError

CPU = "CPUExecutionProvider"
_SUFFIX = "ExecutionProvider"
_ALIASES = {"mps": "coreml", "directml": "dml"}
_NO_DEVICE = "azure"  # part of most builds, but it runs models on somebody else's machine


def provider(device: str) -> tuple[str, dict[str, str]]:
    """Provider and its arguments for a device: "cpu", "cuda", "cuda:1", "0" (the same as cuda:0), "mps", "dml", …

    Every provider of the installed onnxruntime can be named, without its ending and in any case.

    Raises:
        OptionError: the installed onnxruntime has no such provider; the ones it has are listed.
    """
    name, _, index = device.strip().lower().partition(":")
    if name.isdigit():
        name, index = "cuda", name
    known = {item.removesuffix(_SUFFIX).lower(): item for item in ort.get_available_providers()}
    known.pop(_NO_DEVICE, None)
    found = known.get(_ALIASES.get(name, name))
    if found is None or (index and not index.isdigit()):
        hint = "; for cuda install onnxruntime-gpu instead of onnxruntime" if name == "cuda" and found is None else ""
        raise OptionError.invalid("device", device, f"onnxruntime offers {', '.join(sorted(known))} here{hint}")
    return found, {"device_id": index} if index else {}
