"""Pickles as data: the opcodes are followed, and nothing that a pickle names is ever called.

A pickle is a program for a small stack machine, and ``pickle`` runs it: whatever it imports, it
may call. The machine here builds containers and numbers only. A global that a pickle asks for must
be in a table of :data:`Handler`, plain functions that turn arguments into descriptions; any other
global is refused by its name.

Time and memory are bounded whatever the pickle says: by its length, by the number of its steps and
of the items that handlers copy, and by keys that are scalars (hashing a deep tuple can overflow
the stack). Objects may share parts or contain themselves: code that walks over them must count.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kcomplexity.errors import CorruptCheckpointError, ForbiddenGlobalError
from kcomplexity.files.pickle_reader import PickleReader
from kcomplexity.text import shorten

#: Steps and copied items; a tensor takes some 40.
MAX_STEPS = 4_000_000
#: What a set and what a handler makes take more than a step's memory, some 70 bytes.
_EXTRA = 4

#: Characters in the name of a global, which is joined whenever it is called.
_MOST_NAME = 1024
#: Wider integers than any counter: their digits are slow to write, and Python refuses to.
_MOST_BITS = 256
_MOST_KEY_BITS = 60

#: Turns the arguments of a call into a description. It must not keep what it does not know.
Handler = Callable[[tuple[Any, ...]], Any]


@dataclass(frozen=True)
class Global:
    """A name that a pickle refers to; it is not imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


def read_pickle(
    reader: PickleReader,
    where: str,
    handlers: Mapping[str, Handler],
    persistent: Handler | None = None,
) -> Any:
    """Follow the next pickle to its end and return what it describes.

    Parameters
    ----------
    reader : PickleReader
        Left after the pickle.
    where : str
        What it is and in which file, printable, to begin an error message.
    handlers : mapping of str to Handler
        ``module.name`` -> what a call of it makes. A name that ends in ``*`` admits all that start
        so.
    persistent : Handler, optional
        What a persistent id means; called with one tuple.

    Returns
    -------
    object
        None, bool, int, float, str, bytes, list, tuple, dict, set, Global, or what a handler made.

    Raises
    ------
    ForbiddenGlobalError
        If it asks for a global that no handler admits.
    CorruptCheckpointError
        If it is not a pickle, is cut, too long, or does what a checkpoint's pickle never does.
    """
    machine = _Machine(where, handlers, persistent)
    try:
        # Typed as a file; the reader has every method that is used.
        for opcode, arg, _ in pickletools.genops(reader):  # type: ignore[arg-type]
            machine.step(opcode.name, arg)
        return machine.result()
    except (CorruptCheckpointError, ForbiddenGlobalError):
        raise
    except _DAMAGE as error:
        what = shorten(error, 120)
        raise CorruptCheckpointError(f"{where}: not a whole pickle: {what}") from None


class _Mark:
    """Begins a run of items on the stack."""


#: What pickletools raises on damaged bytes; the machine's own stack runs empty on foreign ones.
_DAMAGE = (ArithmeticError, LookupError, ValueError, TypeError, AttributeError, RecursionError)
_MARK: Final = _Mark()
_SCALARS = (str, int, float, bytes, type(None))
#: Opcodes whose argument is the object.
_VALUES = """
    INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING
    BINBYTES SHORT_BINBYTES BINBYTES8 UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 BYTEARRAY8
"""
_PUSHED = frozenset(_VALUES.split())
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
    f"EMPTY_{kind.__name__.upper()}": kind for kind in (list, dict, tuple, set)
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUT = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_GET = frozenset({"GET", "BINGET", "LONG_BINGET"})
_NOTHING = frozenset({"PROTO", "FRAME", "STOP"})


