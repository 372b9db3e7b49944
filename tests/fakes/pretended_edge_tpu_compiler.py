"""Google's compiler for the Edge TPU, pretended: it is on no package registry, and cannot be had for these tests. What
is real is how it is called and what becomes of what it prints: its words are those of version 16.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

HEAD = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 600 seconds.
"""

WHOLE = f"""{HEAD}
Model compiled successfully in 1084 ms.

Input model: model.tflite
Input size: 3.40MiB
Output model: model_edgetpu.tflite
Output size: 3.63MiB
On-chip memory used for caching model parameters: 3.33MiB
On-chip memory remaining for caching model parameters: 4.40MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 31
Operation log: model_edgetpu.log

Operator                       Count      Status

DEPTHWISE_CONV_2D              13         Mapped to Edge TPU
CONV_2D                        15         Mapped to Edge TPU
RESHAPE                        1          Mapped to Edge TPU
AVERAGE_POOL_2D                1          Mapped to Edge TPU
SOFTMAX                        1          Mapped to Edge TPU
Compilation child process completed within timeout period.
Compilation succeeded!
"""

IN_PART = f"""{HEAD}
Model compiled successfully in 4312 ms.

Input model: model.tflite
Input size: 3.40MiB
Output model: model_edgetpu.tflite
Output size: 4.06MiB
On-chip memory used for caching model parameters: 3.29MiB
On-chip memory remaining for caching model parameters: 2.56MiB
Off-chip memory used for streaming uncached model parameters: 128.00KiB
Number of Edge TPU subgraphs: 1
Total number of operations: 273
Operation log: model_edgetpu.log

Model successfully compiled but not all operations are supported by the Edge TPU. A percentage of the model will \
instead run on the CPU, which is slower. If possible, consider updating your model to use only operations supported by \
the Edge TPU. For details, visit g.co/coral/model-reqs.
Number of operations that will run on Edge TPU: 263
Number of operations that will run on CPU: 10

Operator                       Count      Status

CONV_2D                        1          More than one subgraph is not supported
CONV_2D                        75         Mapped to Edge TPU
SOFTMAX                        1          Operation is otherwise supported, but not mapped due to some unspecified \
limitation
MUL                            2          More than one subgraph is not supported
MUL                            66         Mapped to Edge TPU
TRANSPOSE_CONV                 1          Mapped to Edge TPU
Compilation child process completed within timeout period.
Compilation succeeded!
"""

ABORTED = f"""{HEAD}ERROR: Didn't find op for builtin opcode 'CONV_2D' version '9'

ERROR: Registration failed.

Invalid model: model.tflite
Model could not be parsed
"""

KILLED = f"""{HEAD}
Compilation child process killed after timeout period. Compilation failed!
"""

PROGRAM = """#!{python} -S
import os, sys
from pathlib import Path
folder = Path(__file__).parent
(folder / "called.txt").write_text("\\n".join([os.getcwd(), *sys.argv[1:]]))
print((folder / "says.txt").read_text(), flush=True)
made, given = Path("model_edgetpu.tflite"), Path(sys.argv[-1])
made.with_suffix(".log").write_text("")
{does}
"""


def put_on_path(patch: pytest.MonkeyPatch, folder: Path, says: str, does: str, made: bytes = b"") -> None:
    """A program `edgetpu_compiler` that prints and does this; `does` knows `folder`, where `made` lies as "made", and
    the paths `given` and `made`. Child processes find it, too.
    """
    folder.mkdir()
    (folder / "made").write_bytes(made)
    (folder / "says.txt").write_text(says)
    program = folder / "edgetpu_compiler"
    program.write_text(PROGRAM.format(python=sys.executable, does=does))
    program.chmod(0o755)
    patch.setenv("PATH", os.pathsep.join([str(folder), os.environ["PATH"]]))


def one_operator(content: bytes) -> bytes:
    """A file of TensorFlow Lite in which one operator, the compiler's, stands for the whole network: what is compiled
    looks so from outside.
    """
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model: Any = flatbuffer_utils.convert_bytearray_to_object(content)
    (graph,) = model.subgraphs
    code, call = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode, code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM, schema.BuiltinOperator.CUSTOM
    code.customCode = "edgetpu-custom-op"
    call.opcodeIndex, call.inputs, call.outputs = 0, graph.inputs, graph.outputs
    model.operatorCodes, graph.operators, model.signatureDefs = [code], [call], []
    for buffer in model.buffers:
        buffer.data = None
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
