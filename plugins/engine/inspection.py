"""What an engine file holds, told without its runtime: what segkit sealed, and what the first bytes of the plan say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from segkit.core.backend import Inspection, TensorInfo
from segkit.plugins.engine.container import Built, EngineFile, Tensor, read_engine, title
from segkit.plugins.engine.fitting import version_of
from segkit.plugins.engine.profiles import Profile

TELLING = ("author", "version", "license")
"""Keys that other tools write and that metadata leave out."""

INPUT_AXES, OUTPUT_AXES = ("batch", "channels", "height", "width"), ("batch", "channels", "mask_height", "mask_width")
HEAD_AXES = ("batch", "rows", "anchors")


def inspect(path: Path) -> Inspection:
    """Tensors, runtime, GPUs, precision and writer of an engine file of any tool.

    Raises:
        ModelFileError: it is something else (and what), or it is damaged.
    """
    file = read_engine(path)
    metadata, built = file.metadata(), file.built
    version = version_of(file)
    producer = title(file.plan.runtime, version or "(unknown version)")
    facts = dict(_facts(file, built))
    if metadata:
        facts["precision"] = metadata.precision.value
    facts |= {key: str((file.raw or {})[key]) for key in TELLING if (file.raw or {}).get(key)}
    if built is None:
        return Inspection(producer=producer, facts=facts)
    return Inspection(
        tuple(_named(built.inputs, INPUT_AXES)), tuple(_named(built.outputs, OUTPUT_AXES)), producer, facts
    )


def _facts(file: EngineFile, built: Built | None) -> Iterator[tuple[str, str]]:
    yield "runtime", file.plan.runtime
    if built:
        yield "made for", ", ".join(built.targets) + (f" ({built.gpu})" if built.gpu else "")
        yield "platform", built.platform
        if built.dla is not None:
            yield "DLA core", str(built.dla)
        for least, best, largest in (Profile(*shapes) for shapes in built.profiles):
            yield "profile", " to ".join(map(_shape, (least, largest))) + f", best at {_shape(best)}"
    yield "plan", f"{file.path.stat().st_size - file.start:,} bytes"


def _shape(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))


def _named(tensors: Iterable[Tensor], axes: tuple[str, ...]) -> Iterator[TensorInfo]:
    """A side that is free has the name that it has in ONNX."""
    for tensor in tensors:
        names = axes if len(tensor.shape) == len(axes) else HEAD_AXES
        shape = tuple(side if side >= 0 else name for side, name in zip(tensor.shape, names, strict=False))
        yield TensorInfo(tensor.name, tensor.dtype, shape)
