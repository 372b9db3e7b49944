"""Finds plugins by their entry points, lazily, and keeps a broken one from breaking anything but itself.

The name of an entry point in the group `segkit.plugins` is the name of a format. Names are known without importing
anything; a plugin is imported when its format is asked for, or when all are needed (recognising a file, listing the
formats).
"""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pluggy

from segkit.core.backend import hookspecs
from segkit.core.backend.base import Backend, Match
from segkit.core.errors import ModelFileError, PluginError, UnknownFormatError, did_you_mean


@dataclass(frozen=True)
class Plugin:
    """Where a format comes from: entry point name, module path, distribution with version."""

    name: str
    value: str
    distribution: str

    def __str__(self) -> str:
        """For messages: 'onnx' of segkit 0.1.0."""
        return f"'{self.name}' of {self.distribution}"


@dataclass(frozen=True)
class Entry:
    """One format as `segkit formats` shows it: a backend, or the error that its plugin gave."""

    plugin: Plugin
    backend: Backend | None
    error: PluginError | None


class Registry:
    """The formats of some plugins. `default_registry()` is the one that everybody shares."""

    def __init__(self, plugins: Iterable[Plugin] = ()) -> None:
        """Start from these plugins; nothing is imported yet."""
        self._plugins: dict[str, list[Plugin]] = defaultdict(list)
        self._entries: dict[Plugin, Entry] = {}
        self._registered: list[Plugin] = []
        for plugin in plugins:
            self._plugins[plugin.name].append(plugin)

    def register(self, name: str, module: str) -> None:
        """Add a format whose plugin is the importable `module`: for notebooks and tests, without an entry point."""
        plugin = Plugin(name, module, f"module {module}")
        if plugin not in self._plugins[name]:
            self._plugins[name].append(plugin)
            self._registered.append(plugin)

    @property
    def registered(self) -> list[Plugin]:
        """Plugins added with `register()`; an export's child process adds the same ones."""
        return list(self._registered)

    def names(self) -> list[str]:
        """Names of all formats, sorted; nothing is imported."""
        return sorted(self._plugins)

    def get(self, name: str) -> Backend:
        """The backend of a format, by name or alias.

        Raises:
            UnknownFormatError: no plugin has that name or alias.
            PluginError: the plugin is broken, or several claim the name.
        """
        wanted = name.lower().lstrip(".")
        if wanted in self._plugins:
            entry = self._entry(wanted)
            if entry.error:
                raise entry.error
            assert entry.backend is not None
            return entry.backend
        by_alias = [entry for entry in self.all() if entry.backend and wanted in entry.backend.format.aliases]
        if len(by_alias) > 1:
            claims = " and ".join(str(entry.plugin) for entry in by_alias)
            raise PluginError(claims, f"both claim the alias '{wanted}'; use the format's own name")
        if not by_alias or by_alias[0].backend is None:
            raise UnknownFormatError(name, self._known_names())
        return by_alias[0].backend

    def all(self) -> list[Entry]:
        """Every format, sorted by name, broken ones included."""
        return [self._entry(name) for name in self.names()]

    def recognise(self, path: Path) -> Backend:
        """The backend whose format `path` has: content beats suffix, a longer suffix beats a shorter one.

        Raises:
            ModelFileError: no such file, nobody recognises it, or two formats are equally sure.
        """
        if not path.exists():
            raise ModelFileError(path, f"no such file or folder.{_near_file(path)}".rstrip("."))
        matches = []
        for entry in self.all():
            if entry.backend and (match := _match(entry.backend, path)):
                matches.append((match, entry.backend))
        if not matches:
            endings = sorted({s for e in self.all() if e.backend for s in e.backend.format.suffixes})
            broken = [e.plugin.name for e in self.all() if e.error]
            hint = f" (plugins that could not be asked: {', '.join(broken)})" if broken else ""
            raise ModelFileError(path, f"no installed format recognises it; known endings: {', '.join(endings)}{hint}")
        best = max(match.confidence for match, _ in matches)
        winners = [(match, backend) for match, backend in matches if match.confidence == best]
        if len(winners) > 1:
            claims = " and ".join(f"{backend.format.name} ({match.reason})" for match, backend in winners)
            raise ModelFileError(path, f"it could be {claims}; name the format")
        return winners[0][1]

    def _entry(self, name: str) -> Entry:
        claims = self._plugins[name]
        if len(claims) > 1:
            error = PluginError(
                " and ".join(map(str, claims)), f"both claim the format '{name}'; uninstall one of them"
            )
            return Entry(claims[0], None, error)
        plugin = claims[0]
        if plugin not in self._entries:
            try:
                self._entries[plugin] = Entry(plugin, _load(plugin), None)
            except PluginError as error:
                self._entries[plugin] = Entry(plugin, None, error)
        return self._entries[plugin]

    def _known_names(self) -> list[str]:
        aliases = [alias for entry in self.all() if entry.backend for alias in entry.backend.format.aliases]
        return [*self.names(), *aliases]


def _load(plugin: Plugin) -> Backend:
    """Import a plugin, call its hook, check what it declares."""
    try:
        module = importlib.import_module(plugin.value)
    except Exception as error:
        raise PluginError(str(plugin), f"cannot be imported ({type(error).__name__}: {_first_line(error)})") from error
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module)
        manager.check_pending()  # pluggy accepts a misspelt hook silently otherwise
        provided: list[Any] = [backend for backends in manager.hook.segkit_backends() for backend in backends]
    except Exception as error:
        raise PluginError(str(plugin), f"its hook is refused ({_first_line(error)})") from error
    for backend in provided:
        if not isinstance(backend, Backend):
            raise PluginError(str(plugin), f"segkit_backends() returned {type(backend).__name__}, not a Backend")
        if backend.format.name == plugin.name:
            backend.format.check(str(plugin))
            return backend
    found = (
        ", ".join(f"'{backend.format.name}'" for backend in provided) or "none: is segkit_backends() marked @hookimpl?"
    )
    raise PluginError(str(plugin), f"it should provide the format '{plugin.name}' but provides {found}")


def _match(backend: Backend, path: Path) -> Match | None:
    """The backend's own opinion; failing that its suffixes, so that a damaged file still reaches the one who can
    explain it.
    """
    try:
        own = backend.recognises(path)
    except Exception:  # a plugin that stumbles over a foreign file has not recognised it
        own = None
    return own or Backend.recognises(backend, path)


def _near_file(path: Path) -> str:
    try:
        names = [item.name for item in path.parent.iterdir()]
    except OSError:
        return ""
    return did_you_mean(path.name, names)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0][:300]


@lru_cache(maxsize=1)
def default_registry() -> Registry:
    """The formats of every installed distribution."""
    plugins = []
    for point in metadata.entry_points(group=hookspecs.GROUP):
        dist = point.dist
        plugins.append(
            Plugin(point.name, point.value, f"{dist.name} {dist.version}" if dist else "unknown distribution")
        )
    return Registry(dict.fromkeys(plugins))
