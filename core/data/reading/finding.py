"""Where the pictures of a file of annotations are: people keep them in a handful of places."""

from __future__ import annotations

from pathlib import Path


class Finder:
    """Finds the pictures of one file by their names in it."""

    def __init__(self, path: Path) -> None:
        """`path` is the file of annotations."""
        folder = path.parent
        split = path.stem.rpartition("_")[2]
        roots = (folder, folder.parent, folder.parent / "images", folder / "images")
        self._folders = [*roots, *(root / split for root in (folder.parent / "images", folder.parent, folder))]

    def find(self, name: object) -> Path | None:
        """The picture of that name, also where it is written as on Windows, or None."""
        if not isinstance(name, str) or not name:
            return None
        for place, folder in enumerate(self._folders):
            found = folder / name
            try:
                if found.is_file():
                    self._folders.insert(0, self._folders.pop(place))
                    return found
            except (OSError, ValueError):
                return None
        return self.find(name.replace("\\", "/")) if "\\" in name else None

    def words(self, name: object) -> str:
        """That not even one was found."""
        places = ", ".join(f"'{folder}'" for folder in self._folders)
        return f"none of its pictures is there; '{str(name)[:100]}' was looked for in {places}"
