"""What has arrived of a file that is being fetched, so that a later attempt, or a later process, goes on from there."""

from __future__ import annotations

from pathlib import Path

from segkit.core.http import Answer
from segkit.core.hub.cache import Record, beside, read_record, write_record


class Partial:
    """The bytes so far, and a record of which version of the file they are. Its methods let OSErrors pass."""

    def __init__(self, target: Path, address: str, *, checked: bool) -> None:
        """The one that becomes `target`.

        Args:
            target: where the whole file goes.
            address: where it comes from.
            checked: a digest tells in the end whether its parts belong together.
        """
        self.target, self.checked = target, checked
        self.path = beside(target, ".partial")
        self.note = beside(self.path, ".json")
        self.source = address.partition("?")[0]
        """The address without its query, which may hold a password."""

    def state(self) -> tuple[int, Record]:
        """Number of bytes that can be continued, and their record; 0 where nothing tells which version they are."""
        record = read_record(self.note)
        size = self.path.stat().st_size if self.path.is_file() else 0
        if record is None or record.address != self.source or not (record.validator or self.checked):
            return 0, Record(self.source)
        return (0 if record.size is not None and size > record.size else size), record

    def begin(self, answer: Answer) -> Record:
        """Note the version whose first byte is about to arrive."""
        record = Record(self.source, answer.length, None, answer.header("ETag"), answer.header("Last-Modified"))
        self.path.unlink(missing_ok=True)  # never the new note beside old bytes
        write_record(self.note, record)
        return record

    def discard(self) -> None:
        """Forget what has arrived."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def finish(self, record: Record) -> None:
        """Move the file into its place, and note what it is."""
        self.path.replace(self.target)
        # In this order: a file without a record is used as it is; the record of another file would not be true.
        write_record(beside(self.target, ".json"), record)
        self.note.unlink(missing_ok=True)
