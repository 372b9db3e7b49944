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
    with pytest.raises(PluginError, match="provides none: is segkit_backends"):
        registry.get("empty")
    module("unused", "")
    with pytest.raises(PluginError, match="should provide the format 'other' but provides 'blob', 'tiny'"):
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
    with pytest.raises(ModelFileError, match=r"known endings: _blob_model \(plugins that could not be asked: bad\)"):
        registry.recognise(tmp_path / "model.xyz")


def test_the_built_in_formats_come_through_the_public_entry_points():
    registry = default_registry()
    assert {"pytorch", "onnx"} <= set(registry.names())
    for name in ("pytorch", "onnx"):
        assert type(registry.get(name)).__module__.startswith(f"segkit.plugins.{name}")
