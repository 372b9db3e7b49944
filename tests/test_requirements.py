"""What a format needs is named as pip takes it, and looked up without an import."""

from __future__ import annotations

from dataclasses import replace

import pytest

from segkit.core.backend import Feature, Requirement
from segkit.core.backend import format as formats
from segkit.core.backend.registry import Registry
from segkit.core.errors import MissingDependencyError


@pytest.fixture
def installed(monkeypatch):
    """Say which distributions there are: name → version."""

    def there_are(**versions):
        monkeypatch.setattr(formats, "installed_version", versions.get)

    return there_are


@pytest.mark.parametrize(
    ("asked", "version", "met"),
    [
        ("acme", "0.1", True),
        ("acme>=3", "3", True),
        ("acme>=3", "3.0.1+cpu", True),
        ("acme>=3", "4.0rc1", True),
        ("acme>=3", "2.9", False),
        ("acme >=3, <4", "3.7", True),
        ("acme >=3, <4", "4.0", False),
        ("acme[fast]>=3", "2", False),
        ("acme==3.*", "3.2", True),
        ("acme!=3.1", "3.1", False),
        ("acme~=3.1", "3.9", True),
    ],
)
def test_only_a_version_of_the_range_will_do(installed, asked, version, met):
    installed(acme=version)
    need = Requirement(asked)
    assert need.name == "acme"
    assert need.found() == ("acme", version)
    assert need.met() is met


def test_nothing_installed_will_not_do(installed):
    installed()
    assert not Requirement("acme").met()
    assert Requirement("acme").found() is None


def test_an_alternative_will_do_in_any_version_and_beside_one_that_is_too_old(installed):
    need = Requirement("acme>=3", alternatives=("acme-gpu",))
    installed(**{"acme-gpu": "1"})
    assert need.met()
    installed(**{"acme": "2", "acme-gpu": "1"})
    assert need.found() == ("acme-gpu", "1")
    assert need.met()


@pytest.mark.parametrize("asked", ["", "acme >> 3", "acme>=", "acme>=3; python_version<'3.12'", "-acme", "a b"])
def test_what_pip_would_not_take_is_refused_where_it_is_declared(asked):
    with pytest.raises(ValueError, match="is no requirement as pip takes it"):
        Requirement(asked)


def test_the_refusal_says_which_version_is_there(installed):
    registry = Registry()
    registry.register("blob", "fake_formats")
    needs = (Requirement("acme>=3"), Requirement("umbrella"))
    fmt = replace(registry.get("blob").format, requires=needs)
    installed(acme="2.9")
    with pytest.raises(MissingDependencyError) as refused:
        fmt.require(Feature.PREDICT)
    assert str(refused.value) == (
        'Running a model in blob needs acme>=3 (2.9 is installed), umbrella. Run: pip install "acme>=3" umbrella'
    )
    installed()
    with pytest.raises(MissingDependencyError, match="needs acme>=3, umbrella, not installed here"):
        fmt.require(Feature.PREDICT)


def test_an_export_needs_what_the_formats_need_that_it_starts_from(monkeypatch):
    registry = Registry()
    for name in ("blob", "tiny", "loop", "misled"):
        registry.register(name, "fake_formats")
    blob, tiny = registry.get("blob"), registry.get("tiny")
    needs = (Requirement("acme-of-nobody>=3", frozenset({Feature.EXPORT})), Requirement("umbrella-of-nobody"))
    monkeypatch.setattr(blob, "format", replace(blob.format, requires=needs), raising=False)
    assert list(map(str, registry.missing(tiny.format, Feature.EXPORT))) == ["acme-of-nobody>=3", "umbrella-of-nobody"]
    assert registry.missing(tiny.format, Feature.PREDICT) == []
    assert registry.missing(registry.get("loop").format, Feature.EXPORT) == []