class _Machine:
    """The stack machine of one pickle."""

    def __init__(
        self, where: str, handlers: Mapping[str, Handler], persistent: Handler | None
    ) -> None:
        self._where = where
        self._handlers = handlers
        self._wild = tuple(name[:-1] for name in handlers if name.endswith("*"))
        self._persistent = persistent
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._steps = 0

    def result(self) -> Any:
        if len(self._stack) != 1 or self._stack[0] is _MARK:
            raise ValueError(f"it ends with {len(self._stack)} objects instead of one")
        return self._stack[0]

    def step(self, name: str, arg: Any) -> None:
        self._spend(1)
        if isinstance(arg, int) and arg.bit_length() > _MOST_BITS:
            raise ValueError(f"an integer of {arg.bit_length()} bits")
        if name in _PUSHED:
            self._stack.append(bytes(arg) if isinstance(arg, bytearray) else arg)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self._spend(_EXTRA if name == "EMPTY_SET" else 0)
            self._stack.append(_EMPTY[name]())
        elif name in _PUT:
            self._memo[as_key(arg)] = self._stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._stack[-1]
        elif name in _GET:
            self._stack.append(self._memo[arg])
        elif name in _TUPLES:
            self._stack.append(tuple(self._pop_many(_TUPLES[name])))
        elif name not in _NOTHING:
            getattr(self, f"_do_{name.lower()}", self._refuse)(name, arg)

    def _spend(self, n: int) -> None:
        self._steps += n
        if self._steps > MAX_STEPS:
            raise CorruptCheckpointError(
                f"{self._where}: more than {MAX_STEPS:,} steps; no checkpoint takes so many"
            )

    def _refuse(self, name: str, _arg: Any) -> None:
        raise CorruptCheckpointError(
            f"{self._where}: opcode {name} has no place in a checkpoint, and is not followed"
        )

    # --- The stack -----------------------------------------------------------------------------

    def _pop(self) -> Any:
        top = self._stack.pop()
        if top is _MARK:
            raise ValueError("an opcode finds a mark instead of an object")
        return top

    def _pop_many(self, n: int) -> list[Any]:
        return [self._pop() for _ in range(n)][::-1]

    def _pop_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while (top := self._stack.pop()) is not _MARK:
            items.append(top)
        self._spend(len(items))
        return items[::-1]

    def _do_mark(self, _name: str, _arg: Any) -> None:
        self._stack.append(_MARK)

    def _do_pop(self, _name: str, _arg: Any) -> None:
        self._stack.pop()

    def _do_pop_mark(self, _name: str, _arg: Any) -> None:
        self._pop_to_mark()

    def _do_dup(self, _name: str, _arg: Any) -> None:
        self._stack.append(self._stack[-1])

    # --- Containers ----------------------------------------------------------------------------

    def _do_tuple(self, _name: str, _arg: Any) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def _do_list(self, _name: str, _arg: Any) -> None:
        self._stack.append(self._pop_to_mark())

    def _do_frozenset(self, _name: str, _arg: Any) -> None:
        self._spend(_EXTRA)
        self._stack.append({as_key(item) for item in self._pop_to_mark()})

    def _do_dict(self, _name: str, _arg: Any) -> None:
        items = self._pop_to_mark()
        self._stack.append({})
        self._set_items(items)

    def _do_append(self, _name: str, _arg: Any) -> None:
        item = self._pop()
        self._top(list).append(item)

    def _do_appends(self, _name: str, _arg: Any) -> None:
        items = self._pop_to_mark()
        self._top(list).extend(items)

    def _do_additems(self, _name: str, _arg: Any) -> None:
        items = self._pop_to_mark()
        self._top(set).update(as_key(item) for item in items)

    def _do_setitem(self, _name: str, _arg: Any) -> None:
        self._set_items(self._pop_many(2))

    def _do_setitems(self, _name: str, _arg: Any) -> None:
        self._set_items(self._pop_to_mark())

    def _set_items(self, items: list[Any]) -> None:
        target = self._top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[as_key(key)] = value

    def _top(self, kind: type[Any]) -> Any:
        top = self._stack[-1]
        if not isinstance(top, kind):
            raise TypeError(f"items for a {kind.__name__} go to a {type(top).__name__}")
        return top

    # --- What other unpicklers would call ------------------------------------------------------

    def _do_global(self, _name: str, arg: str) -> None:
        self._stack.append(self._admitted(*arg.split(" ", 1)))

    def _do_stack_global(self, _name: str, _arg: Any) -> None:
        self._stack.append(self._admitted(*self._pop_many(2)))

    def _do_inst(self, _name: str, arg: str) -> None:
        function = self._admitted(*arg.split(" ", 1))
        self._call(function, tuple(self._pop_to_mark()))

    def _do_obj(self, _name: str, _arg: Any) -> None:
        function, *args = self._pop_to_mark()
        self._call(function, tuple(args))

    def _do_reduce(self, _name: str, _arg: Any) -> None:
        self._call(*self._pop_many(2))

    _do_newobj = _do_reduce

    def _do_newobj_ex(self, _name: str, _arg: Any) -> None:
        function, args, _ = self._pop_many(3)
        self._call(function, args)

    def _do_build(self, _name: str, _arg: Any) -> None:
        # Attributes of a dict (``_metadata`` of a state dict) or of a parameter say nothing of
        # its values; those of a plain record are all it has, and its handler made it empty.
        state = self._pop()
        if isinstance(self._stack[-1], Record) and isinstance(state, dict):
            self._spend(len(state))
            self._stack[-1].update(state)

    def _do_persid(self, _name: str, arg: str) -> None:
        self._persist(arg)

    def _do_binpersid(self, _name: str, _arg: Any) -> None:
        self._persist(self._pop())

    def _persist(self, pid: Any) -> None:
        if self._persistent is None or not isinstance(pid, tuple):
            raise ValueError(f"a persistent id, a {type(pid).__name__}, means nothing here")
        self._stack.append(self._persistent(pid))

    def _admitted(self, module: Any, name: Any) -> Global:
        # The text of a tuple whose parts are shared can be longer than any memory: none is made.
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError(f"a {type(module).__name__} and a {type(name).__name__} name a global")
        if len(module) + len(name) > _MOST_NAME:
            raise ValueError(f"the name of a global takes {len(module) + len(name)} characters")
        wanted = Global(module, name)
        if str(wanted) not in self._handlers and not str(wanted).startswith(self._wild or ("\0",)):
            raise ForbiddenGlobalError(
                f"{self._where} asks for {shorten(wanted, 80)}, which is neither a tensor nor a "
                "container; nothing of it was run. If you trust the file, load it with what wrote "
                "it and save its state_dict alone"
            )
        return wanted

    def _call(self, function: Any, args: Any) -> None:
        if not isinstance(function, Global) or not isinstance(args, tuple):
            raise TypeError(f"a {type(function).__name__} is called")
        self._spend(_EXTRA + sum(len(arg) for arg in args if isinstance(arg, list | dict | set)))
        handler = self._handlers.get(str(function))
        if handler is None:
            prefix = next(wild for wild in self._wild if str(function).startswith(wild))
            handler = self._handlers[f"{prefix}*"]
        self._stack.append(handler(args))


def as_key(key: Any) -> Any:
    """Return `key` if it is safe as a key of a dict or a member of a set.

    Python's hash of an integer is its rest modulo 2**61 - 1, so wide ones can be made to collide
    by the million; those below 2**60 are their own hashes. Texts are hashed with a secret.

    Raises
    ------
    TypeError, ValueError
        If it is a container (hashing a deep tuple can overflow the stack), or too wide.
    """
    if not isinstance(key, _SCALARS):
        raise TypeError(f"a {type(key).__name__} is used as a key")
    if isinstance(key, int) and key.bit_length() > _MOST_KEY_BITS:
        raise ValueError(f"an integer of {key.bit_length()} bits is used as a key")
    return key


class Record(dict[Any, Any]):
    """An object as its attributes alone."""
