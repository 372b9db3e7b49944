"""Reads the pickle inside a checkpoint as data. Nothing named in it is ever imported or called.

`pickletools` splits the stream into opcodes; the small machine here rebuilds containers and numbers and puts inert
stand-ins where the pickle names classes. What is not on the list of known names is refused by name, and limits keep a
hostile file from exhausting time, memory or the C stack: keys are flat, so that no deep tuple is ever hashed; only flat
values are made into text, because a memo lets a few bytes stand for a tree without end; and what calls copy in all is
bounded by the size of the pickle.
"""

from __future__ import annotations

import pickletools
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class DamagedPickle(ValueError):  # noqa: N818 - read as "raise DamagedPickle"
    """The stream is no pickle that a checkpoint could hold; the text says why."""


class RefusedGlobal(ValueError):  # noqa: N818
    """The stream names something outside the safe list; the text is the dotted name."""


@dataclass(frozen=True)
class Global:
    """A dotted name found in the pickle: data, never looked up."""

    name: str


@dataclass(frozen=True)
class Method:
    """A reference to a method of a stand-in class: data, never callable."""

    name: str


@dataclass(eq=False)
class Inert:
    """Stand-in for an object: its class by name and the attributes that were stored."""

    kind: str
    state: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StorageRef:
    """A block of numbers stored beside the pickle: its type ("HalfStorage"), key, and claimed number of elements."""

    kind: str
    key: str
    count: int


@dataclass(frozen=True)
class TensorRef:
    """A tensor as claimed by the pickle; nothing is verified or allocated yet."""

    storage: StorageRef
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def read_pickle(data: bytes) -> Any:
    """The tree of a pickle: dict, list, tuple, numbers, text, and the stand-ins of this module.

    Raises:
        RefusedGlobal: it names something outside the safe list.
        DamagedPickle: it is cut off, or not what torch writes.
    """
    machine = _Machine(allowance=_ALLOWANCE + len(data))
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return machine.stack.pop()
            step = _STEPS.get(opcode.name)
            if step is None:
                raise DamagedPickle(f"its pickle uses the opcode {opcode.name}, which no checkpoint needs")
            step(machine, argument)
    except (DamagedPickle, RefusedGlobal):
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, struct.error) as error:
        raise DamagedPickle(f"its pickle is damaged ({type(error).__name__}: {str(error)[:120]})") from None
    raise DamagedPickle("its pickle is cut off")


class _Machine:
    def __init__(self, allowance: int) -> None:
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.allowance = allowance

    def spend(self, parts: tuple[Any, ...]) -> None:
        """Account for the values that a call is about to copy: a memo can pass the same large one again and again."""
        self.allowance -= sum(len(part) for part in parts if isinstance(part, str | bytes | list | tuple | dict))
        if self.allowance < 0:
            raise DamagedPickle("its pickle copies the same data again and again")

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items


# Elements that calls may copy beyond one for each byte of the pickle. Published checkpoints need a tenth of them.
_ALLOWANCE = 10_000

# Classes of these packages become inert stand-ins, whatever their name: versions move and rename them.
_STAND_IN = re.compile(r"(ultralytics|torch\.nn)(\.\w+)*\.[A-Za-z]\w*")
_PLAIN_OBJECTS = {"types.SimpleNamespace", "argparse.Namespace"}
_STORAGE = re.compile(r"torch\.(\w+Storage)")
_DATA = re.compile(r"torch\.(\w+Storage|b?float\d+|double|half|u?int\d+|long|bool|strided|\w+_format)")


def _refuse(what: Any) -> RefusedGlobal:
    return RefusedGlobal(what.name if isinstance(what, Global | Method) else type(what).__name__)


def _stands_in(name: str) -> bool:
    return name in _PLAIN_OBJECTS or _STAND_IN.fullmatch(name) is not None


def _named(module: str, name: str) -> Global:
    dotted = f"{module}.{name}"
    if dotted in _CALLS or _stands_in(dotted) or _DATA.fullmatch(dotted):
        return Global(dotted)
    raise RefusedGlobal(dotted)


