"""What a network is made of, with every size final: nothing is left to scale, to default or to guess."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Count = Annotated[int, Field(ge=1, le=1 << 16)]
Block = Literal["Conv", "C2f", "SPPF", "Upsample", "Concat"]

# Beyond any real network; a file that claims more is wrong, and must not make us allocate.
MAX_LAYERS = 256
MAX_REPEATS = 128
MAX_PARTS = 1024


def first_problem(error: ValidationError) -> str:
    """Where and what is wrong first, in one line. The values themselves stay out: they may be of any size."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    problem = f"{where}: {first['msg']}" if where else first["msg"].removeprefix("Value error, ")
    return " ".join(problem.split())[:160]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Layer(_Part):
    """One numbered layer before the head.

    Attributes:
        block: kind of layer.
        source: layers it reads; negative counts back from itself.
        channels: outputs; 0 for Upsample and Concat, whose outputs follow from their inputs.
        repeats: bottlenecks of a C2f.
        kernel: of a Conv, or of SPPF's pooling.
        stride: of a Conv.
        shortcut: C2f only, whether its bottlenecks are residual.
    """

    block: Block
    source: tuple[int, ...] = (-1,)
    channels: int = Field(default=0, ge=0, le=1 << 16)
    repeats: int = Field(default=1, ge=1, le=MAX_REPEATS)
    kernel: int = Field(default=1, ge=1, le=31)
    stride: int = Field(default=1, ge=1, le=8)
    shortcut: bool = False

    @model_validator(mode="after")
    def _has_channels(self) -> Self:
        if (self.channels == 0) != (self.block in ("Upsample", "Concat")):
            raise ValueError(f"a {self.block} with {self.channels} channels makes no sense")
        if self.block == "C2f" and self.channels % 2:
            raise ValueError(f"a C2f splits its channels in halves, {self.channels} is odd")
        if self.kernel % 2 == 0 or self.stride not in (1, 2, 4, 8):
            raise ValueError("a kernel must be odd and a stride 1, 2, 4 or 8, or maps do not fit onto each other")
        return self


class Head(_Part):
    """The segmentation head.

    Attributes:
        source: the layers it reads, finest first; prototypes are made from the first.
        boxes, scores, coefficients: hidden widths of the three branches.
        prototypes: hidden width of the prototype branch.
        masks: number of prototypes, and of coefficients per object.
        bins: bins of the distribution over each side's distance.
        depthwise: class branches made of depthwise convolutions, as some trainers build them.
    """

    source: tuple[int, ...] = Field(min_length=1)
    boxes: Count
    scores: Count
    coefficients: Count
    prototypes: Count
    masks: Count = 32
    bins: Annotated[int, Field(ge=2, le=256)] = 16
    depthwise: bool = False

    @classmethod
    def for_width(cls, source: tuple[int, ...], width: int, nc: int, masks: int, prototypes: int) -> Head:
        """Branch widths as YOLOv8-seg derives them from `width`, the channels of its finest input."""
        return cls(
            source=source,
            boxes=max(16, width // 4, 64),
            scores=max(width, min(nc, 100)),
            coefficients=max(width // 4, masks),
            prototypes=prototypes,
            masks=masks,
        )


class ModelConfig(_Part):
    """A YOLOv8-seg network.

    Attributes:
        nc: number of classes.
        layers: numbered layers; the head is the one after the last.
        head: the segmentation head.
        scale: "n", "s", "m", "l" or "x" where it is one of the published sizes, "t" for our tiny one, else "".
    """

    nc: Count = 80
    layers: tuple[Layer, ...] = Field(min_length=1, max_length=MAX_LAYERS)
    head: Head
    scale: str = ""

    @cached_property
    def channels(self) -> tuple[int, ...]:
        """Output channels of every layer before the head."""
        return tuple(channels for channels, _ in self.outputs)

    @cached_property
    def inputs(self) -> tuple[int, ...]:
        """Input channels of every layer before the head (summed over what it reads)."""
        return tuple(
            sum(self.outputs[i][0] if i >= 0 else 3 for i in self.sources(index)) for index in range(len(self.layers))
        )

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """Input pixels per cell of every level of the head."""
        return tuple(int(self.outputs[i][1]) for i in self.head.source)

    @property
    def stride(self) -> int:
        """Input pixels per cell of the coarsest map: both sides of an input must be multiples of it."""
        return int(max(stride for _, stride in self.outputs))

    def sources(self, index: int) -> tuple[int, ...]:
        """Absolute indices of what layer `index` reads; -1 is the picture."""
        return tuple(index + source if source < 0 else source for source in self.layers[index].source)

    def with_classes(self, nc: int, like: ModelConfig | None = None) -> ModelConfig:
        """The same network for another number of classes.

        Args:
            nc: how many.
            like: a network whose weights are to be taken over: where its class branches read the same channels, these
                become as wide as its own, instead of depending on the number of classes.
        """
        width = max(self.channels[self.head.source[0]], min(nc, 100))
        if like is not None and like.head_channels == self.head_channels:
            width = like.head.scores
        head = self.head.model_copy(update={"scores": width})
        return ModelConfig(nc=nc, layers=self.layers, head=head, scale=self.scale)

    @property
    def head_channels(self) -> tuple[int, ...]:
        """Channels of the maps that the head reads."""
        return tuple(self.channels[index] for index in self.head.source)

    @cached_property
    def outputs(self) -> tuple[tuple[int, float], ...]:
        """(channels, stride) of every layer before the head; raises ValueError where layers do not fit together."""
        outputs: list[tuple[int, float]] = []
        for index, layer in enumerate(self.layers):
            sources = self.sources(index)
            if any(not -1 <= source < index for source in sources) or not sources:
                raise ValueError(f"layer {index} reads from {list(layer.source)}, which is not before it")
            if len(sources) > 1 and layer.block != "Concat":
                raise ValueError(f"layer {index} ({layer.block}) reads from {len(sources)} layers and takes one")
            read = [outputs[source] if source >= 0 else (3, 1.0) for source in sources]
            if len({stride for _, stride in read}) > 1:
                raise ValueError(f"layer {index} joins maps of different sizes")
            stride = read[0][1] * layer.stride / (2 if layer.block == "Upsample" else 1)
            outputs.append((layer.channels or sum(channels for channels, _ in read), stride))
        return tuple(outputs)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (parts := sum(layer.repeats for layer in self.layers)) > MAX_PARTS:
            raise ValueError(f"its layers and their repeats add up to {parts}, more than {MAX_PARTS}")
        outputs = self.outputs
        for source in self.head.source:
            if not 0 <= source < len(outputs):
                raise ValueError(f"the head reads layer {source}, which does not exist")
        if any(stride < 1 or stride != int(stride) for stride in (outputs[i][1] for i in self.head.source)):
            raise ValueError("the head reads a map that is finer than the picture")
        return self
