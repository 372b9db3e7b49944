"""Tells those who want to know what happens in a training: what is built in, plugins, functions of the user."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pluggy

from segkit.core.backend.faults import blamed, words
from segkit.core.backend.registry import Plugin
from segkit.core.errors import PluginError, SegkitError, nearest
from segkit.core.notices import notice
from segkit.core.training.events import GROUP, PROJECT, Callback, Hooks, event

if TYPE_CHECKING:
    from segkit.core.training.arguments import TrainArguments
    from segkit.core.training.run import TrainRun

HOOKS = tuple(name for name in vars(Hooks) if name.startswith("segkit_"))


class Listener:
    """Somebody with implementations of some hooks. One a listener of pluggy, so that none can harm another."""

    def __init__(self, who: str, target: object, kind: str = "") -> None:
        """Take a module, an object or a class, of which an object is made; `kind` and `who` together name it.

        Raises:
            PluginError: it has no hook, or one that does not exist or takes something else.
        """
        self.title = f"{kind}{who}"
        with blamed(who, "its hooks are refused"):
            target = target() if isinstance(target, type) else target
            _check_names(who, target)
            self._manager = pluggy.PluginManager(PROJECT)
            self._manager.add_hookspecs(Hooks)
            self._manager.register(target)
            self._manager.check_pending()  # pluggy accepts a hook that does not exist silently
        self._hooks: dict[str, Any] = {
            name: hook for name in HOOKS if (hook := getattr(self._manager.hook, name)).get_hookimpls()
        }

    def tell(self, hook: str, run: TrainRun) -> None:
        """Call its implementation of a hook, if it has one."""
        if hook in self._hooks:
            self._hooks[hook](run=run)


class Callbacks:
    """Everybody who is told of one run.

    What is built in comes first and plugins next: one of these that fails is switched off with a notice, and the
    training goes on. Functions of the user come last, in the order in which they were added; what they raise ends the
    training.
    """

    def __init__(
        self,
        functions: Mapping[str, Sequence[Callback]],
        args: TrainArguments,
        environ: Mapping[str, str] = os.environ,
        plugins: Iterable[metadata.EntryPoint] | None = None,
    ) -> None:
        """Gather them.

        Args:
            functions: the user's, by event, such as "on_train_epoch_end".
            args: say which loggers are wanted, and whether pictures are.
            environ: the environment, which may ask for loggers too.
            plugins: default: those that are installed.

        Raises:
            OptionError: an event or a logger that nobody knows.
            MissingDependencyError: a logger that was asked for is not installed.
        """
        self._functions: dict[str, list[Callback]] = {}
        for name, called in functions.items():
            self._functions.setdefault(event(name), []).extend(called)
        self._listeners = [Listener(_title(each), each) for each in _built_in(args, environ)]
        self._listeners += _plugins(metadata.entry_points(group=GROUP) if plugins is None else plugins)

    @classmethod
    def silent(cls) -> Callbacks:
        """Nobody: for processes that do not write."""
        nobody = cls.__new__(cls)
        nobody._functions, nobody._listeners = {}, []
        return nobody

    @classmethod
    def of(cls, *listeners: object) -> Callbacks:
        """Only these objects with hooks.

        Raises:
            PluginError: see `Listener`.
        """
        some = cls.silent()
        some._listeners = [Listener(_title(each), each) for each in listeners]
        return some

    def call(self, event: str, run: TrainRun) -> None:
        """Tell everybody of an event, by the name of its hook without "segkit_": "train_epoch_end".

        Raises:
            Exception: what a function of the user raises.
        """
        hook = f"segkit_{event}"
        for listener in list(self._listeners):
            try:
                listener.tell(hook, run)
            except Exception as error:
                self._switch_off(listener, error, run)
        for function in self._functions.get(hook, ()):
            function(run)

    def _switch_off(self, listener: Listener, error: Exception, run: TrainRun) -> None:
        self._listeners.remove(listener)
        said = str(error) if isinstance(error, SegkitError) else words(error)
        notice(f"{listener.title} failed and is switched off ({said.rstrip('.')}). The training goes on.")
        with contextlib.suppress(Exception):  # a chance to close what is open; that it fails is known
            listener.tell("segkit_teardown", run)


def _built_in(args: TrainArguments, environ: Mapping[str, str]) -> Iterable[object]:
    """In the order in which they are told: pictures are there when loggers take them along."""
    from segkit.core.training.display import Display
    from segkit.core.training.loggers import choose_loggers
    from segkit.core.training.pictures import Pictures

    csv, *others = choose_loggers(args, environ)
    return [Display(), csv, *([Pictures()] if args.plots else []), *others]


def _title(target: object) -> str:
    """What a failure is told of."""
    return getattr(target, "title", None) or type(target).__name__


def _plugins(points: Iterable[metadata.EntryPoint]) -> list[Listener]:
    """Those that can be used; of each other one a notice says why not."""
    found = []
    for point in dict.fromkeys(points):
        home = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown distribution"
        who = str(Plugin(point.name, point.value, home))
        try:
            with blamed(who, "cannot be imported"):
                target = point.load()
            found.append(Listener(who, target, "Plugin "))
        except PluginError as error:
            notice(f"{error} The training goes on without it.")
    return found


def _check_names(who: str, target: object) -> None:
    """Say what pluggy does not, or not by name.

    Raises:
        PluginError: a function looks like a hook and is none.
    """
    names = [name for name in dir(target) if name.startswith("segkit_") and callable(getattr(target, name))]
    if not names:
        raise PluginError(who, f"it has no hook; there are {', '.join(HOOKS)}")
    for name in names:
        if name not in HOOKS:
            guess = nearest(name, HOOKS)
            raise PluginError(who, f"there is no hook '{name}'" + (f"; the nearest is '{guess}'" if guess else ""))
        if not hasattr(getattr(target, name), f"{PROJECT}_impl"):
            raise PluginError(who, f"its '{name}' is not marked with @hookimpl")
