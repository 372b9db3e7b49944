"""TensorFlow, imported without what it says about itself. Heavy: import only where it is used.

Whoever comes first into a process decides two things for all of it, so both are decided here:

- what TensorFlow's C++ prints: nothing below an error. It is told by a variable of the environment, which it reads when
  it first has something to say; what it says before is taken out of the standard error of the process;
- whose threads compute: those of the session that asks, not those of the first session of the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from segkit.core.errors import OptionError
from segkit.core.held import Held
from segkit.plugins.shared.quiet import unsaid, unwarned

_SETTINGS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_OVERRIDE_GLOBAL_THREADPOOL": "1",
}


@contextmanager
def _settled() -> Iterator[None]:
    """With the settings in the environment; what a user has set stands, and nothing stays behind for children."""
    ours = {name: value for name, value in _SETTINGS.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _import() -> Any:
    with _settled(), unsaid(), unwarned():  # its dependencies warn of each other
        module: Any = import_module("tensorflow")
        v1 = module.compat.v1
        # The first session is when the settings are read.
        with v1.Session(graph=v1.Graph(), config=v1.ConfigProto(device_count={"GPU": 0})):
            pass
    return module


def session_settings(device: str, threads: int) -> Any:
    """Settings of a session with threads of its own, on the CPU ("cpu") or a GPU ("cuda", "cuda:1").

    Raises:
        OptionError: there is no such device for this build of TensorFlow.
    """
    v1 = tf.compat.v1
    # Layers come one after another, in the thread of the caller; each shares its work out among the others.
    plain = {"intra_op_parallelism_threads": threads, "inter_op_parallelism_threads": -1}
    kind, _, number = device.strip().lower().partition(":")
    if device == "cpu":
        return v1.ConfigProto(device_count={"GPU": 0}, **plain)
    found = len(tf.config.list_physical_devices("GPU"))
    if kind in ("cuda", "gpu") and found and (not number or (number.isdigit() and int(number) < found)):
        # As much memory as it needs: its own choice is all that there is.
        use = v1.GPUOptions(allow_growth=True, visible_device_list=number or "0")
        return v1.ConfigProto(gpu_options=use, allow_soft_placement=True, **plain)
    known = ", ".join(["cpu", *(f"cuda:{index}" for index in range(found))])
    raise OptionError.invalid("device", device, f"TensorFlow offers {known} here")


def release(session: Any) -> None:
    """Close a session and take its graph apart, whose nodes hold each other, and megabytes, until Python looks at all
    objects there are.
    """
    session.close()
    import_module("tensorflow.python.framework.ops").dismantle_graph(session.graph)


def _hush() -> Callable[[], object]:
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    return lambda: logger.setLevel(level)


_hushed = Held(_hush)


@contextmanager
def silent() -> Iterator[None]:
    """Without TensorFlow's own remarks in Python, such as that a function of version 1 is one of version 1."""
    with _hushed(), unwarned():
        yield


tf: Any = _import()
