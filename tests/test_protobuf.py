"""The reader of protobuf messages against the library that writes them, and what becomes of damaged ones."""

from __future__ import annotations

import contextlib
import mmap
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from segkit.core.protobuf import Field, fields, signed

WHOLE = st.integers(-(2**31), 2**31 - 1)
PATHS = st.lists(WHOLE, max_size=20)


def location(path: list[int], notes: list[str]) -> bytes:
    """A message with packed numbers (1) and repeated texts (6)."""
    message = descriptor_pb2.SourceCodeInfo.Location(path=path, leading_detached_comments=notes)
    return message.SerializeToString()


def told(field: Field) -> tuple[int, int | None, bytes]:
    return field.number, field.value, bytes(field.data)


@given(PATHS, st.lists(st.text(), max_size=5))
def test_numbers_and_texts_are_those_that_the_library_wrote(path: list[int], notes: list[str]) -> None:
    found = list(fields(location(path, notes)))
    assert [number for field in found if field.number == 1 for number in field.integers()] == path
    assert [field.text for field in found if field.number == 6] == notes


@given(st.dictionaries(st.text(), st.floats(allow_nan=False) | st.text(), max_size=6))
def test_messages_in_messages_and_values_of_fixed_width(values: dict[str, float | str]) -> None:
    message = struct_pb2.Struct()
    message.update(values)
    found = {}
    for entry in fields(message.SerializeToString()):
        key, value = (next((part for part in entry if part.number == number), None) for number in (1, 2))
        kind = next(iter(value or ()))
        found[key.text if key else ""] = kind.text if kind.number == 3 else kind.data
    assert {key: value for key, value in found.items() if isinstance(value, str)} == {
        key: value for key, value in values.items() if isinstance(value, str)
    }
    doubles = {key: memoryview(value).cast("d")[0] for key, value in found.items() if not isinstance(value, str)}
    assert doubles == {key: value for key, value in values.items() if not isinstance(value, str)}


@given(PATHS, st.lists(st.text(min_size=1), min_size=1, max_size=3), st.data())
def test_a_message_that_is_cut_off_gives_the_fields_that_are_whole(
    path: list[int], notes: list[str], data: st.DataObject
) -> None:
    whole = location(path, notes)
    cut = data.draw(st.integers(0, len(whole) - 1))
    found = []
    with contextlib.suppress(ValueError):
        found.extend(fields(whole[:cut]))
    assert [told(field) for field in found] == [told(field) for field in fields(whole) if field.stop <= cut]


@given(st.binary(max_size=60))
def test_no_bytes_end_in_anything_but_fields_or_a_value_error(content: bytes) -> None:
    def walk(field: Field) -> None:
        for inner in field:
            walk(inner)

    with contextlib.suppress(ValueError):
        for field in fields(content):
            walk(field)


def test_a_mapped_file_can_be_closed_after_it_was_read(tmp_path: Path) -> None:
    """Views on a map keep it open: none may be left, whatever was asked for."""
    path = tmp_path / "message"
    path.write_bytes(location([1, 2], ["one", "two"]))
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        kept = [(field, field.data) for field in fields(content)]
    assert bytes(kept[-1][1]) == b"two"


def test_bytes_are_not_copied() -> None:
    """Weights of hundreds of megabytes lie in such messages."""
    content = location([], ["x" * 1000])
    (field,) = fields(content)
    assert isinstance(field.data, memoryview)
    assert field.data.obj is content


@pytest.mark.parametrize(("value", "number"), [(0, 0), (7, 7), ((1 << 64) - 1, -1), (1 << 63, -(1 << 63))])
def test_signs(value: int, number: int) -> None:
    assert signed(value) == number
