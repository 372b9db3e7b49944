"""The tests that every backend passes, ours and anybody's: inherit them, name the format.

    from segkit.conformance import BackendSuite

    class TestMine(BackendSuite):
        format = "mine"

What a format declares as full is tested; what it declares as a gap must be refused with the declared reason. No data
is needed: the model is small and comes with the suite, pictures are generated. Where pytest is given `--segkit-model`
and `--segkit-data`, or `SEGKIT_TEST_DATA` names a folder with trained weights and a picture, those are used too.

torch makes the exports and is the reference. Without it, and without a store (`--segkit-store`) that was filled where
torch is, only what needs neither is tested; the rest is skipped with that reason, and reports say that the format was
not tested.
"""

from __future__ import annotations

from segkit.conformance.stages.contract import ContractStage
from segkit.conformance.stages.dataset import DatasetStage
from segkit.conformance.stages.declare import DeclareStage
from segkit.conformance.stages.export import ExportStage
from segkit.conformance.stages.instances import InstancesStage
from segkit.conformance.stages.metadata import MetadataStage
from segkit.conformance.stages.preprocess import PreprocessStage
from segkit.conformance.stages.raw import RawStage
from segkit.conformance.stages.speed import SpeedStage


class BackendSuite(  # pytest runs the tests of the last one first
    SpeedStage,
    ContractStage,
    DatasetStage,
    InstancesStage,
    PreprocessStage,
    RawStage,
    MetadataStage,
    ExportStage,
    DeclareStage,
):
    """Inherit and set `format`; override `registry`, `weights`, `trained` or `foreign` where need be."""
