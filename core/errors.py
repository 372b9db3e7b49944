"""Every deliberate error of segkit.

```
SegkitError                      exit code 1
├── InputError                   exit code 2: what was given cannot be used
│   ├── OptionError              an option is unknown, out of range, or not combinable
│   ├── SourceError              a picture source is missing or unreadable
│   ├── ModelFileError           a model file is missing, foreign or damaged
│   │   └── UnsafeCheckpointError   a pickle asks for something outside the safe list
│   ├── UnknownFormatError       no plugin has that name
│   ├── UnsupportedError         a declared gap: the format cannot do that, and says why
│   ├── MissingDependencyError   a package is not installed; the message has the pip line
│   ├── OutputError              the target cannot be written: read-only, disk full, exists
│   └── AddressError             an address gives nothing usable (in `segkit.core.http`)
├── ExportError                  a toolchain failed; carries its log
├── TrainingError                a training cannot go on; says what was saved and how to resume
├── PluginError                  a plugin is broken, incomplete, or claims a taken name
└── RuntimeFailure               a runtime failed while it ran a model
```

An error owns its message: typed fields go in, the text is built here once and says what was given, what is known and
what to do. Only the standard library is imported, so that any module can raise these at no cost.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = [
    "ExportError",
    "InputError",
    "MissingDependencyError",
    "ModelFileError",
    "OptionError",
    "OutputError",
    "PluginError",
    "RuntimeFailure",
    "SegkitError",
    "SourceError",
    "TrainingError",
    "UnknownFormatError",
    "UnsafeCheckpointError",
    "UnsupportedError",
]


def nearest(given: str, known: Iterable[str]) -> str | None:
    """The known name that `given` most likely meant, or None."""
    names = list(known)
    lowered = {name.lower(): name for name in names}
    found = difflib.get_close_matches(given.lower(), lowered, n=1, cutoff=0.6)
    return lowered[found[0]] if found else None


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """' Did you mean 'x'?' or the empty string: the tail of an error about a name."""
    guess = nearest(given, known)
    return f" Did you mean '{guess}'?" if guess else ""


class SegkitError(Exception):
    """Base of every deliberate error. `exit_code` is what the command line returns."""

    exit_code = 1


def revived(kind: str, message: str) -> SegkitError:
    """An error that another process told of by class name and message; its other fields are not known here."""
    found = globals().get(kind)
    if not (isinstance(found, type) and issubclass(found, SegkitError)):
        return SegkitError(message)
    error = found.__new__(found)
    error.args = (message,)
    return error


class InputError(SegkitError):
    """Something the user gave cannot be used."""

    exit_code = 2


class OptionError(InputError):
    """An option is unknown, has a wrong value, or does not combine with another."""

    @classmethod
    def unknown(cls, option: str, accepted: Iterable[str], where: str) -> OptionError:
        """For an option that `where` (e.g. "export to onnx") does not have."""
        names = sorted(accepted)
        listed = ", ".join(names) or "none"
        return cls(f"Unknown option '{option}' for {where}.{did_you_mean(option, names)} Accepted: {listed}.")

    @classmethod
    def invalid(cls, option: str, value: object, problem: str) -> OptionError:
        """For a known option whose value is refused; `problem` says what is wanted."""
        return cls(f"Option {option}={value!r} is not usable: {problem}.")


class SourceError(InputError):
    """A picture source is missing, empty or unreadable."""

    def __init__(self, source: object, problem: str) -> None:
        """`source` as the user gave it (shortened when long) and what is wrong with it."""
        text = str(source)
        self.source = source
        self.problem = problem
        super().__init__(f"Cannot read '{text if len(text) <= 200 else text[:197] + '...'}': {problem}.")


class ModelFileError(InputError):
    """A model file is missing, of another kind, or damaged."""

    def __init__(self, path: str | Path, problem: str) -> None:
        """The file and what it turned out to be."""
        self.path = Path(path)
        self.problem = problem
        super().__init__(f"Cannot load model '{path}': {problem}{'' if problem.endswith('?') else '.'}")


class UnsafeCheckpointError(ModelFileError):
    """A pickle refers to a global outside the safe list; nothing of it was executed."""

    def __init__(self, path: str | Path, name: str) -> None:
        """`name` is the dotted global, as written in the pickle."""
        self.name = name
        super().__init__(
            path,
            f"its pickle asks for '{name}', which is not part of a segmentation checkpoint; "
            "nothing was executed. Ask its author for a plain state dict or a safetensors file",
        )


class UnknownFormatError(InputError):
    """No installed plugin provides that format."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        """The name given and the names and aliases that exist."""
        names = sorted(known)
        self.name = name
        super().__init__(f"Unknown format '{name}'.{did_you_mean(name, names)} Known: {', '.join(names)}.")


class UnsupportedError(InputError):
    """A declared gap of a format."""

    def __init__(self, format_name: str, feature: str, kind: str, reason: str) -> None:
        """Format, feature, and the kind and reason its plugin declares."""
        self.format_name, self.feature, self.kind, self.reason = format_name, feature, kind, reason
        super().__init__(f"Format '{format_name}' does not support {feature} ({kind}): {reason.rstrip('.')}.")


class MissingDependencyError(InputError):
    """A package is needed and not installed, or not in its range of versions. segkit never installs anything itself."""

    def __init__(
        self,
        packages: Iterable[str],
        purpose: str,
        installed: Mapping[str, str] | None = None,
        commands: Mapping[str, str] | None = None,
    ) -> None:
        """Pip requirements that are not installed, or not in their range of versions; what needs them; the versions
        that are installed, by requirement; and the commands that bring what pip does not.
        """
        self.packages = list(packages)
        from_pip = [p for p in self.packages if p not in (commands or {})]
        pip = "pip install " + " ".join(f'"{p}"' if any(c in p for c in "<>[;~! ") else p for p in from_pip)
        self.install = " && ".join([pip] * bool(from_pip) + list(dict.fromkeys((commands or {}).values())))
        told = ", ".join(f"{p} ({v} is installed)" if (v := (installed or {}).get(p)) else p for p in self.packages)
        lacking = "" if installed else ", not installed here"
        super().__init__(f"{purpose} needs {told}{lacking}. Run: {self.install}")


class OutputError(InputError):
    """The target cannot be written."""

    def __init__(self, path: str | Path, problem: str) -> None:
        """Where, and why not."""
        self.path = Path(path)
        super().__init__(f"Cannot write '{path}': {problem}.")


class ExportError(SegkitError):
    """A conversion failed. `log` holds all that the toolchain printed (may be empty)."""

    def __init__(self, format_name: str, problem: str, log: str = "") -> None:
        """Format whose exporter failed, what happened, and the toolchain's output."""
        self.format_name, self.problem, self.log = format_name, problem, log
        super().__init__(f"Export to {format_name} failed: {problem.rstrip('.')}.")


class TrainingError(SegkitError):
    """A training cannot go on."""

    def __init__(self, problem: str, advice: str = "") -> None:
        """What happened, and what to do, with what was saved."""
        self.problem = problem
        super().__init__(f"Training failed: {problem.rstrip('.')}." + (f" {advice}" if advice else ""))


class PluginError(SegkitError):
    """A plugin is broken, incomplete, or claims a name that another one has."""

    def __init__(self, plugin: str, problem: str) -> None:
        """Entry point and distribution as far as they are known, and what is wrong."""
        self.plugin = plugin
        super().__init__(f"Plugin {plugin}: {problem.rstrip('.')}.")


class RuntimeFailure(SegkitError):  # noqa: N818 - "RuntimeError" is taken, "RuntimeFailureError" says it twice
    """A runtime failed while it loaded or ran a model."""

    def __init__(self, format_name: str, problem: str) -> None:
        """Format and the runtime's own words, first line."""
        self.format_name = format_name
        super().__init__(f"The {format_name} runtime failed: {problem.rstrip('.')}.")
