"""Which of the tensors in a nested PyTorch file are the weights, and what each is called.

The rules, in their order; each rule that applies leaves a note:

1. ``--root KEY`` names the part to read (``--root .`` is all of it); no other rule applies then.
2. What training keeps in addition to the weights (:data:`TRAINING`) is left out.
3. While one key of :data:`WRAPPERS` holds a nest of tensors, only what is under it is read; a
   list of one nest is that nest.
4. A prefix that every name shares and that only says how the model was run
   (:data:`PREFIXES`) is taken off.
5. A tensor that is another one under a second name (tied weights) is counted once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from kcomplexity.errors import CorruptCheckpointError, SpecError
from kcomplexity.loaders.notes import read_under, training_left_out
from kcomplexity.loaders.torch_objects import TensorRef
from kcomplexity.text import plural, printable, shorten

#: Keys under which checkpoints keep the weights, the most specific first.
_WRAPPERS = "state_dict model_state_dict model_state model module network net weights params"
WRAPPERS = tuple(_WRAPPERS.split())
#: Keys under which training keeps other things; so are all that have "optimizer" as a word.
_TRAINING = """
    amp grad_scaler loops lr_scheduler lr_schedulers rng_state rng_states cuda_rng_state scaler
    scheduler schedulers random_state callbacks opt_state
"""
TRAINING = frozenset(_TRAINING.split())
#: DataParallel and torch.compile wrap a model in one more module.
PREFIXES = ("module.", "_orig_mod.")

_OPTIMIZER = re.compile(r"(?:^|_)(?:optims?|optimi[sz]ers?)(?=_|\d|$)")
_MOST_DEPTH = 64
_MOST_VISITS = 4_000_000
_MOST_NAME = 4096
#: Letters of all names, as often as they are visited; a hundred thousand tensors take a third.
_MOST_LETTERS = 1 << 27
#: Letters of a text among the tensors that is kept as metadata.
_MOST_FACT = 200


@dataclass
class ChosenTensors:
    """The tensors of a file, in the order of its nest."""

    tensors: dict[str, TensorRef] = field(default_factory=dict)
    #: Numbers and texts at the top of the file.
    metadata: dict[str, str] = field(default_factory=dict)
    #: What was left out or renamed.
    notes: list[str] = field(default_factory=list)


def find_tensors(
    tree: Any, root: str | None, alone: str, where: str, wrappers: Sequence[str] = WRAPPERS
) -> ChosenTensors:
    """Find the tensors to read in what a pickle describes.

    Parameters
    ----------
    tree : object
        Of containers, scalars and :class:`TensorRef`.
    root : str or None
        Keys joined with dots, as the user gave them.
    alone : str
        What to call a tensor that is the whole file.
    where : str
        The file, printable, to open the message of an error.
    wrappers : sequence of str
        Keys that hold the weights alone, for rule 3.
    """
    chosen = ChosenTensors()
    walk = _Walk(where)
    for key, value in _items(tree) if isinstance(tree, dict) else ():
        if isinstance(value, bool | int | float | str) and len(str(value)) <= _MOST_FACT:
            chosen.metadata[str(key)[:_MOST_FACT]] = str(value)
    if root is not None:
        nest, taken = _descend(tree, root, walk), root
    else:
        nest, taken = _unwrap(tree, walk, wrappers, chosen.notes)
    prefix = _prefix(walk.tensors(nest), chosen.notes) if root is None else ""
    unnamed = taken.rpartition(".")[2].strip(".") or alone
    named = ((name.removeprefix(prefix) or unnamed, ref) for name, ref in walk.tensors(nest))
    _keep_once(named, chosen, where)
    return chosen


class _Walk:
    """Walks over nests that may share parts: visits and letters are counted, depth is bounded."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._visits = 0
        self._letters = 0

    def tensors(self, nest: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, TensorRef]]:
        """Yield the tensors below `nest` with their keys joined by dots."""
        self._visits += 1
        self._letters += len(name)
        many = self._visits > _MOST_VISITS or self._letters > _MOST_LETTERS
        if many or depth > _MOST_DEPTH or len(name) > _MOST_NAME:
            raise CorruptCheckpointError(
                f"{self.where}: the nest at {shorten(name)!r} is deeper or larger than any "
                "checkpoint's; it may contain itself"
            )
        if isinstance(nest, TensorRef):
            yield name, nest
        for key, value in _items(nest):
            if isinstance(value, TensorRef | dict | list | tuple):
                yield from self.tensors(value, f"{name}.{key}" if name else str(key), depth + 1)

    def count(self, nest: Any) -> int:
        return sum(1 for _ in self.tensors(nest))


