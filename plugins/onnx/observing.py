"""Runs the layers of a network on calibration pictures, and counts what its values are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from segkit.core.backend import Calibration
from segkit.core.backend.ranges import Histogram
from segkit.core.errors import ExportError

_EVERY = 16
"""Pictures between two words to the user."""


_MEAN = "_mean"


class Observed(NamedTuple):
    """What was seen on all pictures.

    Attributes:
        histograms: of the numbers of a value, by its name.
        means: (C,) of each channel of a value, by its name.
    """

    histograms: dict[str, Histogram]
    means: dict[str, NDArray[np.float64]]


def observe(
    model: ModelProto,
    nodes: Sequence[NodeProto],
    values: Iterable[str],
    channels: Iterable[str],
    calibration: Calibration,
    report: Callable[[str], None],
) -> Observed:
    """Histograms of `values`, and means of `channels`, over all pictures.

    One picture is run at a time, whatever batch the file is for, and what its values are is forgotten once counted: the
    memory needed depends on the size of the pictures alone.

    Args:
        model: float32.
        nodes: those of its nodes that lead to the values, in order; they must work for any batch.
        values: names of values.
        channels: names of values (B, C, H, W).
        calibration: pictures of the input's size.
        report: called with a few words every now and then.

    Raises:
        ExportError: a value is no finite number: the weights are damaged.
    """
    seen, averaged = {name: Histogram() for name in values}, list(dict.fromkeys(channels))
    sums: dict[str, NDArray[np.float64]] = dict.fromkeys(averaged, np.zeros(1))
    session = _session(model, nodes, [*seen], averaged)
    asked = [*seen, *(f"{name}{_MEAN}" for name in averaged)]
    feed = session.get_inputs()[0].name
    done = 0
    for batch in calibration:
        for picture in batch.f32_nchw:
            if done % _EVERY == 0:
                report(f"calibrating: picture {done + 1} of {len(calibration)}")
            done += 1
            arrays = session.run(asked, {feed: picture[None]})
            for (name, histogram), array in zip(seen.items(), arrays, strict=False):
                try:
                    histogram.add(array)
                except ValueError as error:
                    raise ExportError("onnx", f"'{name}' is {error} on a calibration picture") from None
            for name, array in zip(averaged, arrays[len(seen) :], strict=True):
                sums[name] = sums[name] + array.ravel()
    return Observed(seen, {name: total / done for name, total in sums.items()})


def _session(
    model: ModelProto, nodes: Sequence[NodeProto], values: Sequence[str], channels: Sequence[str]
) -> ort.InferenceSession:
    pixels = model.graph.input[0].name
    means = [helper.make_node("GlobalAveragePool", [name], [f"{name}{_MEAN}"]) for name in channels]
    graph = helper.make_graph(
        [*nodes, *means],
        "observed",
        [helper.make_tensor_value_info(pixels, TensorProto.FLOAT, [None, 3, None, None])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in (*values, *(mean.output[0] for mean in means))
        ],
        model.graph.initializer,
    )
    observed = helper.make_model(graph, opset_imports=model.opset_import)
    observed.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import)
    settings = ort.SessionOptions()
    settings.log_severity_level = 4  # whatever matters is raised as well
    ort.disable_telemetry_events()
    return ort.InferenceSession(observed.SerializeToString(), settings, providers=["CPUExecutionProvider"])
