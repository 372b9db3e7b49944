"""Builds a plan from an ONNX file. Networks are strongly typed: every precision is that of the graph, and the builder
chooses only how to compute it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from traceback import clear_frames
from typing import Any

from segkit.core.backend import ExportJob
from segkit.core.errors import ExportError
from segkit.plugins.engine import STRIDE, EngineExportOptions
from segkit.plugins.engine.container import Built, Tensor, pack
from segkit.plugins.engine.cuda import Gpu
from segkit.plugins.engine.devices import dla_core, gpu_index, gpu_is_here
from segkit.plugins.engine.fitting import Device, here
from segkit.plugins.engine.log import log_of, plain
from segkit.plugins.engine.profiles import Profile
from segkit.plugins.engine.runtimes import RTX, Runtime, imported, preferred, require

NUMPY_NAMES = {"FLOAT": "float32", "HALF": "float16"}
"""Of the types that inputs and outputs have."""

PORTABLE = "sm80+"
"""What TensorRT-RTX builds for where no GPU is named: Ampere and all that came after it."""


def export(job: ExportJob) -> None:
    """Write `job.target`: metadata, then the plan.

    Raises:
        MissingDependencyError: the runtime is not installed.
        ExportError: it refuses the network.
    """
    options = job.options
    assert isinstance(options, EngineExportOptions)
    assert job.upstream is not None
    asked = options.asked_runtime
    runtime = require(asked) if asked else preferred(with_gpu=gpu_is_here())
    with ExitStack() as open_gpu:
        device = None
        if runtime is not RTX:
            gpu = open_gpu.enter_context(Gpu.open(gpu_index(options.device)))
            open_gpu.enter_context(gpu.current())
            device = gpu.device
        trt = imported(runtime)
        job.report(f"building with {runtime.title} {trt.__version__} for {_audience(options, device)}")
        try:
            plan, built = _build(trt, runtime, options, job.upstream, device)
        except BaseException as error:
            clear_frames(error.__traceback__)  # builder and network go while there is a context, not after it
            raise
    job.target.write_bytes(pack(job.metadata, built, plan))


def _audience(options: EngineExportOptions, device: Device | None) -> str:
    if device:
        return str(device)
    return ", ".join(options.target) or f"{PORTABLE.removesuffix('+')} and newer"


def _build(
    trt: Any, runtime: Runtime, options: EngineExportOptions, source: Path, device: Device | None
) -> tuple[bytes, Built]:
    """The plan, and what it is."""
    log = log_of(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(source.read_bytes()):
        raise ExportError("engine", f"{runtime.title} does not understand the network ({_complaint(parser, log)})")
    profile = None
    config = builder.create_builder_config()
    _configure(trt, config, options)
    if runtime is RTX:
        _aim(trt, config, options.target)
    if options.dynamic:
        profile = Profile.free(options.batch, options.imgsz, options.largest(), STRIDE)
        shapes = builder.create_optimization_profile()
        shapes.set_shape(network.get_input(0).name, *profile)
        config.add_optimization_profile(shapes)
    made = builder.build_serialized_network(network, config)
    if made is None:
        raise ExportError("engine", f"{runtime.title} cannot build the network ({log.last()})")
    plan = bytes(made)
    built = Built(
        runtime=runtime.name,
        version=trt.__version__,
        targets=(device.kind,) if device else options.target or (PORTABLE,),
        gpu=device.name if device else None,
        dla=dla_core(options.device),
        platform=here(),
        size=len(plan),
        sha256=hashlib.sha256(plan).hexdigest(),
        inputs=tuple(_tensors(network.get_input, network.num_inputs)),
        outputs=tuple(_tensors(network.get_output, network.num_outputs)),
        profiles=(tuple(profile),) if profile else (),
    )
    return plan, built


def _configure(trt: Any, config: Any, options: EngineExportOptions) -> None:
    # Convolutions of float32 would otherwise round what they multiply to ten bits.
    config.clear_flag(trt.BuilderFlag.TF32)
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(options.workspace * (1 << 30)))
    core = dla_core(options.device)
    if core is not None:
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = core
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)  # for layers that a DLA lacks


def _aim(trt: Any, config: Any, targets: tuple[str, ...]) -> None:
    known = {name.lower(): kind for name, kind in trt.ComputeCapability.__members__.items() if name.startswith("SM")}
    if unknown := [target for target in targets if target not in known]:
        raise ExportError(
            "engine",
            f"TensorRT-RTX {trt.__version__} does not build for {unknown[0]}, but for {', '.join(known)}",
        )
    if targets:
        config.num_compute_capabilities = len(targets)
        for place, target in enumerate(targets):
            config.set_compute_capability(known[target], place)


def _tensors(get: Any, count: int) -> Iterator[Tensor]:
    for place in range(count):
        tensor = get(place)
        kind = tensor.dtype.name
        yield Tensor(name=tensor.name, dtype=NUMPY_NAMES.get(kind, kind.lower()), shape=tuple(tensor.shape))


def _complaint(parser: Any, log: Any) -> str:
    if not parser.num_errors:
        return str(log.last())
    error = parser.get_error(0)
    place = " ".join(filter(None, (error.node_operator(), error.node_name())))
    return f"{place}: {plain(error.desc())}" if place else plain(error.desc())
