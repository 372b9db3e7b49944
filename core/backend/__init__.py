"""The contract between segkit and its plugins, and the machinery that runs them.

Plugin authors import from here; everything in `__all__` is public. numpy, pydantic and pluggy only: never torch,
never a runtime.
"""

from typing import TYPE_CHECKING

from segkit.core.lazy import lazy_names

if TYPE_CHECKING:
    from segkit.core.backend.base import (
        Anchors,
        Backend,
        Calibration,
        ExportJob,
        Inspection,
        Match,
        Predictor,
        Selected,
        TensorInfo,
        WebRuntime,
    )
    from segkit.core.backend.capability import FULL, Feature, Gap, GapKind, Support
    from segkit.core.backend.format import Concurrency, Format, Requirement
    from segkit.core.backend.hookspecs import hookimpl
    from segkit.core.backend.metadata import Metadata, Seal
    from segkit.core.backend.options import (
        Device,
        ExportOptions,
        HeadLayout,
        LoadOptions,
        Precision,
        SelectingExportOptions,
        Selection,
        Switches,
        internal,
    )
    from segkit.core.backend.tools import FormatCommand, Tool, tools_folder

__all__ = [
    "FULL",
    "Anchors",
    "Backend",
    "Calibration",
    "Concurrency",
    "Device",
    "ExportJob",
    "ExportOptions",
    "Feature",
    "Format",
    "FormatCommand",
    "Gap",
    "GapKind",
    "HeadLayout",
    "Inspection",
    "LoadOptions",
    "Match",
    "Metadata",
    "Precision",
    "Predictor",
    "Requirement",
    "Seal",
    "Selected",
    "SelectingExportOptions",
    "Selection",
    "Support",
    "Switches",
    "TensorInfo",
    "Tool",
    "WebRuntime",
    "hookimpl",
    "internal",
    "tools_folder",
]

__getattr__ = lazy_names(
    __name__,
    {
        "base": (
            *("Anchors", "Backend", "Calibration", "ExportJob", "Inspection"),
            *("Match", "Predictor", "Selected", "TensorInfo", "WebRuntime"),
        ),
        "capability": ("FULL", "Feature", "Gap", "GapKind", "Support"),
        "format": ("Concurrency", "Format", "Requirement"),
        "hookspecs": ("hookimpl",),
        "metadata": ("Metadata", "Seal"),
        "options": (
            *("Device", "ExportOptions", "HeadLayout", "LoadOptions", "Precision"),
            *("SelectingExportOptions", "Selection", "Switches", "internal"),
        ),
        "tools": ("FormatCommand", "Tool", "tools_folder"),
    },
)
