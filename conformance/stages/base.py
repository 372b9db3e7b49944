"""Fixtures that the tests of all stages share. Most are made to be overridden."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import ClassVar

import pytest

from segkit.conformance.bench import Bench
from segkit.conformance.gaps import need
from segkit.conformance.golden import GOLDEN
from segkit.conformance.reference import views
from segkit.conformance.settings import Settings
from segkit.conformance.stage import Notes, Stage
from segkit.conformance.store import Shelf, Store, needs_torch
from segkit.conformance.subject import SHOWN, Labelled, Subject, generated, pictures_of
from segkit.conformance.tolerance import Allowance, Bounds, allowances_of
from segkit.core.backend import Feature, Precision
from segkit.core.backend.registry import Registry, default_registry
from segkit.core.images.reading import read_picture

PRECISIONS = tuple(Precision)
SUBJECTS = ("golden", "own")
"""The suite's own model on generated pictures; the user's on theirs."""


class SuiteBase:
    """A format under test. Override what is different for it: `registry`, `weights`, `trained`, `foreign`.

    Attributes:
        format: name of the format.
        allowances: wider bounds that it asks for, each with a reason that reports print. A backend may have an
            attribute of that name, too: {name of the bound: (value, reason)}.
    """

    format: ClassVar[str]
    allowances: ClassVar[tuple[Allowance, ...]] = ()
    _subjects: ClassVar[dict[str, Subject]]

    @pytest.fixture
    def settings(self, request: pytest.FixtureRequest) -> Settings:
        """What the run was told."""
        return Settings.of(request.config)

    @pytest.fixture
    def registry(self) -> Registry:
        """Where the format is looked up: the installed ones."""
        return default_registry()

    @pytest.fixture
    def weights(self) -> Path:
        """The model that everything is tested with: the golden one."""
        return GOLDEN

    @pytest.fixture
    def trained(self, settings: Settings) -> tuple[Path, Path]:
        """Other trained weights and a picture, where the run was told of none."""
        folder = Path(os.environ.get("SEGKIT_TEST_DATA", ""))
        found = folder / "checkpoints" / "yolov8n-seg.pt", folder / "images" / "bus.jpg"
        if not all(path.is_file() for path in found):
            end = pytest.fail if os.environ.get("SEGKIT_REQUIRE_DATA") == "1" else pytest.skip
            end(f"no other weights: give {settings.option('model', 'FILE')}, or set SEGKIT_TEST_DATA")
        return found

    @pytest.fixture
    def foreign(self) -> Path | None:
        """A file of the format that another tool has written, where one is known."""
        return None

    @pytest.fixture
    def notes(self, request: pytest.FixtureRequest) -> Notes:
        """Where a test puts its figures."""
        return Notes(request.node.user_properties)

    @pytest.fixture
    def bounds(self, registry: Registry) -> Bounds:
        """The bounds of this backend."""
        try:
            return self.bounds_of(registry)
        except ValueError as error:
            pytest.skip(f"not judged, because of what stage {Stage.DECLARE} has found: {error}")

    @pytest.fixture
    def golden(
        self,
        settings: Settings,
        registry: Registry,
        weights: Path,
        bounds: Bounds,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Subject:
        """The suite's own model on generated pictures; one for the whole class, so that every export is made once."""
        known, shelf = self._known(), self._shelf(settings, "golden")
        if "golden" not in known:
            folder = tmp_path_factory.mktemp(f"{self.format}-golden")
            shown, observed, data = generated(folder)
            copy, made = _copied(weights, folder), _made(folder / "made")
            bench = Bench(registry, self.format, copy, made, observed, shelf=shelf)
            known["golden"] = Subject("golden", bench, shown, Labelled(data, "test"), bounds)
            known["golden"].shared = _shared(settings, "golden")
        return known["golden"]

    @pytest.fixture
    def own(
        self,
        settings: Settings,
        registry: Registry,
        bounds: Bounds,
        tmp_path_factory: pytest.TempPathFactory,
        request: pytest.FixtureRequest,
    ) -> Subject:
        """The user's model on their pictures, else other trained weights on a picture."""
        known, shelf = self._known(), self._shelf(settings, "own")
        if "own" not in known:
            weights, picture = (settings.model, None) if settings.model else request.getfixturevalue("trained")
            folder = tmp_path_factory.mktemp(f"{self.format}-own")
            labelled = None
            if settings.data:
                labelled = Labelled(settings.data, "val")
                pictures = _of_data(settings.data)
                shown, seen = pictures[:SHOWN], pictures[SHOWN:] or pictures
            elif picture is not None:
                whole = read_picture(picture)
                shown, seen = [whole], views(whole)
            else:
                shown, seen, _ = generated(folder)
            before = known["golden"].bench if "golden" in known else None
            copy, made = _copied(weights, folder), _made(folder / "made")
            bench = Bench(registry, self.format, copy, made, seen, before, shelf)
            known["own"] = Subject("own", bench, shown, labelled, bounds)
            known["own"].shared = _shared(settings, "own")
        return known["own"]

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest) -> Subject:
        """The one that a test is parametrised with, one of `SUBJECTS`."""
        found = request.getfixturevalue(request.param)
        assert isinstance(found, Subject)
        return found

    @pytest.fixture
    def bench(self, golden: Subject) -> Bench:
        """Exports of the suite's own model."""
        return golden.bench

    @pytest.fixture
    def running(self, golden: Subject) -> Bench:
        """The same, for tests that run files: they skip where that is known to fail."""
        need(golden.bench.backend.format)
        golden.must_run()
        return golden.bench

    def _shelf(self, settings: Settings, name: str) -> Shelf | None:
        """Where the exports of a subject are kept. Without one torch is needed."""
        if settings.store is None:
            needs_torch()
            return None
        return Store(settings.store, self.format).shelf(name)

    @classmethod
    def _known(cls) -> dict[str, Subject]:
        """Subjects of this very class, not of one that it inherits from."""
        if "_subjects" not in vars(cls):
            cls._subjects = {}
        return cls._subjects

    def bounds_of(self, registry: Registry) -> Bounds:
        """Those that the backend and this class ask for.

        Raises:
            ValueError: they ask for what cannot be given.
        """
        return Bounds([*allowances_of(getattr(registry.get(self.format), "allowances", {})), *self.allowances])

    def need(self, registry: Registry, settings: Settings, *asked: Feature | Precision, runs: bool = True) -> None:
        """End a test that asks for a declared gap, or for a precision that the run was not asked for.

        With `runs=False` what follows makes and reads files, and runs none.
        """
        need(registry.get(self.format).format, *asked, wanted=settings.precisions, runs=runs)


def _shared(settings: Settings, name: str) -> Shelf | None:
    return Shelf(settings.shared / name, reading=False, fresh=True) if settings.shared else None


def _copied(weights: Path, folder: Path) -> Path:
    """Weights in a folder of their own: whatever an exporter leaves beside them is seen."""
    copy = _made(folder / "weights") / weights.name
    shutil.copy2(weights, copy)
    return copy


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _of_data(data: str) -> list:  # type: ignore[type-arg]
    from segkit.core.data.dataset import open_dataset
    from segkit.core.data.named.catalogue import locate

    dataset = open_dataset(locate(data, splits=["val"]), "val")
    return pictures_of([sample.path for sample in dataset[: 2 * SHOWN]], 2 * SHOWN)
