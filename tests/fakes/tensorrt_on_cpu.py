"""A double of TensorRT's Python interface; see `cuda_on_cpu`. `segkit.plugins.engine` imports it as `tensorrt`."""

from __future__ import annotations

import json
import struct
from enum import Enum, IntEnum
from typing import Any

import numpy as np
import onnx
import onnxruntime
from cuda_on_cpu import Cuda

__version__ = "10.13.3.9"

cuda = Cuda()
"""The driver that plans are built and run with; tests set it."""

PLAN = struct.Struct("<4sI8xQ4B")
TYPES = {"tensor(float)": "FLOAT", "tensor(float16)": "HALF"}


class DataType(Enum):
    FLOAT = np.float32
    HALF = np.float16


class TensorIOMode(Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class NetworkDefinitionCreationFlag(IntEnum):
    STRONGLY_TYPED = 1


class BuilderFlag(Enum):
    TF32 = 7
    GPU_FALLBACK = 2


class MemoryPoolType(Enum):
    WORKSPACE = 0


class DeviceType(Enum):
    GPU = 0
    DLA = 1


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    def __init__(self) -> None:
        self.begun = True


class Logger(ILogger):
    def __init__(self, least: int) -> None:
        super().__init__()

    def log(self, severity: int, message: str) -> None:
        print(message)


Logger.ERROR = ILogger.ERROR


def nptype(kind: DataType) -> type:
    return kind.value


def session(model: bytes) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level, settings.intra_op_num_threads = 4, 1
    return onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])


class Ending:
    """What is kept in a GPU's context, and tells it when it goes: its name, and whether the context was current."""

    def __del__(self) -> None:
        cuda.ended.append((type(self).__name__, bool(cuda.stack)))


class Builder(Ending):
    def __init__(self, log: ILogger) -> None:
        assert log.begun, "the logger's own __init__ has not run"
        self.log = log

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> memoryview | None:
        assert cuda.stack, "built without a current context: on which GPU?"
        if -1 in network.get_input(0).shape and not config.profiles:
            self.log.log(ILogger.ERROR, "Network has dynamic inputs, but no optimization profile has been defined.")
            return None
        facts = {"profiles": [profile.shapes for profile in config.profiles], "config": config.told}
        head = json.dumps(facts).encode()
        body = struct.pack("<I", len(head)) + head + network.model
        return memoryview(
            PLAN.pack(b"ftrt", 0, PLAN.size + len(body), *(int(part) for part in __version__.split("."))) + body
        )


class ITensor:
    def __init__(self, entry: Any) -> None:
        self.name, self.dtype = entry.name, DataType[TYPES[entry.type]]
        self.shape = tuple(side if isinstance(side, int) else -1 for side in entry.shape)


class INetworkDefinition(Ending):
    model = b""

    def take(self, model: bytes) -> None:
        self.model = model
        made = session(model)
        self._inputs, self._outputs = ([ITensor(e) for e in each] for each in (made.get_inputs(), made.get_outputs()))

    num_inputs = property(lambda self: len(self._inputs))
    num_outputs = property(lambda self: len(self._outputs))

    def get_input(self, index: int) -> ITensor:
        return self._inputs[index]

    def get_output(self, index: int) -> ITensor:
        return self._outputs[index]


class ParserError:
    def __init__(self, text: str, node: str, operator: str) -> None:
        self.text, self.node, self.operator = text, node, operator

    def desc(self) -> str:
        return self.text

    def node_name(self) -> str:
        return self.node

    def node_operator(self) -> str:
        return self.operator


class OnnxParser:
    num_errors = 0

    def __init__(self, network: INetworkDefinition, log: ILogger) -> None:
        self.network = network

    def parse(self, model: bytes) -> bool:
        operators = {node.op_type: node.name for node in onnx.load_from_string(model).graph.node}
        if "NonMaxSuppression" in operators:
            self.num_errors, self._node = 1, operators["NonMaxSuppression"]
            return False
        self.network.take(model)
        return True

    def get_error(self, index: int) -> ParserError:
        return ParserError("In function importNms:\n[8] Assertion failed", self._node, "NonMaxSuppression")


