"""Half precision: the layers' weights are stored in float16, all else stays in float32.

Input and outputs stay float32, so the file is used exactly as a full-precision one, and so do the places of the
anchors: a coordinate of 1279.5 in float16 is rounded to a whole pixel. What layers compute in is the device's affair.
"""

from __future__ import annotations

import numpy as np

from segkit.core.errors import ExportError
from segkit.plugins.openvino.runtime import ops, ov
from segkit.plugins.openvino.structure import kernels


def to_half(model: ov.Model) -> None:
    """Convert a float32 model in place.

    Raises:
        ExportError: a weight is too large for float16.
    """
    for place in list(kernels(model)):
        kernel = place.get_source_output().get_node()
        with np.errstate(over="ignore"):
            halved = kernel.data.astype(np.float16)
        if not np.isfinite(halved).all():
            raise ExportError(
                "openvino",
                f"weights of '{place.get_node().get_friendly_name()}' exceed half precision (65504); "
                "export without half",
            )
        wide = ops.convert(ops.constant(halved, name=kernel.get_friendly_name()), "f32")
        place.replace_source_output(wide.output(0))
