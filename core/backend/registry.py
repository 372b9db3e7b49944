"""Finds plugins by their entry points, lazily, and keeps a broken one from breaking anything but itself.

The name of an entry point in the group `segkit.plugins` is the name of a format. Names are known without importing
anything; a plugin is imported when its format is asked for, or when all are needed (recognising a file, listing the
formats).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pluggy

from segkit.core.backend import hookspecs
from segkit.core.backend.base import Backend
from segkit.core.backend.capability import Feature
from segkit.core.backend.faults import blamed
from segkit.core.backend.format import Format, Need
from segkit.core.backend.returned import match_of
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
            self._plugins[plugin.name.lower()].append(plugin)

    def register(self, name: str, module: str) -> None:
        """Add a format whose plugin is the importable `module`: for notebooks and tests, without an entry point."""
        plugin = Plugin(name, module, f"module {module}")
        if plugin not in self._plugins[name.lower()]:
            self._plugins[name.lower()].append(plugin)
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
        entry = self.find(name)
        if entry.backend is None:
            raise entry.error or PluginError(str(entry.plugin), "it is broken")
        return entry.backend

    def find(self, name: str) -> Entry:
        """The entry of a format, by name or alias; raises as `get`, but not for a plugin that is broken."""
        wanted = name.lower().lstrip(".")
        if wanted in self._plugins:
            return self._entry(wanted)
        by_alias = [entry for entry in self.all() if entry.backend and wanted in entry.backend.format.aliases]
        if len(by_alias) > 1:
            claims = " and ".join(str(entry.plugin) for entry in by_alias)
            raise PluginError(claims, f"both claim the alias '{wanted}'; use the format's own name")
        if not by_alias:
            raise UnknownFormatError(name, self._known_names())
        return by_alias[0]

    def all(self) -> list[Entry]:
        """Every format, sorted by name, broken ones included."""
        return [self._entry(name) for name in self.names()]

    def missing(self, fmt: Format, feature: Feature) -> list[Need]:
        """What `feature` needs and is not there: needs of the format and, for an export, of the formats that it starts
        from. One that no plugin brings has none.
        """
        found, seen = dict.fromkeys(fmt.missing(feature)), {fmt.name}
        while feature is Feature.EXPORT and fmt.source and fmt.source not in seen:
            entry = self._entry(fmt.source) if fmt.source in self._plugins else None
            if entry is None or entry.backend is None:
                break
            fmt = entry.backend.format
            seen.add(fmt.name)
            found |= dict.fromkeys(fmt.missing(feature))
        return list(found)

    def recognise(self, path: Path) -> Backend:
        """The backend whose format `path` has: content beats suffix, a longer suffix beats a shorter one.

        Raises:
            ModelFileError: no such file, nobody recognises it, or two formats are equally sure.
        """
        if not path.exists():
            raise ModelFileError(path, _absent(path))
        matches = []
        for entry in self.all():
            if entry.backend and (match := match_of(entry.backend, path)):
                matches.append((match, entry.backend))
        if not matches:
            endings = sorted({s for e in self.all() if e.backend for s in e.backend.format.suffixes})
            broken = [e.error.plugin for e in self.all() if e.error]
            hint = f" (plugins that could not be asked: {', '.join(broken)}; see segkit formats)" if broken else ""
            what = "it is a folder, and no" if path.is_dir() else "no"
            problem = f"{what} installed format recognises it; known endings: {', '.join(endings)}{hint}"
            raise ModelFileError(path, problem)
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
    with blamed(plugin, "cannot be imported"):
        module = metadata.EntryPoint(plugin.name, plugin.value, hookspecs.GROUP).load()
    with blamed(plugin, "its hook is refused"):
        provided: list[Backend] = list(_call_hook(module))
    with blamed(plugin, "its declaration is refused"):
        chosen = [backend for backend in provided if _declared(backend).name == plugin.name]
        if len(chosen) != 1:
            found = ", ".join(f"'{backend.format.name}'" for backend in provided) or "none"
            raise PluginError(str(plugin), f"it should provide the format '{plugin.name}' once but provides {found}")
        chosen[0].format.check(str(plugin))
    return chosen[0]


def _call_hook(module: object) -> Iterable[Any]:
    """What the plugin's `segkit_backends()` returns.

    Raises:
        TypeError, PluginValidationError: there is no such hook, it is misspelt, or it returns something else.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()  # pluggy accepts a misspelt hook silently otherwise
    hook = manager.hook.segkit_backends
    if not hook.get_hookimpls():
        raise TypeError("there is no function segkit_backends() marked @hookimpl")
    given = next(iter(hook()), None)  # pluggy leaves None out
    if isinstance(given, Backend) or not isinstance(given, Iterable):
        raise TypeError(f"segkit_backends() returned {_kind(given)}, not a list of backends")
    return given


def _declared(backend: Any) -> Format:
    """The format of what a hook returned.

    Raises:
        TypeError: that is no backend, or has no format.
    """
    if not isinstance(backend, Backend):
        raise TypeError(f"segkit_backends() returned {_kind(backend)} in its list, not a Backend")
    if not isinstance(getattr(backend, "format", None), Format):
        raise TypeError(f"{type(backend).__name__}.format is not a Format")
    return backend.format


def _kind(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else f"one {type(value).__name__}"


def _absent(path: Path) -> str:
    if path.is_symlink():
        return f"it is a link to '{path.readlink()}', which does not exist"
    try:
        names = [item.name for item in path.parent.iterdir()]
    except OSError:
        names = []
    guess = did_you_mean(path.name, names)
    return f"no such file or folder.{guess}" if guess else "no such file or folder"


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