def _call(function: Any, args: Any) -> Any:
    """What REDUCE asks for, if it is on the list."""
    if not isinstance(function, Global) or not isinstance(args, tuple):
        raise _refuse(function)
    if build := _CALLS.get(function.name):
        return build(*args)
    if args == () and _stands_in(function.name):
        return Inert(function.name)
    raise _refuse(function)


def _attribute(owner: Any, name: Any) -> Method:
    """`getattr(Detect, "forward")` in published files is a reference to a method: a name, and no more than that."""
    if not isinstance(owner, Global | Method) or not isinstance(name, str):
        raise RefusedGlobal("builtins.getattr")
    is_class = isinstance(owner, Global) and _stands_in(owner.name) and owner.name.rpartition(".")[2][0].isupper()
    if not is_class or name.startswith("_"):
        raise RefusedGlobal(f"{owner.name}.{name}")
    return Method(f"{owner.name}.{name}")


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_rest: Any) -> TensorRef:
    numbers = (offset, *size, *stride)
    if not isinstance(storage, StorageRef) or any(type(number) is not int or number < 0 for number in numbers):
        raise DamagedPickle("its pickle describes an impossible tensor")
    if len(size) != len(stride) or len(size) > 8:
        raise DamagedPickle("its pickle describes an impossible tensor")
    return TensorRef(storage, offset, tuple(size), tuple(stride))


def _numpy_scalar(dtype: Any, raw: Any = b"") -> float | int | None:
    code = dtype.state.get("code") if isinstance(dtype, Inert) else None
    letter = {"f8": "d", "f4": "f", "i8": "q", "i4": "i", "b1": "?"}.get(str(code))
    return struct.unpack(f"<{letter}", raw)[0] if letter else None


def _bytes(text: str, _encoding: str = "latin1") -> bytes:
    return text.encode("latin1")


def _pairs(items: Any = ()) -> dict[Any, Any]:
    if any(not isinstance(pair, list | tuple) or len(pair) != 2 for pair in items):
        raise DamagedPickle("its pickle makes a dict of something that is not pairs")
    return dict(_checked_pairs([part for pair in items for part in pair]))


def _joined(separator: str) -> Callable[..., str]:
    def join(*parts: Any) -> str:
        if any(not isinstance(part, str | int) for part in parts):
            raise DamagedPickle("its pickle makes text of something that is neither text nor a number")
        return separator.join(str(part) for part in parts)

    return join


_CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _pairs,
    "torch.Size": tuple,
    "torch.device": _joined(":"),
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_rest: tensor,
    "torch._utils._rebuild_parameter_with_state": lambda tensor, *_rest: tensor,
    "_codecs.encode": _bytes,
    "numpy.dtype": lambda code, *_rest: Inert("numpy.dtype", {"code": code}),
    **{f"{module}.getattr": _attribute for module in ("builtins", "__builtin__")},
    # A set's contents are never needed, so they are not hashed.
    **{f"{module}.{name}": tuple for module in ("builtins", "__builtin__") for name in ("set", "frozenset")},
    **{f"numpy.{module}.multiarray.scalar": _numpy_scalar for module in ("core", "_core")},
    **{
        f"{module}.{name}": _joined("/")
        for module in ("pathlib", "pathlib._local")
        for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    },
}


def _checked_pairs(flat: list[Any]) -> list[tuple[Any, Any]]:
    pairs = list(zip(flat[::2], flat[1::2], strict=True))
    for key, _ in pairs:
        parts = key if isinstance(key, tuple) else (key,)
        if any(not isinstance(part, str | int | float | bytes | None) for part in parts):
            raise DamagedPickle(f"its pickle has a {type(key).__name__} as a dict key")
    return pairs


def _build(machine: _Machine, _: Any) -> None:
    state = machine.stack.pop()
    target = machine.stack[-1]
    if isinstance(target, Inert):
        parts = state if isinstance(state, tuple) else (state,)
        machine.spend(parts)
        for part in parts:
            if isinstance(part, dict):
                target.state.update(part)
    elif not isinstance(target, dict):  # an OrderedDict may carry attributes such as _metadata: not needed
        raise _refuse(target)


