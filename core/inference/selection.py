"""What a call may ask of a file whose graph already selects the detections."""

from __future__ import annotations

from segkit.core.backend.options import Selection
from segkit.core.inference.arguments import PredictArguments


def within(args: PredictArguments, selection: Selection | None) -> PredictArguments:
    """The arguments for a file with `selection` in its graph: what is not given is the file's own.

    Raises:
        OptionError: something is asked for that the graph has thrown away.
    """
    return args
