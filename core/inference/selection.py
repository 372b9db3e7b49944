"""What a call may ask of a file whose graph already selects the detections."""

from __future__ import annotations

from collections.abc import Iterator

from segkit.core.backend.options import Selection
from segkit.core.errors import OptionError
from segkit.core.inference.arguments import PredictArguments


def within(args: PredictArguments, selection: Selection | None) -> PredictArguments:
    """The arguments for a file with `selection` in its graph: what is not given is the file's own.

    Tighter limits than the file's are applied to what it selected, see `segkit.core.inference.decode.select`. A file
    that selects without saying by which limits (`selection` is None) gives what it gives, and the limits of the call
    hold on top.

    Raises:
        OptionError: something is asked for that the graph has thrown away.
    """
    if selection is None:
        return args
    own = {
        "conf": selection.conf,
        "iou": selection.iou,
        "max_det": selection.max_det,
        "agnostic_nms": selection.agnostic,
    }
    if beyond := next(_beyond(args, selection), None):
        built_in = ", ".join(f"{name}={value}" for name, value in own.items())
        asked = f"{beyond}={getattr(args, beyond)}"
        raise OptionError(
            f"Option {asked} asks for objects that this file has dropped: built into it are {built_in}. "
            f"Give tighter limits, or export again with nms=True {asked}, or without nms."
        )
    return args.model_copy(update={name: value for name, value in own.items() if name not in args.model_fields_set})


def _beyond(args: PredictArguments, selection: Selection) -> Iterator[str]:
    """Names of the options given that ask for more than the graph lets through."""
    looser = {
        "conf": args.conf < selection.conf,
        "iou": args.iou > selection.iou,
        "max_det": args.max_det > selection.max_det,
        "agnostic_nms": selection.agnostic and not args.agnostic_nms,
    }
    return (name for name, more in looser.items() if more and name in args.model_fields_set)