def _new(machine: _Machine, _: Any) -> None:
    args = machine.stack.pop()
    kind = machine.stack.pop()
    if not isinstance(kind, Global) or not (args == () and _stands_in(kind.name)):
        raise _refuse(kind)
    machine.stack.append(Inert(kind.name))


def _reduce(machine: _Machine, _: Any) -> None:
    args = machine.stack.pop()
    if isinstance(args, tuple):
        machine.spend(args)
    machine.stack.append(_call(machine.stack.pop(), args))


def _global(machine: _Machine, argument: str) -> None:
    module, _, name = argument.partition(" ")
    machine.stack.append(_named(module, name))


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not (isinstance(module, str) and isinstance(name, str)):
        raise DamagedPickle("its pickle names something with what is not text")
    machine.stack.append(_named(module, name))


def _instance(_: _Machine, argument: str) -> None:
    raise RefusedGlobal(argument.replace(" ", "."))


def _persistent(machine: _Machine, _: Any) -> None:
    match machine.stack.pop():
        case ("storage", Global(name), str(key), _, int(count)) if match := _STORAGE.fullmatch(name):
            machine.stack.append(StorageRef(match[1], key, count))
        case _:
            raise DamagedPickle("its pickle refers to something that is not a block of numbers")


def _extension(_: _Machine, argument: int) -> None:
    raise RefusedGlobal(f"copyreg extension {argument}")


def _append(machine: _Machine, _: Any) -> None:
    item = machine.stack.pop()
    _sequence(machine).append(item)


def _extend(machine: _Machine, _: Any) -> None:
    items = machine.since_mark()
    _sequence(machine).extend(items)


def _sequence(machine: _Machine) -> list[Any]:
    if not isinstance(target := machine.stack[-1], list):
        raise DamagedPickle(f"its pickle appends to a {type(target).__name__}")
    return target


def _set_items(machine: _Machine, flat: list[Any]) -> None:
    if not isinstance(target := machine.stack[-1], dict):
        raise _refuse(target)
    target.update(_checked_pairs(flat))


def _set_item(machine: _Machine, _: Any) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _set_items(machine, [key, value])


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: Any) -> None:
        items = machine.stack[-count:]
        if len(items) < count:
            raise DamagedPickle("its pickle is damaged (a tuple of nothing)")
        machine.stack[-count:] = [tuple(items)]

    return step


def _push(value: Callable[[], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(value())


def _literal(machine: _Machine, argument: Any) -> None:
    machine.stack.append(argument)


def _put(machine: _Machine, argument: int) -> None:
    machine.memo[argument] = machine.stack[-1]


def _since_mark(make: Callable[[list[Any]], Any]) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: Any) -> None:
        made = make(machine.since_mark())  # first: it brings the stack below the mark back
        machine.stack.append(made)

    return step


_STEPS: dict[str, Callable[[_Machine, Any], Any]] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, _: None),
    # Not LONG4: its numbers of more than 255 bytes have no place in a checkpoint, and Python refuses to print them.
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "INT", "LONG", "BINFLOAT", "FLOAT"), _literal),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE"), _literal),
    **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING", "STRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), _literal),
    "NONE": _push(lambda: None),
    "NEWTRUE": _push(lambda: True),
    "NEWFALSE": _push(lambda: False),
    "EMPTY_DICT": _push(dict),
    "EMPTY_LIST": _push(list),
    "EMPTY_SET": _push(list),
    "EMPTY_TUPLE": _push(tuple),
    "MARK": lambda machine, _: machine.mark(),
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "TUPLE": _since_mark(tuple),
    "LIST": _since_mark(list),
    "FROZENSET": _since_mark(tuple),
    "DICT": _since_mark(lambda flat: dict(_checked_pairs(flat))),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "APPEND": _append,
    "APPENDS": _extend,
    "ADDITEMS": _extend,
    "SETITEM": _set_item,
    "SETITEMS": lambda machine, _: _set_items(machine, machine.since_mark()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _put),
    "MEMOIZE": lambda machine, _: _put(machine, len(machine.memo)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, i: machine.stack.append(machine.memo[i])),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "INST": _instance,
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), _extension),
    "REDUCE": _reduce,
    "NEWOBJ": _new,
    "BUILD": _build,
    "BINPERSID": _persistent,
}
