"""Metadata survives every carrier, and other tools' metadata is read without eval."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit.core.backend import HeadLayout, Metadata, Precision, Seal
from segkit.core.backend.metadata import now
from segkit.core.errors import ModelFileError

NAMES = st.dictionaries(st.integers(0, 600), st.text(min_size=1, max_size=20), max_size=20)
METADATA = st.builds(
    Metadata,
    batch=st.integers(1, 64),
    imgsz=st.tuples(st.integers(1, 50).map(lambda n: n * 32), st.integers(1, 50).map(lambda n: n * 32)),
    names=NAMES,
    description=st.none() | st.text(min_size=1, max_size=30).filter(lambda text: text.strip()),
    args=st.dictionaries(st.sampled_from(["half", "dynamic", "batch"]), st.booleans() | st.integers(0, 9)),
    segkit=st.none()
    | st.builds(
        Seal,
        head=st.builds(HeadLayout, outputs=st.sampled_from(["joined", "split"]), nms=st.booleans()),
        precision=st.sampled_from(list(Precision)),
        dynamic_size=st.booleans(),
        calibration=st.none() | st.just("ab" * 32),
    ),
)


@given(METADATA)
def test_metadata_survives_a_carrier_of_strings(metadata):
    assert Metadata.parse(metadata.to_text(), "x") == metadata


@given(METADATA)
def test_metadata_survives_a_typed_carrier(metadata):
    assert Metadata.parse(json.loads(json.dumps(metadata.to_plain())), "x") == metadata


def test_python_literals_of_other_tools_are_read():
    raw = {
        "description": "some other tool",
        "author": "Somebody",
        "stride": "32",
        "task": "segment",
        "batch": "1",
        "imgsz": "[640, 480]",
        "names": "{0: 'person', 1: \"bird's nest\"}",
        "args": "{'batch': 1, 'half': False, 'dynamic': True}",
    }
    metadata = Metadata.parse(raw, "x")
    assert metadata.imgsz == (640, 480)
    assert metadata.names == {0: "person", 1: "bird's nest"}
    assert metadata.dynamic_size
    assert metadata.segkit is None


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"names": "__import__('os').system('true')"}, "names"),
        ({"names": "{'zero': 'cat'}"}, "invalid literal"),
        ({"imgsz": "[640, 'wide']"}, "imgsz"),
        ({"stride": "[]"}, "stride"),
        ({"stride": "0"}, "stride"),
        ({"imgsz": "[640, 320000]"}, "imgsz"),
        ({"batch": "-1"}, "batch"),
        ({"imgsz": "(" * 5000}, "imgsz"),
        ({"names": {1_000_000_000: "cat"}}, "index from 0 to 65535"),
        ({"names": {-1: "cat"}}, "index from 0 to 65535"),
    ],
)
def test_what_cannot_be_understood_is_named_with_the_file(raw, words):
    with pytest.raises(ModelFileError, match=rf"'best\.onnx'.*{words}") as caught:
        Metadata.parse(raw, "best.onnx")
    assert "\n" not in str(caught.value)


def test_names_may_be_a_list_and_sizes_a_number():
    metadata = Metadata.parse({"names": ["cat", "dog"], "imgsz": 320, "stride": [8, 16, 32]}, "x")
    assert (metadata.names, metadata.imgsz, metadata.stride) == ({0: "cat", 1: "dog"}, (320, 320), 32)


def test_the_date_honours_source_date_epoch(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert now() == "1970-01-01T00:00:00+00:00"
