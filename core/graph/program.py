"""One graph in: a fused, eval-mode network captured once as a functional ATen graph. Every exporter starts from it."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import Node

from segkit.core.backend.options import HeadLayout
from segkit.core.errors import OptionError
from segkit.core.images import Size
from segkit.core.model import SegmentationNetwork, load_network
from segkit.core.model.head import Decoded, Grid, RawHead

INPUT_NAME = "images"
JOINED = ("output0", "output1")
SPLIT = ("boxes", "scores", "coefficients", "prototypes")


@dataclass(frozen=True)
class Program:
    """A captured network.

    Attributes:
        module: what was captured: fused, eval mode, images → the outputs. Its `half()` brings the layers alone to half
            precision; input, outputs and the arithmetic on pixels stay float32.
        example: input of the capture, (batch, 3, H, W) float32.
        head: arrangement of the outputs.
        input_name: name of the input.
        output_names: names of the outputs, in order.
        free: sides of the input that are not those of the example, as `torch.export` takes them.
    """

    module: nn.Module
    example: Tensor
    head: HeadLayout
    output_names: tuple[str, ...]
    free: tuple[dict[int, object] | None]
    input_name: str = INPUT_NAME

    @cached_property
    def exported(self) -> ExportedProgram:
        """Functional ATen graph (conv2d and silu kept whole); weights by name in its state dict. Made by `torch.export`
        when first asked for: it takes seconds, and whoever traces the module needs none of it.
        """
        example = self.example
        if self.free[0] and 0 in self.free[0]:  # a batch of one would be taken for a constant
            example = example.new_zeros((max(len(example), 2), *example.shape[1:]))
        with torch.no_grad(), warnings.catch_warnings():
            # torch warns about itself: its own pytree nodes are built in a way that it has deprecated.
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            exported = torch.export.export(self.module, (example,), dynamic_shapes=self.free, strict=False)
            functional: ExportedProgram = exported.run_decompositions({})
        return functional

    @property
    def weights(self) -> dict[str, Tensor]:
        """Parameters and buffers by the name of the graph's placeholder that stands for them."""
        signature = self.exported.graph_signature
        targets = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        tensors = {**self.exported.state_dict, **self.exported.constants}
        return {name: tensors[target].detach() for name, target in targets.items()}

    @property
    def graph(self) -> tuple[Node, ...]:
        """Every node, in the order of execution."""
        return tuple(self.exported.graph.nodes)


def capture(
    model: Path | SegmentationNetwork,
    *,
    head: HeadLayout | None = None,
    imgsz: Size = (640, 640),
    batch: int = 1,
    dynamic_batch: bool = False,
    dynamic_size: bool = False,
) -> Program:
    """Capture a network.

    Args:
        model: weights on disk, or a network, which is left as it is.
        head: arrangement of the outputs: joined (output0 (B, 4 + nc + masks, A), output1 (B, masks, H/4, W/4)) or
            split (boxes (B, 4, A), scores (B, nc, A), coefficients (B, masks, A), prototypes); boxes in pixels or in
            0..1 of the input's sides. With `nms` too the program ends before the selection of detections: every format
            has operators of its own for that, and its exporter appends them.
        imgsz: (height, width) of the input, multiples of the network's stride.
        batch: pictures in a run.
        dynamic_batch: any number of pictures.
        dynamic_size: any multiples of the stride (at least two strides); anchors are then computed in the graph,
            otherwise they are constants.

    Raises:
        ModelFileError: the file is no YOLOv8-seg.
        OptionError: `imgsz` is no multiple of the stride.
    """
    head = (head or HeadLayout()).model_copy(update={"nms": False})
    network = load_network(model) if isinstance(model, Path) else copy.deepcopy(model).cpu().float()
    if any(side < 1 or side % network.stride for side in imgsz):
        raise OptionError.invalid("imgsz", imgsz, f"both sides must be multiples of {network.stride}")
    module = _Wrapped(network.eval().fuse(), head, None if dynamic_size else imgsz).eval()
    free = _free(network.stride, dynamic_batch, dynamic_size)
    names = JOINED if head.outputs == "joined" else SPLIT
    return Program(module, torch.zeros((batch, 3, *imgsz)), head, names, free)


class _Wrapped(nn.Module):
    """A network with its outputs arranged as a layout wants them."""

    centres: Tensor
    sides: Tensor

    def __init__(self, network: SegmentationNetwork, head: HeadLayout, size: Size | None) -> None:
        """`size` of the input, if it is constant: anchors are then computed once, here."""
        super().__init__()
        self.network = network
        self._layout, self._constant, self._half = head, size is not None, False
        if size is not None:
            grid = self._grid(torch.empty(0), *size)
            self.register_buffer("centres", grid.centres)
            self.register_buffer("sides", grid.sides)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) → outputs in the order of the layout."""
        grid = Grid(self.centres, self.sides) if self._constant else self._grid(images, *images.shape[2:])
        decoded: Decoded = self.network.head.decode(self._raw(images), grid)
        if self._layout.outputs == "split":
            return tuple(decoded)
        return torch.cat((decoded.boxes, decoded.scores, decoded.coefficients), 1), decoded.prototypes

    def half(self) -> Self:
        """Half precision for the layers alone: a coordinate of 600 in float16 would be rounded to half a pixel."""
        self.network.half()
        self.network.head.dfl.float()  # part of that arithmetic
        self._half = True
        return self

    def _raw(self, images: Tensor) -> RawHead:
        if not self._half:
            return self.network.raw(images)
        # By what a weight is, not by naming half: a trace can be brought back to float32, where half is slow.
        images = images.type_as(next(self.network.parameters()))
        return RawHead(*(output.float() for output in self.network.raw(images)))

    def _grid(self, like: Tensor, height: int, width: int) -> Grid:
        return self.network.head.grid(like, height, width, unit=self._layout.boxes == "unit")


def _free(stride: int, batch: bool, size: bool) -> tuple[dict[int, object] | None]:
    shapes: dict[int, object] = {}
    if batch:
        shapes[0] = Dim("batch", min=1, max=4096)
    if size:
        shapes[2] = stride * Dim("rows", min=2, max=1024)
        shapes[3] = stride * Dim("columns", min=2, max=1024)
    return (shapes or None,)
