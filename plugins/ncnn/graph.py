"""The graph of a network as ncnn's text form has it, one line a layer:

    type name inputs outputs input_0 … output_0 … key=value …

Keys are numbers, whose meaning depends on the type; an array is written as -23300 - key=count,first,second,…
What ncnn trusts blindly and dies of is refused here: blobs that nobody makes, counts that do not fit, sizes of zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

MAGIC = "7767517"
"""The first line of every graph."""

MOST_LAYERS = 1 << 16
LARGEST = 1 << 31
"""A number that ncnn can hold ends below."""

ARRAY = -23300
"""The key of an array is this less its number."""

ANY = -233
"""Stands for "whatever is left"."""

CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise", "Deconvolution", "DeconvolutionDepthWise")


@dataclass
class Layer:
    """One line. `parameters` maps a key to the text of its value."""

    type: str
    name: str
    inputs: list[str]
    outputs: list[str]
    parameters: dict[int, str] = field(default_factory=dict)

    def number(self, key: int, default: int = 0) -> int:
        """A parameter that is a whole number.

        Raises:
            ValueError: it is none, or none that ncnn can hold.
        """
        text = self.parameters.get(key)
        if text is None:
            return default
        try:
            value = int(text)
        except ValueError:
            raise ValueError(f"{self.type} '{self.name}' has {key}={text[:40]}, not a whole number") from None
        if not -LARGEST <= value < LARGEST:
            raise ValueError(f"{self.type} '{self.name}' has {key}={value}, which is too large")
        return value

    def __str__(self) -> str:
        """As it stands in the file."""
        counts = [str(len(self.inputs)), str(len(self.outputs))]
        parameters = [f"{key}={value}" for key, value in self.parameters.items()]
        return " ".join([f"{self.type:<24} {self.name:<24}", *counts, *self.inputs, *self.outputs, *parameters])


@dataclass
class Graph:
    """Layers in the order in which they run."""

    layers: list[Layer]

    @property
    def inputs(self) -> list[str]:
        """Blobs that are given."""
        return [name for layer in self.layers if layer.type == "Input" for name in layer.outputs]

    @property
    def outputs(self) -> list[str]:
        """Blobs that no layer takes, by name: the order of the lines depends on the tool that wrote them."""
        taken = {name for layer in self.layers for name in layer.inputs}
        return sorted(name for layer in self.layers for name in layer.outputs if name not in taken)

    def maker(self, blob: str) -> Layer:
        """The layer that gives a blob."""
        return next(layer for layer in self.layers if blob in layer.outputs)

    def takers(self, blob: str) -> list[Layer]:
        """The layers that take a blob."""
        return [layer for layer in self.layers if blob in layer.inputs]

    def __str__(self) -> str:
        """The whole file."""
        blobs = {name for layer in self.layers for name in layer.outputs}
        return "\n".join([MAGIC, f"{len(self.layers)} {len(blobs)}", *map(str, self.layers)]) + "\n"


def parse(text: str) -> Graph:
    """A graph from its text form.

    Raises:
        ValueError: it is none, it is cut off, or it does not hang together; the line or the layer is named.
    """
    lines = [line.strip() for line in text.splitlines()]
    if not lines or lines[0] != MAGIC:
        raise ValueError(f"it does not begin with {MAGIC}")
    counts = lines[1].split() if len(lines) > 1 else []
    if len(counts) != 2 or not all(count.isascii() and count.isdigit() and len(count) < 9 for count in counts):
        raise ValueError("its second line is not the number of layers and of blobs")
    announced, blobs = map(int, counts)
    layers = [_layer(number, line) for number, line in enumerate(lines[2:], 3) if line]
    if len(layers) != announced or announced > MOST_LAYERS:
        raise ValueError(f"it announces {announced} layers and has {len(layers)}")
    graph = Graph(layers)
    made = set(_checked(graph))
    if len(made) != blobs:
        raise ValueError(f"it announces {blobs} blobs and has {len(made)}")
    return graph


def _layer(number: int, line: str) -> Layer:
    words = line.split()
    try:
        taken, given = int(words[2]), int(words[3])
        ends = 4 + taken, 4 + taken + given
        if taken < 0 or given < 0 or len(words) < ends[1]:
            raise ValueError
        parameters = dict(_parameter(word) for word in words[ends[1] :])
    except (ValueError, IndexError):
        raise ValueError(f"line {number} is no layer: {line[:80]}") from None
    return Layer(words[0], words[1], words[4 : ends[0]], words[ends[0] : ends[1]], parameters)


def _parameter(word: str) -> tuple[int, str]:
    key, equals, value = word.partition("=")
    if not equals or not value:
        raise ValueError
    return int(key), value


def _checked(graph: Graph) -> Iterator[str]:
    """Every blob, once its maker is found sound."""
    known: set[str] = set()
    for layer in graph.layers:
        for name in layer.inputs:
            if name not in known:
                raise ValueError(f"{layer.type} '{layer.name}' takes '{name}', which no layer before it gives")
        for name in layer.outputs:
            if name in known:
                raise ValueError(f"{layer.type} '{layer.name}' gives '{name}', which another layer gives already")
            known.add(name)
            yield name
        if layer.type in CONVOLUTIONS:
            _check_convolution(layer)


def _check_convolution(layer: Layer) -> None:
    """Sizes that ncnn divides by, or makes room for."""
    outputs, kernel, weights = layer.number(0), layer.number(1), layer.number(6)
    sides = kernel * layer.number(11, kernel)
    steps = [layer.number(key, 1) for key in (2, 3, 12, 13)]
    if min(outputs, kernel, sides, weights, *steps) < 1 or weights % (outputs * sides):
        raise ValueError(f"{layer.type} '{layer.name}' has impossible sizes")