def _items(nest: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(nest, dict):
        yield from nest.items()
    elif isinstance(nest, list | tuple):
        yield from enumerate(nest)


def _descend(tree: Any, root: str, walk: _Walk) -> Any:
    nest = tree
    left = root.strip(".")
    while left:
        children = {str(key): value for key, value in _items(nest)}
        # Keys may hold dots themselves: the longest that fits is taken.
        fitting = [key for key in children if left == key or left.startswith(f"{key}.")]
        if not fitting:
            keys = [key for key, value in children.items() if walk.count(value)]
            known = ", ".join(shorten(key) for key in keys[:8])
            raise SpecError(
                f"{walk.where}: no {shorten(left)!r} for the root {printable(root)!r}; "
                f"there, tensors are under: {known or 'nothing'}"
            )
        key = max(fitting, key=len)
        nest, left = children[key], left[len(key) + 1 :]
    return nest


def _unwrap(tree: Any, walk: _Walk, wrappers: Sequence[str], notes: list[str]) -> tuple[Any, str]:
    """Return the nest that holds the weights, and the keys that lead there."""
    nest, path = tree, ""
    for _ in range(_MOST_DEPTH):
        if isinstance(nest, list | tuple) and len(nest) == 1 and isinstance(nest[0], dict):
            nest, path = nest[0], f"{path}.0" if path else "0"
        if not isinstance(nest, dict):
            break
        counts = {key: walk.count(value) for key, value in nest.items()}
        training = [key for key, n in counts.items() if n and is_training(key)]
        if training:
            nest = {key: value for key, value in nest.items() if key not in training}
            notes.append(_left_out(training, counts, path))
        inner = next((key for key in wrappers if counts.get(key) and _is_nest(nest[key])), None)
        if inner is None:
            break
        others = [key for key in nest if key != inner and counts[key]]
        if others:
            notes.append(_left_out(others, counts, path, reason=f"outside {inner!r}"))
        nest, path = nest[inner], f"{path}.{inner}" if path else inner
    if path:
        notes.append(read_under(path))
    return nest, path


def _is_nest(value: Any) -> bool:
    """Whether tensors under a wrapper's key are a model's: those in a mapping, or in one of one."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    return isinstance(value, dict)


def is_training(key: Any) -> bool:
    """Whether training keeps something other than weights under this key."""
    name = str(key).lower()
    return name in TRAINING or _OPTIMIZER.search(name.partition(".")[0]) is not None


def _left_out(keys: list[Any], counts: dict[Any, int], path: str, **reason: str) -> str:
    named = ", ".join(shorten(key) for key in keys[:3]) + (", ..." if len(keys) > 3 else "")
    root = f"{path}.{keys[0]}" if path else str(keys[0])
    return training_left_out(sum(counts[key] for key in keys), named, shorten(root), **reason)


def _prefix(named: Iterable[tuple[str, TensorRef]], notes: list[str]) -> str:
    """Return the longest of :data:`PREFIXES` with which every name starts."""
    first, second = PREFIXES
    fitting: set[str] | None = None
    for name, _ in named:
        known = {first + second, first, second} if fitting is None else fitting
        fitting = {prefix for prefix in known if name.startswith(prefix) and name != prefix}
        if not fitting:
            break
    taken = max(fitting or {""}, key=len)
    notes.extend(
        f"every name starts with {prefix!r}, which is taken off"
        for prefix in PREFIXES
        if prefix in taken
    )
    return taken


def _keep_once(named: Iterable[tuple[str, TensorRef]], chosen: ChosenTensors, where: str) -> None:
    first: dict[str, str] = {}
    # Nests that share parts may have more names than memory holds: all are counted, one is named.
    n_tied, example = 0, ("", "")
    for name, ref in named:
        identity = ref.identity
        if name in chosen.tensors:
            raise CorruptCheckpointError(f"{where}: two tensors are called {printable(name)}")
        if identity in first and ref.n_values:
            n_tied += 1
            example = example if n_tied > 1 else (name, first[identity])
            continue
        first[identity] = name
        chosen.tensors[name] = ref
    if n_tied:
        second, name = example
        chosen.notes.append(
            f"{plural(n_tied, 'tensor')} {'is' if n_tied == 1 else 'are'} another one under "
            f"a second name, such as {shorten(second)} = {shorten(name)}: counted once"
        )
