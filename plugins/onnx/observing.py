"""Runs the layers of a network on calibration pictures and counts what its values are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import onnx
import onnxruntime as ort
from onnx import ModelProto, NodeProto, TensorProto, helper

from segkit.core.backend import Calibration
from segkit.core.errors import ExportError
from segkit.plugins.onnx.ranges import Histogram

_EVERY = 16
"""Pictures between two words to the user."""


def observe(
    model: ModelProto,
    nodes: Sequence[NodeProto],
    values: Iterable[str],
    calibration: Calibration,
    report: Callable[[str], None],
) -> dict[str, Histogram]:
    """Histograms of `values` over all pictures.

    One picture is run at a time, whatever batch the file is for, and what its values are is forgotten once counted: the
    memory needed depends on the size of the pictures alone.

    Args:
        model: float32.
        nodes: those of its nodes that lead to the values, in order; they must work for any batch.
        values: names.
        calibration: pictures of the input's size.
        report: called with a few words every now and then.

    Raises:
        ExportError: a value is no finite number: the weights are damaged.
    """
    seen = {name: Histogram() for name in values}
    session = _session(model, nodes, seen)
    feed = session.get_inputs()[0].name
    done = 0
    for batch in calibration:
        for picture in batch.f32_nchw:
            if done % _EVERY == 0:
                report(f"calibrating: picture {done + 1} of {len(calibration)}")
            done += 1
            for (name, histogram), array in zip(
                seen.items(), session.run(list(seen), {feed: picture[None]}), strict=True
            ):
                try:
                    histogram.add(array)
                except ValueError as error:
                    raise ExportError("onnx", f"'{name}' is {error} on a calibration picture") from None
    return seen


def _session(model: ModelProto, nodes: Sequence[NodeProto], values: Iterable[str]) -> ort.InferenceSession:
    pixels = model.graph.input[0].name
    graph = helper.make_graph(
        nodes,
        "observed",
        [helper.make_tensor_value_info(pixels, TensorProto.FLOAT, [None, 3, None, None])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in values],
        model.graph.initializer,
    )
    observed = helper.make_model(graph, opset_imports=model.opset_import)
    observed.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import)
    settings = ort.SessionOptions()
    settings.log_severity_level = 4  # whatever matters is raised as well
    ort.disable_telemetry_events()
    return ort.InferenceSession(observed.SerializeToString(), settings, providers=["CPUExecutionProvider"])