class IOptimizationProfile:
    def set_shape(self, name: str, least: Any, best: Any, largest: Any) -> None:
        self.shapes = [list(least), list(best), list(largest)]


class IBuilderConfig:
    def __init__(self) -> None:
        self.profiles: list[IOptimizationProfile] = []
        self.told: dict[str, Any] = {}

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.told[flag.name] = False

    def set_flag(self, flag: BuilderFlag) -> None:
        self.told[flag.name] = True

    def set_memory_pool_limit(self, pool: MemoryPoolType, size: int) -> None:
        self.told[pool.name] = size

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    default_device_type = property(fset=lambda self, kind: self.told.update(device=kind.name))
    DLA_core = property(fset=lambda self, core: self.told.update(core=core))


class Runtime(Ending):
    def __init__(self, log: ILogger) -> None:
        self.log = log

    def deserialize_cuda_engine(self, plan: bytes) -> ICudaEngine | None:
        assert cuda.stack, "loaded without a current context: on which GPU?"
        mark, layout, size, *version = PLAN.unpack_from(plan)
        if mark != b"ftrt" or layout or size != len(plan) or ".".join(map(str, version)) != __version__:
            self.log.log(ILogger.ERROR, "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Magic tag)")
            return None
        start = PLAN.size + 4
        (length,) = struct.unpack_from("<I", plan, PLAN.size)
        facts = json.loads(plan[start : start + length])
        return ICudaEngine(bytes(plan[start + length :]), facts, self.log)


class ICudaEngine(Ending):
    def __init__(self, model: bytes, facts: dict[str, Any], log: ILogger) -> None:
        self.session, self.facts, self.log = session(model), facts, log
        self.profiles = [[tuple(shape) for shape in profile] for profile in facts["profiles"]]
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        self.tensors = {entry.name: ITensor(entry) for entry in (*inputs, *outputs)}
        self.inputs = [entry.name for entry in inputs]

    num_io_tensors = property(lambda self: len(self.tensors))
    num_optimization_profiles = property(lambda self: max(len(self.profiles), 1))

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return self.tensors[name].dtype

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name].shape

    def get_tensor_profile_shape(self, name: str, index: int) -> list[tuple[int, ...]]:
        return self.profiles[index]

    def create_execution_context(self) -> IExecutionContext:
        return IExecutionContext(self)


class IExecutionContext(Ending):
    def __init__(self, engine: ICudaEngine) -> None:
        self.engine, self.active = engine, 0
        self.addresses: dict[str, int] = {}
        self.shape: tuple[int, ...] | None = None

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        self.active, self.shape = index, None
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        fixed = [self.engine.tensors[name].shape] * 3
        least, _, largest = self.engine.profiles[self.active] if self.engine.profiles else fixed
        if not all(a <= b <= c for a, b, c in zip(least, shape, largest, strict=True)):
            self.engine.log.log(ILogger.ERROR, "Static dimension mismatch while setting input shape")
            return False
        self.shape = tuple(shape)
        found = self.engine.session.run(None, {name: np.zeros(shape, self._type(name))})
        shapes = [self.shape, *(array.shape for array in found)]
        self.shapes = dict(zip(self.engine.tensors, shapes, strict=True))
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 555
        assert self.shape
        assert set(self.addresses) == set(self.engine.tensors)
        shape, addresses = self.shape, dict(self.addresses)
        cuda.queue.append(lambda: self._compute(shape, addresses))
        return True

    def _compute(self, shape: tuple[int, ...], addresses: dict[str, int]) -> None:
        name, *outputs = self.engine.tensors
        kind = np.dtype(self._type(name))
        given = cuda.view(addresses[name], int(np.prod(shape)) * kind.itemsize).view(kind).reshape(shape)
        for output, array in zip(outputs, self.engine.session.run(None, {name: given}), strict=True):
            cuda.view(addresses[output], array.nbytes)[:] = np.ascontiguousarray(array).view(np.uint8).ravel()

    def _type(self, name: str) -> type:
        return self.engine.tensors[name].dtype.value
