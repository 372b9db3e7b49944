"""One graph in: a fused, eval-mode network captured once as a functional ATen graph. Every exporter starts from it."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import Node

from segkit.core.backend.options import HeadLayout
from segkit.core.errors import OptionError
from segkit.core.images import Size
from segkit.core.model import SegmentationNetwork, load_network
from segkit.core.model.head import Decoded, Grid

INPUT_NAME = "images"
JOINED = ("output0", "output1")
SPLIT = ("boxes", "scores", "coefficients", "prototypes")


@dataclass(frozen=True)
class Program:
    """A captured network.

    Attributes:
        exported: functional ATen graph (conv2d and silu kept whole); weights by name in its state dict.
        module: what was captured: fused, eval mode, images → the outputs.
        example: input of the capture, (batch, 3, H, W) float32.
        head: arrangement of the outputs.
        input_name: name of the input.
        output_names: names of the outputs, in order.
    """

    exported: ExportedProgram
    module: nn.Module
    example: Tensor
    head: HeadLayout
    output_names: tuple[str, ...]
    input_name: str = INPUT_NAME

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
    """Capture a network with `torch.export`.

    Args:
        model: weights on disk, or a network, which is left as it is.
        head: arrangement of the outputs: joined (output0 (B, 4 + nc + masks, A), output1 (B, masks, H/4, W/4)) or
            split (boxes (B, 4, A), scores (B, nc, A), coefficients (B, masks, A), prototypes); boxes in pixels or in
            0..1 of the input's sides.
        imgsz: (height, width) of the input, multiples of the network's stride.
        batch: pictures in a run.
        dynamic_batch: any number of pictures.
        dynamic_size: any multiples of the stride (at least two strides); anchors are then computed in the graph,
            otherwise they are constants.

    Raises:
        ModelFileError: the file is no YOLOv8-seg.
        OptionError: `imgsz` is no multiple of the stride, or the head asks for NMS.
    """
    head = head or HeadLayout()
    network = load_network(model) if isinstance(model, Path) else copy.deepcopy(model).cpu().float()
    if head.nms:
        raise OptionError.invalid("nms", True, "the graph ends before the selection of detections")
    if any(side < 1 or side % network.stride for side in imgsz):
        raise OptionError.invalid("imgsz", imgsz, f"both sides must be multiples of {network.stride}")
    module = _Wrapped(network.eval().fuse(), head, None if dynamic_size else imgsz).eval()
    # A batch of one would be taken for a constant.
    shape = (max(batch, 2) if dynamic_batch else batch, 3, *imgsz)
    example = torch.zeros(shape)
    with torch.no_grad(), warnings.catch_warnings():
        # torch warns about itself: its own pytree nodes are built in a way that it has deprecated.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        exported = torch.export.export(
            module, (example,), dynamic_shapes=_dynamic(network.stride, dynamic_batch, dynamic_size), strict=False
        ).run_decompositions({})
    return Program(exported, module, example[:batch], head, JOINED if head.outputs == "joined" else SPLIT)


class _Wrapped(nn.Module):
    """A network with its outputs arranged as a layout wants them."""

    centres: Tensor
    sides: Tensor

    def __init__(self, network: SegmentationNetwork, head: HeadLayout, size: Size | None) -> None:
        """`size` of the input, if it is constant: anchors are then computed once, here."""
        super().__init__()
        self.network = network
        self._layout, self._constant = head, size is not None
        if size is not None:
            grid = self._grid(torch.empty(0), *size)
            self.register_buffer("centres", grid.centres)
            self.register_buffer("sides", grid.sides)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) → outputs in the order of the layout."""
        grid = Grid(self.centres, self.sides) if self._constant else self._grid(images, *images.shape[2:])
        decoded: Decoded = self.network.head.decode(self.network.raw(images), grid)
        if self._layout.outputs == "split":
            return tuple(decoded)
        return torch.cat((decoded.boxes, decoded.scores, decoded.coefficients), 1), decoded.prototypes

    def _grid(self, like: Tensor, height: int, width: int) -> Grid:
        return self.network.head.grid(like, height, width, unit=self._layout.boxes == "unit")


def _dynamic(stride: int, batch: bool, size: bool) -> tuple[dict[int, object] | None]:
    shapes: dict[int, object] = {}
    if batch:
        shapes[0] = Dim("batch", min=1, max=4096)
    if size:
        shapes[2] = stride * Dim("rows", min=2, max=1024)
        shapes[3] = stride * Dim("columns", min=2, max=1024)
    return (shapes or None,)
