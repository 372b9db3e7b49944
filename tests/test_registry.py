"""Plugins are found lazily, and a broken one breaks nothing but itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from segkit.core.backend.registry import Plugin, Registry, default_registry
from segkit.core.errors import ModelFileError, PluginError, UnknownFormatError

FAKES = Path(__file__).parent / "fakes"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a plugin module and give its import name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(FAKES))

    def write(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        sys.modules.pop(name, None)
        return name

    return write


def plugin(name: str, module_name: str, dist: str = "acme 1.0") -> Plugin:
    return Plugin(name, module_name, dist)


def test_names_are_known_without_importing_any_plugin():
    registry = Registry([plugin("ghost", "module_that_does_not_exist")])
    assert registry.names() == ["ghost"]


def test_a_plugin_that_fails_to_import_is_named_only_when_asked_for(module):
    broken = module("broken_plugin", "import no_such_runtime\n")
    registry = Registry([plugin("bad", broken), plugin("blob", "fake_formats")])
    assert registry.get("blob").format.title == "Blob"
    with pytest.raises(PluginError, match=r"'bad' of acme 1\.0: cannot be imported .*no_such_runtime"):
        registry.get("bad")
    errors = {entry.plugin.name: entry.error for entry in registry.all()}
    assert errors["blob"] is None
    assert "no_such_runtime" in str(errors["bad"])


def test_two_distributions_that_claim_one_format_are_both_named(module):
    registry = Registry([plugin("blob", "fake_formats", "acme 1.0"), plugin("blob", "fake_formats", "umbrella 2.0")])
    with pytest.raises(PluginError, match=r"acme 1\.0 and 'blob' of umbrella 2\.0: both claim the format 'blob'"):
        registry.get("blob")


def test_a_misspelt_hook_is_refused(module):
    text = "from segkit.core.backend import hookimpl\n@hookimpl\ndef segkit_backend():\n    return []\n"
    registry = Registry([plugin("typo", module("typo_plugin", text))])
    with pytest.raises(PluginError, match="unknown hook 'segkit_backend'"):
        registry.get("typo")


def test_a_plugin_without_a_hook_or_with_another_format_says_what_is_missing(module):
    registry = Registry([plugin("empty", module("empty_plugin", "")), plugin("other", "fake_formats")])
    with pytest.raises(PluginError, match=r"no function segkit_backends\(\) marked @hookimpl"):
        registry.get("empty")
    module("unused", "")
    with pytest.raises(PluginError, match="should provide the format 'other' once but provides 'blob', 'tiny'"):
        registry.get("other")


def test_a_declaration_that_contradicts_itself_is_refused(module):
    text = (
        "from fake_formats import *\n"
        "class Liar(Blob):\n"
        "    format = Format(name='liar', title='Liar', artefact='{stem}.liar', export_options=ExportOptions,\n"
        "                    support=support(nms=True))\n"
        "@hookimpl\ndef segkit_backends():\n    return [Liar()]\n"
    )
    with pytest.raises(PluginError, match="declares nms as full but no export option switches it on"):
        Registry([plugin("liar", module("liar_plugin", text))]).get("liar")


BAD = """
import sys
from fake_formats import *
from fake_formats import _Simple, _variant
from dataclasses import replace
class Bad(_Simple):
    format = _variant('Bad')
