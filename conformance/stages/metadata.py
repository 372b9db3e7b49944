"""Stage metadata: what was sealed is what is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from segkit.conformance import reference
from segkit.conformance.bench import Bench
from segkit.conformance.damage import damaged_copies
from segkit.conformance.gaps import need
from segkit.conformance.settings import Settings
from segkit.conformance.stage import Stage, at
from segkit.conformance.stages.base import SuiteBase
from segkit.conformance.store import needs_torch
from segkit.conformance.subject import Subject
from segkit.core.backend import Inspection, TensorInfo
from segkit.core.backend.registry import Registry
from segkit.core.errors import ModelFileError
from segkit.core.files import remove

SCRIPTS = (
    "person",
    "रेलगाड़ी",
    "自行车",
    'driver\'s "cab"',
    "100 % {odd}: name, [ok]",
    "شجرة",
    "ἄνθρωπος",
    "🚲 bike",
    "a\\b",
    "é",
)
"""Names with everything that careless carriers break, in several scripts."""

MANY = {index: f"{SCRIPTS[index % len(SCRIPTS)]} {index}" for index in range(500)}
CLASSES = {"1-class": {0: SCRIPTS[1]}, "any-script": dict(enumerate(SCRIPTS)), "500-classes": MANY}
SIZE = (64, 128)


class MetadataStage(SuiteBase):
    """Names, sizes, inspection."""

    @at(Stage.METADATA)
    @pytest.mark.parametrize("case", CLASSES, ids=lambda case: f"fp32-{case}")
    def test_metadata_survives(
        self, golden: Subject, registry: Registry, settings: Settings, case: str, tmp_path: Path
    ) -> None:
        """What was sealed is read back, names in any script included, and the file is recognised as its format's."""
        self.need(registry, settings, runs=False)
        bench = self._named(golden, registry, tmp_path, case)
        made = bench.export(imgsz=SIZE, batch=1)
        read = bench.backend.read_metadata(made.path)
        assert read == made.metadata, f"sealed {made.metadata}, read {read}"
        assert read is not None
        assert read.names == CLASSES[case]
        assert bench.backend.format.holds_weights or read.imgsz == SIZE
        found = registry.recognise(made.path)
        assert found.format.name == self.format, f"{made.path.name} is taken for {found.format.name}"

    @at(Stage.METADATA)
    def test_metadata_is_of_the_file_that_is_there(
        self, golden: Subject, registry: Registry, settings: Settings, tmp_path: Path
    ) -> None:
        """A file that takes the place of another one is read anew: nothing is remembered by its path."""
        self.need(registry, settings, runs=False)
        backend = registry.get(self.format)
        named = self._named(golden, registry, tmp_path / "named", "any-script")
        first, second = golden.export(golden.bench.plain).path, named.export(imgsz=SIZE, batch=1).path
        place = tmp_path / "place" / second.name
        place.parent.mkdir()
        for artefact, names in ((first, golden.bench.about.names), (second, CLASSES["any-script"])):
            remove(place)
            (shutil.copytree if artefact.is_dir() else shutil.copy)(artefact, place)
            read = backend.read_metadata(place)
            assert read is not None
            assert read.names == names, "read_metadata() tells of a file that is not there any more"

    @at(Stage.METADATA)
    def test_inspecting_tells_or_refuses(self, bench: Bench, tmp_path: Path) -> None:
        """`inspect` names what the artefact takes and gives as far as it can, and refuses what is damaged by name."""
        need(bench.backend.format, runs=False)
        artefact = bench.export(imgsz=(160, 160), batch=1).path
        found = bench.backend.inspect(artefact)
        assert isinstance(found, Inspection), f"inspect() gives {type(found).__name__}, not Inspection"
        for tensor in (*found.inputs, *found.outputs):
            assert isinstance(tensor, TensorInfo), f"an input or output is a TensorInfo, not {tensor!r}"
        odd = {name: fact for name, fact in found.facts.items() if not isinstance(fact, str)}
        assert not odd, f"facts are texts, not {odd}"
        for damage, copy in damaged_copies(artefact, tmp_path).items():
            try:
                bench.backend.inspect(copy)
            except ModelFileError:
                continue
            except Exception as error:
                raise AssertionError(f"inspect() stumbles over a file that is {damage}: {error!r}") from error

    def _named(self, golden: Subject, registry: Registry, folder: Path, case: str) -> Bench:
        """A small model with these names."""
        needs_torch()
        (folder / "made").mkdir(parents=True)
        (folder / "weights").mkdir()
        weights = folder / "weights" / "named-seg.safetensors"
        reference.seeded_weights(weights, scale="t", names=CLASSES[case], seen=64)
        return Bench(registry, self.format, weights, folder / "made", after=golden.bench)
