"""The pickle of a state dict, read as a text of some thirty words and never run.

A pickle is a program that may call any function and ask for any memory. `unpickled` knows the words that torch writes, makes
plain values of them, and calls nothing. What it makes takes no more memory than a fixed multiple of what it read.
"""

from __future__ import annotations

import pickletools
from typing import IO, Any, NamedTuple

from ...safetensors import is_count
from ...shown import quoted, shown_word
from .stored import MOST_TENSORS

_STORAGES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": "bfloat16",
    "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?",
}  # fmt: skip
_ORDERED_DICT = ("collections", "OrderedDict")
_REBUILD_TENSOR = (("torch._utils", "_rebuild_tensor"), ("torch._utils", "_rebuild_tensor_v2"))
_REBUILD_PARAMETER = ("torch._utils", "_rebuild_parameter")


class Storage(NamedTuple):
    """Values that tensors may share, as a pickle calls them."""

    dtype: str
    key: str
    size: int  # in values


class View(NamedTuple):
    """A part of a storage, or all of it."""

    storage: Storage
    start: int  # where a view of the storage begins in it, in values
    size: int


class TorchTensor(NamedTuple):
    """A tensor as a pickle says it: nothing in it is checked."""

    view: View
    offset: int
    shape: tuple[Any, ...]
    strides: tuple[Any, ...]


class _Global(NamedTuple):
    """A name that a pickle asks for: it stands for itself."""

    module: str
    name: str


class RefusedError(ValueError):
    """The file asks for something that is no tensor."""


_MARK = object()
_VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (), "MARK": _MARK}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list}
_WITH_VALUE = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def unpickled(stream: IO[bytes]) -> tuple[Any, dict[str, Storage]]:
    """Return what a pickle of tensors stands for, and by their keys the storages that it refers to.

    Each of its words adds at most one value or moves values that are there; nothing is copied, hashed or shown whole, so
    time and memory grow with the length of the pickle alone.

    Raises:
        RefusedError: it asks for anything but tensors.
        ValueError and other errors: it is damaged.
    """
    machine = _Machine()
    for word, value, position in pickletools.genops(stream):
        if word.name == "STOP":
            if len(machine.stack) != 1:
                raise ValueError(f"its pickle leaves {len(machine.stack)} values")
            return machine.stack.pop(), machine.storages
        if not machine.moves(word.name, value) and not machine.makes(word.name, value):
            raise RefusedError(f"its pickle says {word.name} at byte {position}, which no state dict needs")
    raise ValueError("its pickle has no end")


class _Machine:
    """The stack of a pickle, and what its words do with it; each method returns whether it knows the word."""

    def __init__(self):
        self.stack, self.memo, self.storages, self.copied = [], {}, {}, 0

    def moves(self, name, value):
        """Plain values, and those that are there already."""
        stack, memo = self.stack, self.memo
        if name in _WITH_VALUE:
            if name in ("BINSTRING", "SHORT_BINSTRING"):  # Python 2, whose text pickletools shows as latin-1
                value = value.encode("latin-1").decode("utf-8")
            stack.append(value)
        elif name in _VALUES:
            stack.append(_VALUES[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "TUPLE":
            stack.append(tuple(_since_mark(stack)))
        elif name in _TUPLES:
            stack.append(tuple(_popped(stack, _TUPLES[name])))
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if value is None else value] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[value])
        else:
            return name in ("PROTO", "FRAME")
        return True

    def makes(self, name, value):
        """What is made of others."""
        stack = self.stack
        if name in ("GLOBAL", "STACK_GLOBAL"):
            stack.append(_known(value.split(" ", 1) if name == "GLOBAL" else _popped(stack, 2)))
        elif name in ("SETITEM", "SETITEMS"):
            pairs = _popped(stack, 2) if name == "SETITEM" else _since_mark(stack)
            _set_items(stack[-1], pairs[::2], pairs[1::2])
        elif name in ("APPEND", "APPENDS"):
            values = _popped(stack, 1) if name == "APPEND" else _since_mark(stack)
            if type(stack[-1]) is not list:
                raise RefusedError(f"it appends to a {type(stack[-1]).__name__}")
            stack[-1] += values
        elif name == "REDUCE":
            function, arguments = _popped(stack, 2)
            if function == _ORDERED_DICT and arguments:
                self.copied += len(arguments[0])  # the one copy: the same list may be copied again and again
                if self.copied > MOST_TENSORS:
                    raise ValueError(f"its dictionaries have more than {MOST_TENSORS:,} keys")
            stack.append(_reduced(function, arguments))
        elif name == "BUILD":  # of an OrderedDict: versions of the modules, which are no values
            owner, state = _popped(stack, 2)
            if not isinstance(owner, dict) or not isinstance(state, dict):
                raise RefusedError(f"it sets attributes of {_name(owner)}")
            stack.append(owner)
        elif name == "BINPERSID":
            view = _view(stack.pop())
            if self.storages.setdefault(view.storage.key, view.storage) != view.storage:
                raise ValueError(f"storage {quoted(view.storage.key)} has two types or sizes")
            stack.append(view)
        elif name == "INST":
            _known(value.split(" ", 1))
            raise RefusedError(f"it makes an instance of {quoted(value)}")
        else:
            return False
        return True