"""

HOOK = "@hookimpl\ndef segkit_backends():\n    "


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import sys; sys.exit('no licence')", "cannot be imported .SystemExit: no licence"),
        ("raise ValueError('one\\ntwo')", "cannot be imported .ValueError: one two"),
        (BAD + HOOK + "sys.exit(3)", "its hook is refused .SystemExit: 3"),
        (BAD + HOOK + "raise KeyError('x')", "its hook is refused .KeyError: 'x'"),
        (BAD + HOOK + "return None", r"segkit_backends\(\) returned None, not a list"),
        (BAD + HOOK + "return Bad()", r"segkit_backends\(\) returned one Bad, not a list"),
        (BAD + HOOK + "return [Bad]", r"returned the class Bad in its list, not a Backend"),
        (BAD + HOOK + "return [Bad(), Bad()]", "format 'bad' once but provides 'bad', 'bad'"),
        (BAD + "@hookimpl\ndef segkit_backends(registry):\n    return []", "'registry'.* not be found in the hookspec"),
        (BAD + "    format = None\n" + HOOK + "return [Bad()]", "Bad.format is not a Format"),
    ],
)
def test_whatever_a_plugin_does_when_it_is_loaded_stays_its_own_fault(module, text, words):
    registry = Registry([plugin("bad", module("bad_plugin", text)), plugin("blob", "fake_formats")])
    with pytest.raises(PluginError, match=rf"Plugin 'bad' of acme 1\.0: .*{words}") as caught:
        registry.get("bad")
    assert "\n" not in str(caught.value)
    assert [entry.plugin.name for entry in registry.all() if entry.error] == ["bad"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ("name='Bad'", "Format: name: String should match"),
        ("aliases=('B D',)", "Format: aliases: 0: String should match"),
        ("suffixes='.bad'", "Format: suffixes: Input should be a valid tuple"),
        ("suffixes=('',)", "Format: suffixes: 0: String should have at least"),
        ("requires=('torch>=2',)", "Format: requires: 0: .*Requirement"),
        ("concurrency='serail'", "Format: concurrency: Input should be 'parallel', 'serial' or 'thread-bound'"),
        ("export_options=dict", "Format: export_options: Input should be a subclass of ExportOptions"),
        ("support={}", "Format: support: .*Support"),
        ("support=Support({})", "support is not declared for: export"),
        ("support=Support({**support(), 'turbo': GAP})", "neither FULL nor a Gap of a known feature for: turbo"),
        ("support=Support({**support(), Feature.NMS: True})", "neither FULL nor a Gap of a known feature for: nms"),
        ("support=Support({**support(), Feature.NMS: Gap('no', 'not at all')})", "Gap: 0: Input should be"),
        ("artefact='{stem}/x'", "'stem/x' is not the name of one file or folder"),
        ("artefact='{stem}_{precision}'", "its artefact has no name .KeyError: 'precision'"),
        ("artefact=lambda stem, options: options.level", "its artefact has no name .AttributeError"),
        ("export_options=Needy", "its options have no usable defaults .Needy: token: Field required"),
        ("export_options=Shadow", "an inherited option has another type .*batch"),
    ],
)
def test_a_wrong_declaration_is_told_where_it_stands(module, changes, words):
    text = (
        BAD
        + "class Needy(ExportOptions):\n    token: str = Field(description='a secret')\n"
        + "class Shadow(ExportOptions):\n    batch: str = Field('many', description='how many')\n"
        + f"class Worse(Bad):\n    format = replace(Bad.format, {changes})\n"
        + HOOK
        + "return [Worse()]\n"
    )
    with pytest.raises(PluginError, match=rf"Plugin 'bad' of acme 1\.0: .*{words}") as caught:
        Registry([plugin("bad", module("bad_plugin", text))]).get("bad")
    assert "\n" not in str(caught.value)


def test_an_entry_point_may_name_an_object(module):
    text = BAD + "class plugin:\n    @staticmethod\n    @hookimpl\n    def segkit_backends():\n        return [Bad()]\n"
    assert Registry([plugin("bad", module("bad_plugin", text) + ":plugin")]).get("bad").format.title == "Bad"


def test_an_entry_point_in_upper_case_is_not_lost(module):
    registry = Registry([plugin("Bad", module("bad_plugin", BAD + HOOK + "return [Bad()]"))])
    with pytest.raises(PluginError, match="should provide the format 'Bad' once but provides 'bad'"):
        registry.get("Bad")


@pytest.mark.parametrize(
    "answer", ["return True", "return Match('very', 'x')", "sys.exit(9)", "return Match(999, 'x')"]
)
def test_a_plugin_that_answers_nonsense_does_not_keep_others_from_their_files(module, tmp_path, answer):
    text = BAD + f"    def recognises(self, path):\n        from segkit.core.backend import Match\n        {answer}\n"
    bad = module("bad_plugin", text + HOOK + "return [Bad()]")
    (tmp_path / "a.tiny").touch()
    (tmp_path / "a.bad").touch()
    registry = Registry([plugin("bad", bad), plugin("tiny", "fake_formats")])
    assert registry.recognise(tmp_path / "a.tiny").format.name == "tiny"
    assert registry.recognise(tmp_path / "a.bad").format.name == "bad"


def test_an_unknown_format_names_the_nearest_one_and_all_known():
    with pytest.raises(
        UnknownFormatError, match=r"Unknown format 'onx'\. Did you mean 'onnx'\? Known: .*onnx.*pytorch"
    ):
        default_registry().get("onx")


def test_a_format_is_found_by_alias_and_in_any_case(module):
    registry = Registry([plugin("blob", "fake_formats")])
    assert registry.get("Folder") is registry.get("BLOB")


def test_content_beats_suffix_and_a_tie_names_both(module, tmp_path):
    text = (
        "from fake_formats import *\n"
        "from fake_formats import _Simple, _variant\n"
        "from segkit.core.backend import Match\n"
        "class {0}(_Simple):\n"
        "    format = _variant('{0}')\n"
        "    def recognises(self, path):\n"
        "        return Match(Match.CONTENT, 'magic') if path.read_bytes() == b'magic' else None\n"
        "@hookimpl\ndef segkit_backends():\n    return [{0}()]\n"
    )
    ants, bees = module("ants_plugin", text.format("Ants")), module("bees_plugin", text.format("Bees"))
    path = tmp_path / "model.serial"
    path.write_bytes(b"magic")
    registry = Registry([plugin("ants", ants), plugin("serial", "fake_formats")])
    assert registry.recognise(path).format.name == "ants"
    both = Registry([plugin("ants", ants), plugin("bees", bees)])
    with pytest.raises(ModelFileError, match=r"it could be ants \(magic\) and bees \(magic\)"):
        both.recognise(path)


def test_the_longer_suffix_beats_the_shorter_one(module, tmp_path):
    text = (
        "from fake_formats import *\n"
        "from fake_formats import _Simple\n"
        "class Long(_Simple):\n"
        "    format = Format(name='long', title='L', artefact='{stem}_x.tiny', suffixes=('_x.tiny',),\n"
        "                    export_options=ExportOptions, support=support())\n"
        "@hookimpl\ndef segkit_backends():\n    return [Long()]\n"
    )
    registry = Registry([plugin("long", module("long_plugin", text)), plugin("tiny", "fake_formats")])
    (tmp_path / "a_x.tiny").touch()
    (tmp_path / "a.tiny").touch()
    assert registry.recognise(tmp_path / "a_x.tiny").format.name == "long"
    assert registry.recognise(tmp_path / "a.tiny").format.name == "tiny"


def test_a_missing_file_names_the_nearest_one(tmp_path):
    (tmp_path / "best.blob").touch()
    with pytest.raises(ModelFileError, match=r"no such file or folder\. Did you mean 'best\.blob'\?"):
        Registry().recognise(tmp_path / "bset.blob")


def test_a_file_that_nobody_knows_is_refused_with_the_known_endings(module, tmp_path):
    (tmp_path / "model.xyz").touch()
    registry = Registry([plugin("blob", "fake_formats"), plugin("bad", "no_module_here")])
    with pytest.raises(
        ModelFileError,
        match=r"known endings: _blob_model \(plugins that could not be asked: 'bad' of acme 1\.0; see segkit formats\)",
    ):
        registry.recognise(tmp_path / "model.xyz")


def test_the_built_in_formats_come_through_the_public_entry_points():
    registry = default_registry()
    assert {"pytorch", "onnx"} <= set(registry.names())
    for name in ("pytorch", "onnx"):
        assert type(registry.get(name)).__module__.startswith(f"segkit.plugins.{name}")
