"""Operators of TensorFlow that no network has any business with: a graph is a program, and may be a hostile one."""

from __future__ import annotations

import re
from collections.abc import Iterable

SAVING = {"MergeV2Checkpoints", "Restore", "RestoreSlice", "RestoreV2", "Save", "SaveSlices", "SaveV2"}
"""Those that keep weights in files, as a SavedModel does where it is saved and restored."""

_TOUCHING = re.compile(
    r"(Eager)?PyFunc(Stateless)?"  # call back into Python
    r"|ReadFile|WriteFile|MatchingFiles|PrintV2|ImmutableConst|DumpTensor|FileSystemSetConfiguration"
    r"|(DTensor)?(Save|Restore)(Slices?|V2)?|MergeV2Checkpoints|DistributedSave|CalibrationStatisticsSaver"
    r"|.*Dataset.*|.*Reader.*|.*Iterator.*"
    r"|.*Summary\w*Writer|Write\w*Summary|ImportEvent"
    r"|Debug\w+|Rpc\w+"  # to places that the graph names
    r"|InitializeTableFromTextFile\w*|GenerateVocabRemapping|LoadAndRemapMatrix|FixedUnigramCandidateSampler"
    r"|(En|De)codeProto\w*"  # by a description in a file
    r"|Abort"  # ends the process
)


def touching(operators: Iterable[str]) -> list[str]:
    """Those that write or read files, call other machines or Python, or end the process; sorted."""
    return sorted(name for name in {*operators} if _TOUCHING.fullmatch(name))