def _popped(stack, count):
    if len(stack) < count:
        raise ValueError("its pickle takes values that are not there")
    values = stack[len(stack) - count :]
    del stack[len(stack) - count :]
    return values


def _since_mark(stack):
    values = []
    while (value := stack.pop()) is not _MARK:
        values.append(value)
    return values[::-1]


def _set_items(target, keys, values):
    if type(target) is not dict or len(keys) != len(values):
        raise RefusedError(f"it sets items of a {type(target).__name__}")
    for key, value in zip(keys, values):
        if type(key) not in (str, int):
            raise RefusedError(f"a dictionary has the key {quoted(key)}")
        target[key] = value


def _known(parts):
    module, name = parts
    if type(module) is not str or type(name) is not str:
        raise RefusedError(f"it asks for {quoted(name)} of {quoted(module)}")
    if (module, name) in (_ORDERED_DICT, *_REBUILD_TENSOR, _REBUILD_PARAMETER) or (
        module == "torch" and name in _STORAGES
    ):
        return _Global(module, name)
    raise RefusedError(f"it asks for {shown_word(f'{module}.{name}')}, which is no tensor")


def _reduced(function, arguments):
    """Return what a call stands for."""
    if isinstance(function, _Global) and type(arguments) is tuple:
        if function == _ORDERED_DICT and len(arguments) <= 1:  # with pairs: Python 2
            made = {}
            for pair in arguments[0] if arguments else ():
                _set_items(made, pair[:1], pair[1:])
            return made
        if function in _REBUILD_TENSOR and len(arguments) >= 4:
            # `requires_grad`, hooks and metadata follow: they are no values
            view, offset, shape, strides = arguments[:4]
            if isinstance(view, View) and type(shape) is tuple and type(strides) is tuple:
                return TorchTensor(view, offset, shape, strides)
        if function == _REBUILD_PARAMETER and arguments and isinstance(arguments[0], TorchTensor):
            return arguments[0]
    raise RefusedError(f"it calls {_name(function)} with {quoted(arguments)}")


def _name(value):
    return ".".join(value) if isinstance(value, _Global) else quoted(value)


def _view(saved_id):
    """Return what `("storage", type, key, device, size, (key, start, size) of a view or None)` refers to."""
    if type(saved_id) is tuple and len(saved_id) in (5, 6) and saved_id[0] == "storage":
        _, kind, key, _, size, *view = saved_id
        start, end = 0, size
        if view and type(view[0]) is tuple and len(view[0]) == 3 and all(map(is_count, (size, *view[0][1:]))):
            start, end = view[0][1], view[0][1] + view[0][2]
        elif view and view[0] is not None:
            end = None
        if isinstance(kind, _Global) and kind.name in _STORAGES and type(key) in (str, int) and is_count(size):
            if end is None or end > size:
                raise ValueError(f"storage {quoted(key)} of {size} values has the view {quoted(view[0])}")
            return View(Storage(_STORAGES[kind.name], str(key), size), start, end - start)
    raise RefusedError(f"it refers to {quoted(saved_id)}, which is no storage of a tensor")
