"""Stage declare: what a format says about itself is complete, and its gaps are gaps."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from segkit.conformance.bench import switching
from segkit.conformance.children import ANSWER, answer_in, environment
from segkit.conformance.gaps import PROBED, need
from segkit.conformance.probed import works_nevertheless
from segkit.conformance.stage import Stage, at
from segkit.conformance.stages.base import SuiteBase
from segkit.conformance.store import needs_torch
from segkit.core.backend import Feature, Gap, Requirement
from segkit.core.backend.options import describe
from segkit.core.backend.registry import Registry
from segkit.core.errors import SegkitError, UnsupportedError
from segkit.core.inference.session import Session

FOREIGN: dict[str, bytes | None] = {
    "an empty file": b"",
    "bytes": bytes(range(256)) * 4,
    "a text": b"nothing to see here",
    "a JSON document": b'{"key": 1}',
    "an empty folder": None,
}
"""Files that are of no format; None: a folder."""

FLAGS = {Feature.HALF: "half", Feature.INT8: "int8", Feature.NMS: "nms", Feature.DYNAMIC_BATCH: "dynamic"}
"""What users write to ask for a feature."""

OPTIONAL = [feature for feature in Feature if feature not in (Feature.EXPORT, Feature.PREDICT)]


def by_name(feature: Feature) -> str:
    """As part of a test's id."""
    return feature.name.lower()


class DeclareStage(SuiteBase):
    """Format, options, gaps, imports."""

    @at(Stage.DECLARE)
    def test_declaration_is_complete(self, registry: Registry) -> None:
        """Every option has a description, every gap and wider bound a reason; names and aliases lead where they say."""
        backend = registry.get(self.format)
        backend.format.check(self.format)
        assert backend.format.name == self.format
        assert set(backend.format.support) == set(Feature), "every feature is declared, as full or as a gap"
        for feature, level in backend.format.support.items():
            assert not isinstance(level, Gap) or len(level.reason.split()) >= 3, (
                f"gap '{feature}': '{level.reason}' is no reason"
            )
        for model in filter(None, (backend.format.export_options, backend.format.load_options)):
            for name, kind, _, help_text in describe(model):
                assert len(help_text) >= 5, f"option '{name}' ({kind}) needs a description, has '{help_text}'"
        if backend.format.export_options:
            name = backend.format.artefact_name("stem", backend.format.export_options())
            assert name.startswith("stem"), f"an artefact is named after its model, this one is '{name}'"
        for alias in backend.format.aliases:
            try:
                found = registry.get(alias).format.name
            except SegkitError as error:
                raise AssertionError(f"the alias '{alias}' leads nowhere: {error}") from error
            assert found == self.format, f"the alias '{alias}' never leads here: it is the format '{found}'"
        try:
            self.bounds_of(registry)
        except ValueError as error:
            raise AssertionError(str(error)) from error

    @at(Stage.DECLARE)
    @pytest.mark.parametrize("feature", OPTIONAL, ids=by_name)
    def test_gaps_are_refused_with_their_reason(self, registry: Registry, feature: Feature) -> None:
        """Asking for a declared gap gives the declared reason before any work is done."""
        fmt = registry.get(self.format).format
        gap = fmt.support.gap(feature)
        if gap is None:
            pytest.skip(f"'{feature}' is no gap")
        if feature not in FLAGS or fmt.export_options is None:
            pytest.skip(f"there is no option that asks for '{feature}'")
        with pytest.raises(UnsupportedError) as refusal:
            fmt.parse_export_options({FLAGS[feature]: True})
        assert refusal.value.reason == gap.reason, (
            f"{FLAGS[feature]}=True is refused for another reason: {refusal.value}"
        )
        assert gap.kind in str(refusal.value), f"the refusal does not say that it is {gap.kind}: {refusal.value}"

    @at(Stage.DECLARE)
    def test_what_cannot_run_says_why(self, registry: Registry, tmp_path: Path) -> None:
        """Where running is a declared gap (no such hardware, another system), whoever opens a file is told that."""
        backend = registry.get(self.format)
        gap = backend.format.support.gap(Feature.PREDICT)
        if gap is None:
            pytest.skip(f"'{Feature.PREDICT}' is no gap")
        with pytest.raises(UnsupportedError) as refusal:
            Session(backend, tmp_path / "model", backend.format.parse_load_options({}))
        assert refusal.value.reason == gap.reason, f"running is refused for another reason: {refusal.value}"
        assert gap.kind in str(refusal.value), f"the refusal does not say that it is {gap.kind}: {refusal.value}"

    @at(Stage.DECLARE)
    @pytest.mark.parametrize("feature", OPTIONAL, ids=by_name)
    def test_gaps_of_others_are_still_there(self, registry: Registry, feature: Feature, tmp_path: Path) -> None:
        """What is declared broken upstream, or unsupported by the runtime, is called past the refusal, in a process of
        its own: if it works, the declaration has had its time. Whichever precisions are asked for.
        """
        fmt = registry.get(self.format).format
        gap = fmt.support.gap(feature)
        if gap is None:
            pytest.skip(f"'{feature}' is no gap")
        if gap.kind not in PROBED:
            pytest.skip(f"a gap that is {gap.kind} is not looked behind")
        if fmt.export_options is None or not switching(fmt.export_options, [feature]):
            pytest.skip(f"there is no option that asks for '{feature}'")
        need(fmt)
        needs_torch()
        works = works_nevertheless(registry, self.format, feature, tmp_path)
        assert not works, f"'{feature}' is declared {gap.kind} ({gap.reason}), and works: declare it as FULL"

    @at(Stage.DECLARE)
    def test_importing_the_plugin_is_light(self, registry: Registry) -> None:
        """Declaring a format loads neither torch nor its own runtime: `segkit formats` stays instant."""
        fmt = registry.get(self.format).format
        module = type(registry.get(self.format)).__module__
        # Without `answer` of children.py: what that imports would be found, too.
        names_of = "json.dumps(sorted({name.split('.')[0] for name in sys.modules}))"
        code = f"import sys, json, {module}; print({chr(10) + ANSWER!r} + {names_of})"
        out = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=False
        )
        assert out.returncode == 0, out.stderr
        needs = [need for need in fmt.requires if isinstance(need, Requirement)]
        names = [name for need in needs for name in (need.name, *need.alternatives)]
        needed = {name.lower().replace("_", "-") for name in names}
        heavy = {
            package
            for package, owners in metadata.packages_distributions().items()
            if needed & {o.lower().replace("_", "-") for o in owners}
        }
        loaded = (heavy | {"torch"}) & set(answer_in(out.stdout)) - {"numpy"}
        assert not loaded, f"importing {module} also imports {', '.join(sorted(loaded))}: move that into the methods"

    @at(Stage.DECLARE)
    def test_foreign_files_are_not_claimed(self, registry: Registry, tmp_path: Path) -> None:
        """`recognises` looks at anything there is without raising, and is never sure of a file that it does not know:
        one plugin that is would keep every other format from its files.
        """
        backend = registry.get(self.format)
        for number, (what, content) in enumerate(FOREIGN.items()):
            path = tmp_path / f"{number}.foreign"
            path.mkdir() if content is None else path.write_bytes(content)
            match = backend.recognises(path)
            assert match is None, f"recognises() gives {match!r} for {what} called {path.name}, which it cannot know"
