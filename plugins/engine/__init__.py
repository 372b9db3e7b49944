"""TensorRT: a plan for a kind of NVIDIA GPU; made from ONNX by TensorRT or TensorRT-RTX, and run by the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from segkit.core.backend import (
    FULL,
    Backend,
    Concurrency,
    ExportJob,
    ExportOptions,
    Feature,
    Format,
    Gap,
    GapKind,
    Inspection,
    LoadOptions,
    Match,
    Metadata,
    Precision,
    Predictor,
    Requirement,
    Support,
    Switches,
    hookimpl,
)
from segkit.core.backend.options import Device, ImgSize
from segkit.core.errors import OptionError, UnsupportedError
from segkit.plugins.engine.devices import dla_core, gpu_index, gpu_is_here, is_gpu
from segkit.plugins.engine.runtimes import BINDINGS, RTX, RTX_TARGETS, STANDARD, RuntimeName, require

ROOM = 2
"""Times the size that a file of free size is made for is the largest that it takes, unless told."""

LEAST_ROOM = 640
"""Pixels of a side that a file of free size takes in any case."""

STRIDE = 32
"""The sides of an input are multiples of it, and the smallest input is one of it."""


def _targets(value: Any) -> Any:
    """As users write them, "sm86,SM89" or 86, to ("sm86", "sm89")."""
    parts = str(value).split(",") if isinstance(value, str | int) else value
    if not isinstance(parts, list | tuple):
        return value
    names = (str(part).strip().lower() for part in parts)
    return tuple(dict.fromkeys(f"sm{name}" if name.isdigit() else name for name in names if name))


def _target(value: str) -> str:
    if value in RTX_TARGETS:
        return value
    raise OptionError.invalid(
        "target",
        value,
        f"TensorRT-RTX builds for {', '.join(RTX_TARGETS)}; export on a GPU of another kind with runtime=standard",
    )


def _runtime(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _device(value: str) -> str:
    if is_gpu(value) or dla_core(value) is not None:
        return value
    raise OptionError.invalid("device", value, "TensorRT computes on NVIDIA devices alone: 0, cuda:0, cuda:1, dla:0, …")


Target = Annotated[str, AfterValidator(_target)]
"""A kind of GPU by its compute capability: sm89 is 8.9."""

EngineDevice = Annotated[Device, AfterValidator(_device)]

NO_GPU = Gap(
    GapKind.NEEDS_HARDWARE,
    "TensorRT computes on NVIDIA GPUs, and this machine has none that works (no driver is loaded, or "
    "CUDA_VISIBLE_DEVICES hides it); files can be made here with runtime=rtx",
)


class EngineExportOptions(ExportOptions):
    """Options of `segkit export format=engine`."""

    dynamic: Annotated[bool, Switches({True: (Feature.DYNAMIC_BATCH, Feature.DYNAMIC_SIZE)})] = Field(
        default=False,
        description="leave batch and size free: up to batch pictures of up to max_imgsz; imgsz is fastest",
    )
    max_imgsz: ImgSize | None = Field(
        default=None, description=f"with dynamic: largest input (default: {ROOM} times imgsz, {LEAST_ROOM} at least)"
    )
    simplify: bool = Field(default=True, description="fold constants and merge nodes with onnxslim before building")
    workspace: float | None = Field(
        default=None, gt=0, le=1024, description="GiB that the builder may use for a layer (default: all there is)"
    )
    runtime: Annotated[RuntimeName, BeforeValidator(_runtime)] | None = Field(
        default=None,
        description="what will run the file: standard (TensorRT) or rtx (TensorRT-RTX); default: standard where it is "
        "installed and a GPU is here, else rtx",
    )
    target: Annotated[tuple[Target, ...], BeforeValidator(_targets)] = Field(
        default=(),
        description=f"GPUs that an rtx file is for: {', '.join(RTX_TARGETS)}, or several by commas; needs no GPU "
        "here (default: sm80 and all newer)",
    )
    device: EngineDevice = Field(
        default="cuda:0", description="where a standard file is built and for: cuda:0, cuda:1, or dla:0 on a Jetson"
    )

    @property
    def asked_runtime(self) -> RuntimeName | None:
        """The runtime that is asked for, by its name or by a device: RTX builds for none of this machine's. None where
        what is installed decides.
        """
        return RuntimeName.STANDARD if self.runtime is None and self._names_device else self.runtime

    @property
    def _names_device(self) -> bool:
        """Whether another device than the first GPU is asked for."""
        return dla_core(self.device) is not None or gpu_index(self.device) > 0

    def largest(self) -> tuple[int, int]:
        """(height, width) of the largest input of a file of free size."""
        if self.max_imgsz:
            return self.max_imgsz
        height, width = (max(ROOM * side, LEAST_ROOM) for side in self.imgsz)
        return height, width

    @model_validator(mode="after")
    def _fit_together(self) -> EngineExportOptions:
        given = self.model_fields_set
        if "max_imgsz" in given and not self.dynamic:
            raise OptionError("Option max_imgsz bounds a free size: it needs dynamic=True.")
        if any(most < side for most, side in zip(self.largest(), self.imgsz, strict=True)):
            raise OptionError.invalid("max_imgsz", self.max_imgsz, f"imgsz={self.imgsz} is larger")
        if dla_core(self.device) is not None:
            self._check_dla()
        if self._names_device and self.runtime is RuntimeName.RTX:
            raise OptionError(
                f"Option device={self.device} says where a standard file is built, and for what: it needs "
                "runtime=standard. An rtx file is for kinds of GPU, here or not: name them with target=sm86,sm89."
            )
        if self.target and self.runtime is not RuntimeName.RTX:
            raise OptionError(
                "Option target names GPUs that are not here, which TensorRT-RTX alone can build for: it needs "
                "runtime=rtx. A standard file is for the GPU that builds it."
            )
        if self.asked_runtime is RuntimeName.STANDARD and not gpu_is_here():
            how = "runtime=standard" if self.runtime else f"device={self.device}, which needs runtime=standard"
            raise UnsupportedError("engine", f"export with {how}", NO_GPU.kind, NO_GPU.reason)
        if self.asked_runtime:
            require(self.asked_runtime)
        return self

    def _check_dla(self) -> None:
        if self.runtime is RuntimeName.RTX:
            raise OptionError("Option device=dla:… needs runtime=standard: TensorRT-RTX knows no DLA.")
        if self.precision is Precision.FP32:
            raise OptionError("Option device=dla:… needs half=True or int8=True: a DLA does not compute in float32.")
        if self.dynamic:
            raise OptionError("Option device=dla:… goes with dynamic=False only: a DLA takes one size.")


class EngineLoadOptions(LoadOptions):
    """How an engine is loaded."""

    device: EngineDevice = Field(default="cuda:0", description="where to run: cuda:0 (or 0), cuda:1, dla:0 on a Jetson")


def _requirements(*, with_gpu: bool) -> tuple[Requirement, ...]:
    """Either runtime will do where there is a GPU; without one, TensorRT-RTX alone can build."""
    if with_gpu:
        alternatives = (*STANDARD.alternatives, *RTX.distributions)
        runtime = Requirement(STANDARD.requirements[0], alternatives=alternatives, rivals=False)
        return runtime, Requirement(BINDINGS)
    return tuple(Requirement(text, alternatives=RTX.alternatives, rivals=False) for text in RTX.requirements)


def declared(*, with_gpu: bool) -> Format:
    """The format, on a machine with a GPU or without."""
    return Format(
        name="engine",
        title="TensorRT",
        artefact="{stem}.engine",
        aliases=("tensorrt",),
        suffixes=(".engine",),
        source="onnx",
        export_options=EngineExportOptions,
        load_options=EngineLoadOptions,
        support=Support(
            {
                Feature.EXPORT: FULL,
                Feature.PREDICT: FULL if with_gpu else NO_GPU,
                Feature.HALF: FULL,
                Feature.INT8: FULL,
                Feature.DYNAMIC_BATCH: FULL,
                Feature.DYNAMIC_SIZE: FULL,
                Feature.NMS: Gap(
                    GapKind.NOT_IMPLEMENTED,
                    "TensorRT-RTX has no implementation of NonMaxSuppression; segkit selects objects after the "
                    "network, the same way for every format",
                ),
            }
        ),
        requires=_requirements(with_gpu=with_gpu),
        concurrency=Concurrency.SERIAL,
    )


class EngineBackend(Backend):
    """Builds and runs with whichever of the two runtimes a file is for."""

    format = declared(with_gpu=gpu_is_here())

    def export(self, job: ExportJob) -> None:
        """Build a plan from the ONNX file in `job.upstream`."""
        from segkit.plugins.engine.exporter import export

        export(job)

    def source_options(self, options: ExportOptions) -> dict[str, Any]:
        """Precision and free sides are those of the ONNX graph: a plan is built as the graph says, nothing is added."""
        assert isinstance(options, EngineExportOptions)
        asked = {name: getattr(options, name) for name in ("precision", "dynamic", "simplify")}
        return super().source_options(options) | asked | {"symmetric": options.precision is Precision.INT8}

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        """A plan on a GPU; refused before the runtime sees it where it was made for another one."""
        from segkit.plugins.engine.loading import load

        return load(self.format, path, options)

    def read_metadata(self, path: Path) -> Metadata | None:
        """What stands in front of the plan, or in a file beside it; needs no runtime."""
        from segkit.plugins.engine.container import read_engine

        return read_engine(path).metadata()

    def inspect(self, path: Path) -> Inspection:
        """Inputs, outputs, runtime, version and GPUs; needs no runtime."""
        from segkit.plugins.engine.inspection import inspect

        return inspect(path)

    def recognises(self, path: Path) -> Match | None:
        """By content: a plan, with or without metadata in front; else by suffix."""
        from segkit.plugins.engine.container import holds_plan

        return Match(Match.CONTENT, "it holds a TensorRT plan") if holds_plan(path) else super().recognises(path)


@hookimpl
def segkit_backends() -> list[Backend]:
    """The TensorRT backend."""
    return [EngineBackend()]
