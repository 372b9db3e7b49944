"""Arguments of a benchmark: the only list of what it accepts, its types, defaults and help."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from segkit.core.backend.options import Device, ImgSize, OptionRow, Options, Precision, Threads, describe
from segkit.core.errors import OptionError
from segkit.core.inference.arguments import Folder

BOUNDS = {Precision.FP32: 0.002, Precision.FP16: 0.005, Precision.INT8: 0.03}
"""How far the mask AP of a file may be from the reference's, by the precision of the file, unless `bound` says so."""


def names_of(value: Any) -> Any:
    """Names as a list, "onnx,torchscript" or "[onnx, torchscript]"; None for all."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple):
        return value
    return [part for each in value for part in str(each).strip(" []()").replace(" ", ",").split(",") if part] or None


FormatNames = Annotated[list[str] | None, BeforeValidator(names_of)]


class BenchmarkArguments(Options):
    """What a benchmark accepts."""

    data: str | None = Field(
        None, description="labelled pictures: a data.yaml, a COCO JSON, or a name; default: the data set of the weights"
    )
    split: str = Field("val", description="part of the data set")
    pictures: int | None = Field(None, ge=1, description="score this many pictures, spread over the set (default: all)")
    fraction: float | None = Field(None, gt=0, le=1, description="the same as a share of the set")
    format: FormatNames = Field(
        None, description="formats to export to, e.g. onnx,torchscript (default: all that are installed)"
    )
    export: bool = Field(True, description="export to other formats; off: measure the given files only")
    imgsz: ImgSize | None = Field(
        None, description="input size of all of them: one number, or height,width; default: the model's own"
    )
    half: bool = Field(False, description="fp16 files too, where the format has them")
    int8: bool = Field(False, description="int8 files too, calibrated with pictures of the data set")
    device: Device | None = Field(None, description="cpu, cuda, cuda:1, mps, … (default: cpu)")
    threads: Threads | None = Field(None, description="CPU threads of each runtime (default: its own choice)")
    rounds: int = Field(5, ge=1, le=1000, description="blocks of measurements of each file, whose median counts")
    download: bool = Field(False, description="fetch this split if the data set has a known name and is not here")
    bound: float | None = Field(
        None, ge=0, le=1, description="largest difference of mask AP from the reference (default: by precision)"
    )
    save: bool = Field(True, description="write the table (CSV, JSON, Markdown) and the plot")
    keep: bool = Field(False, description="keep the exported files, in the folder of the results")
    project: Folder = Field(None, description="folder for results (default: runs)")
    name: str | None = Field(None, description="sub-folder for this run (default: benchmark, benchmark2, …)")
    exist_ok: bool = Field(False, description="write into the sub-folder even if it exists")

    @model_validator(mode="after")
    def _consistent(self) -> BenchmarkArguments:
        if self.pictures is not None and self.fraction is not None:
            raise OptionError("Options pictures and fraction both say how many pictures: give one of them.")
        if self.keep and not self.save:
            raise OptionError("Option keep=True puts the files into the folder of the results: leave out save=False.")
        if not self.export:
            given = next((name for name in ("format", "half", "int8", "keep") if getattr(self, name)), None)
            if given:
                raise OptionError(f"Option {given} is about exports: leave out export=False.")
        return self

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Those that every format is exported in: fp32 always, so that its cost and the others' gain are seen."""
        asked = {Precision.FP16: self.half, Precision.INT8: self.int8}
        return (Precision.FP32, *(precision for precision, on in asked.items() if on))

    def bound_of(self, precision: str) -> float:
        """How far the mask AP of a file of this precision may be from the reference's."""
        return BOUNDS[Precision(precision)] if self.bound is None else self.bound

    def share(self, count: int) -> int:
        """How many of `count` pictures are used, at least one."""
        if self.fraction is not None:
            return max(round(count * self.fraction), 1)
        return min(count, self.pictures or count)


def benchmark_options() -> list[OptionRow]:
    """Name, type, default and help of everything that a benchmark accepts."""
    return describe(BenchmarkArguments)[: len(BenchmarkArguments.model_fields)]  # half and int8 are fields of their own
