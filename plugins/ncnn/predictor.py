"""Runs an ncnn model, whoever exported it; never imports torch."""

from __future__ import annotations

from typing import Any

import ncnn
import numpy as np
from numpy.typing import NDArray

from segkit.core import cores
from segkit.core.backend import Anchors, LoadOptions, Metadata, Predictor, Selected
from segkit.core.backend.layouts import Known, anchor_count, arrange
from segkit.core.errors import ModelFileError, OptionError, RuntimeFailure
from segkit.core.images import ImageBatch
from segkit.plugins.ncnn.folder import Files, fixed_anchors
from segkit.plugins.ncnn.graph import Graph
from segkit.plugins.ncnn.vulkan import vulkan_device


class NcnnPredictor(Predictor):
    """A net of ncnn, which knows no batch: pictures go through it one by one.

    Any thread may call it at any time: a net does not change once it is loaded, and every run has an extractor of its
    own. It computes in float32 whatever the weights are stored in. ncnn's own default, on ARM and on Vulkan, is
    float16 throughout, in which a coordinate of 600 is off by up to a quarter of a pixel.
    """

    def __init__(self, files: Files, graph: Graph, metadata: Metadata, options: LoadOptions) -> None:
        """Load files that have been verified, on `options.device`.

        Raises:
            ModelFileError: ncnn cannot read them, or it is not a segmentation network.
            OptionError: there is no such device here.
        """
        self._path, self._metadata, self._known = files.path, metadata, Known.of(metadata, channels_last=False)
        self._anchors = fixed_anchors(graph)
        if len(graph.inputs) != 1:
            raise ModelFileError(self._path, f"it takes {len(graph.inputs)} inputs, not pictures alone")
        self._input, self._outputs = graph.inputs[0], graph.outputs
        # A first layer that computes in place would write into the caller's pixels.
        self._own_input = any(layer.type != "Convolution" for layer in graph.takers(self._input))
        self._net = _open(files, graph, options)

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        """Compute, one picture after the other.

        Raises:
            OptionError: the file takes pictures of another size only.
            ModelFileError: the outputs are not those of a segmentation network.
            RuntimeFailure: ncnn failed.
        """
        self._check(batch)
        pictures = [self._compute(picture) for picture in batch.f32_nchw]
        outputs = [np.stack(found) if len(found) > 1 else found[0][None] for found in zip(*pictures, strict=True)]
        return arrange(dict(zip(self._outputs, outputs, strict=True)), batch.size, self._known, self._path)

    def warm_up(self) -> None:
        """One run on a black picture: memory is laid out."""
        self._compute(np.zeros((3, *self._metadata.imgsz), np.float32))

    def close(self) -> None:
        """Free the net."""
        self._net.clear()
        del self._net

    def _check(self, batch: ImageBatch) -> None:
        own = self._metadata
        strides = self._known.strides
        fits = self._anchors in (None, anchor_count(batch.size, strides))
        if fits and (own.dynamic_size or batch.size == own.imgsz) and not any(s % own.stride for s in batch.size):
            return
        if own.dynamic_size and fits:
            problem = f"both sides must be multiples of {own.stride}"
        elif own.dynamic_size:
            problem = (
                f"this graph was made for {self._anchors} anchors, and does not say for which size; give its imgsz"
            )
        else:
            problem = f"this file takes {own.imgsz[0]}x{own.imgsz[1]} only; export with dynamic=True to free it"
        raise OptionError.invalid("imgsz", batch.size, problem)

    def _compute(self, picture: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The outputs for a picture (3, H, W)."""
        image = ncnn.Mat(np.ascontiguousarray(picture))
        if self._own_input:
            image = image.clone()
        extractor = self._net.create_extractor()
        if extractor.input(self._input, image):
            raise RuntimeFailure("ncnn", f"it refuses a picture of {picture.shape[1]}x{picture.shape[2]}")
        found = []
        for name in self._outputs:
            code, output = extractor.extract(name)
            if code:
                raise RuntimeFailure("ncnn", f"it cannot compute '{name}' (code {code})")
            found.append(np.array(output, np.float32))  # ncnn's memory goes with the net
        return found


def _open(files: Files, graph: Graph, options: LoadOptions) -> Any:
    for kind in {layer.type for layer in graph.layers}:
        if ncnn.layer_to_index(kind) < 0:
            raise ModelFileError(files.path, f"ncnn {ncnn.__version__} knows no layer '{kind}' (a newer one may)")
    net = ncnn.Net()
    net.opt.num_threads = options.threads or min(ncnn.get_physical_big_cpu_count(), cores.physical())
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    device = vulkan_device(options.device)
    if device is not None:
        net.opt.use_vulkan_compute = True
        net.set_vulkan_device(device)
    if net.load_param(str(files.param)) or net.load_model(str(files.weights)):
        net.clear()
        raise ModelFileError(files.path, "ncnn refuses it")
    return net
