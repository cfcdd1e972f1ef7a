"""Controls: what the same measure gives when something about the weights is left to chance.

A :class:`Control` is a recipe for seeded replicate tensors that run through the same pipeline as
the tensor itself: shuffled (everything kept but the order), with random signs (magnitudes kept in
place), or drawn anew as at initialisation. Which control answers which question:

* any order at all: ``shuffle``; order along rows or columns: ``shuffle-rows``, ``shuffle-cols``;
* the sign pattern, in sign views: ``signs``;
* the histogram: ``init:KIND``.

``name[:N]`` gives N replicates. Replicate i depends on the seed, the kind, the tensor's name and i
alone, so ``shuffle:5`` is the beginning of ``shuffle:19``, and a tensor has the same replicates
alone as among others: several laid end to end are controlled each by itself.

To add one: a frozen dataclass deriving from :class:`Control` whose fields are its words in the
text (``init:KIND``), registered at the end of this module, or by an entry point in the group
``kcomplexity.controls`` of your package.
"""

from __future__ import annotations

import hashlib
import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from functools import partial
from io import BufferedRandom
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from kcomplexity.checkpoint import ArrayTensor, FileSource, StoredTensor, Tensor
from kcomplexity.derived import (
    Law,
    Reinit,
    SignFlipped,
    generator,
    origins,
    packed,
    rebuilt,
    stored_words,
)
from kcomplexity.errors import SpecError, UnmeasurableError
from kcomplexity.parallel import FRAME, LEAF, Cut, Every, Failed, Piece, State, fold, leaf_sums
from kcomplexity.pool import Pool
from kcomplexity.registry import Registry

__all__ = [
    "CONTROLS",
    "Control",
    "ControlResult",
    "Init",
    "Shuffle",
    "ShuffleCols",
    "ShuffleRows",
    "Signs",
    "control_record",
    "control_statistics",
    "parse_control",
    "unmeasured_control",
]

Words = NDArray[Any]
#: Fewest replicates with a z: a standard deviation of four has an error of some 40 %.
_FEWEST_FOR_Z = 5
#: 999 replicates tell p down to .001; more than that says nothing more and takes days.
_MOST = 999


@dataclass(frozen=True)
class Control(ABC):
    """Base of every control; the fields of a subclass are the words of its text.

    Attributes
    ----------
    n : int
        Replicates, 1 to 999.
    """

    n: int = field(default=_FEWEST_FOR_Z, kw_only=True)

    #: One line for listings.
    summary: ClassVar[str]
    #: Whether weights only trade places: a view's encoder for the tensor then holds for its
    #: replicates, and estimators that see no positions are not repeated.
    keeps_values: ClassVar[bool]

    def __post_init__(self) -> None:
        if not 1 <= self.n <= _MOST:
            raise SpecError(f"{self}: expected 1 to {_MOST} replicates, e.g. {self.kind}:5")

    def __str__(self) -> str:
        return f"{self.kind}:{self.n}"

    @property
    def kind(self) -> str:
        """The canonical text without the number of replicates, e.g. ``"init:torch"``."""
        words = [str(getattr(self, f.name)) for f in _words_of(type(self))]
        return ":".join([CONTROLS.name_of(type(self)), *words])

    def key(self, tensor: Tensor, seed: int, i: int) -> int:
        """Return the 128-bit key of replicate `i` of one tensor."""
        text = f"{seed}\0{self.kind}\0{tensor.name}\0{i}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")

    @abstractmethod
    def changes(self, tensor: Tensor) -> bool:
        """Whether the control means anything for a tensor that is not made from others."""

    def applies(self, tensor: Tensor) -> bool:
        """Whether replicates can differ from `tensor`; those that cannot are `tensor` itself."""
        return any(self.changes(origin) for origin in origins(tensor))

    @abstractmethod
    def replicates(self, tensor: Tensor, seed: int, pool: Pool) -> Generator[Tensor, None, None]:
        """Yield `n` replicates, each of which lives until the next is asked for.

        Parameters
        ----------
        tensor : Tensor
            Addressable. What is laid end to end is controlled member by member, each by its own
            name; members that the control does not change stay as they are, so that sums over a
            whole network are complete.
        seed : int
        pool : Pool
            Its budget counts what a replicate holds in memory; its temporary folder takes what is
            too big for that. Close the generator to give both back early.

        Raises
        ------
        UnmeasurableError
            If weights that are not finite leave nothing to match.
        """


def parse_control(text: str) -> Control:
    """Parse ``name[:word][:N]``.

    Raises
    ------
    SpecError
        If it names no control, or a word or a number is missing, wrong or too much.

    Examples
    --------
    >>> str(parse_control("shuffle"))
    'shuffle:5'
    >>> parse_control("INIT:torch:8").kind
    'init:torch'
    """
    name, *given = text.strip().lower().split(":")
    cls = CONTROLS.lookup(name)
    words = _words_of(cls)
    usage = ":".join([name, *(f.name.upper() for f in words)]) + "[:N]"
    if len(given) > len(words) + 1:
        raise SpecError(f"control {text!r}: {given[-1]!r} is one word too many: expected {usage}")
    # A word that is missing is an empty one to its class, which tells what it may be.
    values: dict[str, Any] = {f.name: "" for f in words if f.default is MISSING}
    values |= {f.name: word for f, word in zip(words, given, strict=False)}
    if len(given) > len(words):
        if not given[-1].isdecimal():
            raise SpecError(f"control {text!r}: {given[-1]!r} is no number: expected {usage}")
        values["n"] = int(given[-1])
    return cls(**values)


def _words_of(cls: type[Control]) -> list[Field[Any]]:
    return [f for f in fields(cls) if f.name != "n"]


# --- Shuffles: the values stay, their order goes ---------------------------------------------


class _Permutation(Control):
    """Base of the shuffles: the stored words of each tensor trade places; any dtype has words.

    Replicates are made once and read by all that measures them: in memory up to 64 MiB, else in a
    temporary file. Time O(n), some 20 to 65 ns a weight; memory at most about 2**26 words.
    """

    keeps_values: ClassVar[bool] = True

    @abstractmethod
    def permute(self, tensor: Tensor, key: int, sink: _Sink) -> None:
        """Write the words of `tensor` to `sink` in another order."""

    def changes(self, tensor: Tensor) -> bool:
        """Whether single values can be told apart: all but packings that nobody has defined."""
        with suppress(UnmeasurableError):
            return bool(tensor.dtype.word)
        return False

    def replicates(self, tensor: Tensor, seed: int, pool: Pool) -> Generator[Tensor, None, None]:
        """Yield shuffled copies; what lies end to end is shuffled member by member."""
        held = tensor.n_bytes if tensor.n_bytes <= _HELD else 0
        for i in range(self.n):
            with _Store(pool, in_memory=bool(held)) as store:

                def shuffled(one: Tensor, i: int = i, store: _Store = store) -> Tensor:
                    if not self.changes(one):
                        return one
                    permute = partial(self.permute, one, self.key(one, seed, i))
                    with pool.reserve(_working_bytes(one)):
                        return store.keep(one, permute)

                replicate = rebuilt(tensor, shuffled, whole=False)
                with pool.reserve(held):
                    yield replicate


@dataclass(frozen=True)
class Shuffle(_Permutation):
    """Weights permuted inside each tensor, every order as likely."""

    summary: ClassVar[str] = "weights permuted inside each tensor: is there any order at all?"

    def permute(self, tensor: Tensor, key: int, sink: _Sink) -> None:
        """Permute the tensor as one row."""
        _permute_rows(tensor, 1, tensor.n_weights, key, sink)


@dataclass(frozen=True)
class ShuffleRows(_Permutation):
    """Weights permuted inside each row of the matrix form; a vector is one row."""

    summary: ClassVar[str] = "weights permuted inside each row of the matrix form"

    def permute(self, tensor: Tensor, key: int, sink: _Sink) -> None:
        """Permute row after row."""
        _permute_rows(tensor, *tensor.matrix_shape, key, sink)


@dataclass(frozen=True)
class ShuffleCols(_Permutation):
    """Weights permuted inside each column of the matrix form; a vector, one row, stays."""

    summary: ClassVar[str] = "weights permuted inside each column of the matrix form"

    def changes(self, tensor: Tensor) -> bool:
        """Whether there are columns to speak of."""
        return super().changes(tensor) and tensor.matrix_shape[0] > 1

    def permute(self, tensor: Tensor, key: int, sink: _Sink) -> None:
        """Permute column after column."""
        _permute_columns(tensor, *tensor.matrix_shape, key, sink)


#: Weights that are permuted in memory. Above, they are scattered into buckets on disk first. It
#: is part of the definition: another threshold is another permutation.
_IN_MEMORY = 1 << 26
#: Replicates up to this many bytes stay in memory: their pickle may travel to another process.
_HELD = 64 << 20
#: Weights of a block of whole rows; changes nothing but the memory.
_BLOCK = 1 << 22
#: One random byte picks the bucket. A bucket then fits in memory up to 2**34 weights.
_BUCKETS = 256


def _working_bytes(tensor: Tensor) -> int:
    """Return about what permuting one tensor takes at its peak."""
    n, width = tensor.n_weights, tensor.dtype.word.itemsize
    scattering = (9 + 2 * width) * FRAME if n > _IN_MEMORY else 0
    return min(n, _IN_MEMORY) * width + scattering


def _permute_rows(tensor: Tensor, rows: int, columns: int, key: int, sink: _Sink) -> None:
    """Permute inside each row; a row too long for memory goes through buckets."""
    if columns > _IN_MEMORY:
        for row in range(rows):
            _scatter(tensor, row * columns, columns, partial(_stream, key, row), sink)
        return
    rng = generator(key, 0)
    step = max(_BLOCK // max(columns, 1), 1)
    # The generator goes on from row to row, so that blocks of any height give the same weights.
    for top in range(0, rows, step):
        bottom = min(top + step, rows)
        words = _own_words(tensor, top * columns, bottom * columns)
        words = words.reshape(bottom - top, columns)
        sink.put(top * columns, rng.permuted(words, axis=1, out=words).reshape(-1))


def _permute_columns(tensor: Tensor, rows: int, columns: int, key: int, sink: _Sink) -> None:
    """Permute inside each column, as many columns at a time as fit in memory."""
    rng = generator(key, 0)
    width = max(_IN_MEMORY // rows, 1)
    if width >= columns:
        words = _own_words(tensor, 0, rows * columns).reshape(rows, columns)
        sink.put(0, rng.permuted(words, axis=0, out=words).reshape(-1))
        return
    for left in range(0, columns, width):
        right = min(left + width, columns)
        band = np.empty((rows, right - left), tensor.dtype.word)
        for row in range(rows):
            band[row] = stored_words(tensor, row * columns + left, row * columns + right)
        rng.permuted(band, axis=0, out=band)
        for row in range(rows):
            sink.put(row * columns + left, band[row])


def _stream(key: int, row: int, number: int) -> np.random.Generator:
    """Return generator 0 (which bucket) to 256 (inside the buckets) of one row."""
    return generator(key, row * (_BUCKETS + 1) + number)


def _scatter(
    tensor: Tensor,
    first: int,
    n: int,
    stream: Callable[[int], np.random.Generator],
    sink: _Sink,
) -> None:
    """Permute `n` weights from `first` on through buckets.

    Each weight picks a bucket by chance, and each bucket is permuted: every order is as likely
    (Rao, Sankhya A 23:305, 1961; Sandelius, J. R. Stat. Soc. B 24:479, 1962).
    """
    sizes = np.zeros(_BUCKETS, np.int64)
    for picks in _picks(stream(0), n):
        sizes += np.bincount(picks, minlength=_BUCKETS)
    starts = first + np.cumsum(sizes) - sizes
    ends = starts.copy()
    at = first
    for picks in _picks(stream(0), n):
        words = stored_words(tensor, at, at + picks.size)[np.argsort(picks, kind="stable")]
        at += picks.size
        counts = np.bincount(picks, minlength=_BUCKETS)
        for bucket, run in enumerate(np.split(words, np.cumsum(counts)[:-1])):
            sink.put(int(ends[bucket]), run)
        ends += counts
    for bucket, (start, size) in enumerate(zip(starts.tolist(), sizes.tolist(), strict=True)):
        sink.put(start, stream(1 + bucket).permutation(sink.get(start, size)))


def _picks(rng: np.random.Generator, n: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the buckets that `n` weights pick, a frame (a multiple of 8) at a time."""
    for start in range(0, n, FRAME):
        size = min(FRAME, n - start)
        drawn = rng.bit_generator.random_raw(-(-size // 8)).astype("<u8", copy=False)
        yield drawn.view(np.uint8)[:size]


def _own_words(tensor: Tensor, start: int, stop: int) -> Words:
    """Return stored values as unsigned integers that may be written to."""
    dtype = tensor.dtype
    if dtype.bits < 8:
        return stored_words(tensor, start, stop)  # unpacking copies
    buffer = np.empty(dtype.n_bytes(stop - start), np.uint8)
    found = tensor.raw(start, stop, buffer)
    if not np.may_share_memory(found, buffer):
        buffer[:] = found
    return buffer.view(dtype.word)


class _Sink(Protocol):
    """Where permuted words go, by position."""

    def put(self, at: int, words: Words) -> None: ...

    def get(self, at: int, n: int) -> Words: ...


class _Memory:
    """Words in memory."""

    def __init__(self, n: int, word: np.dtype[Any]) -> None:
        self._n, self._word = n, word
        self.words = np.empty(0, word)

    def put(self, at: int, words: Words) -> None:
        if words.size == self._n:
            self.words = words  # all at once: a second copy would double the peak
            return
        if not self.words.size:
            self.words = np.empty(self._n, self._word)
        self.words[at : at + words.size] = words

    def get(self, at: int, n: int) -> Words:
        return self.words[at : at + n]


class _File:
    """Words in a file."""

    def __init__(self, file: BufferedRandom, word: np.dtype[Any]) -> None:
        self._file, self._word = file, word

    def put(self, at: int, words: Words) -> None:
        self._file.seek(at * self._word.itemsize)
        self._file.write(words.data)

    def get(self, at: int, n: int) -> Words:
        words = np.empty(n, self._word)
        self._file.seek(at * self._word.itemsize)
        self._file.readinto(words.data)
        return words


class _Store:
    """Where the tensors of one replicate live: in memory, or in files that go with it."""

    def __init__(self, pool: Pool, *, in_memory: bool) -> None:
        self._pool, self._in_memory = pool, in_memory
        self._sources: list[FileSource] = []
        self._shared: FileSource | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for source in self._sources:
            source.close()
            # Windows keeps a file that another process has open; it goes with the pool.
            with suppress(PermissionError):
                source.path.unlink(missing_ok=True)

    def keep(self, tensor: Tensor, permute: Callable[[_Sink], None]) -> Tensor:
        """Have the words of `tensor` permuted and return the tensor that holds them."""
        n, dtype = tensor.n_weights, tensor.dtype
        if n <= _IN_MEMORY:
            memory = _Memory(n, dtype.word)
            permute(memory)
            raw = packed(dtype, memory.words)
            if not self._in_memory:
                return self._appended(tensor, [raw])
            return ArrayTensor(tensor.name, tensor.shape, dtype, layout=tensor.layout, data=raw)
        source = self._new_file()
        with source.path.open("r+b") as file:
            words = _File(file, dtype.word)
            permute(words)
            if dtype.bits < 8:
                frames = ((at, min(FRAME, n - at)) for at in range(0, n, FRAME))
                return self._appended(tensor, (packed(dtype, words.get(*f)) for f in frames))
        return _stored(tensor, source, 0)

    def _appended(self, tensor: Tensor, chunks: Iterable[NDArray[np.uint8]]) -> Tensor:
        """Write to the one file of all smaller tensors: a model has more of them than handles."""
        if self._shared is None:
            self._shared = self._new_file()
        offset = self._shared.path.stat().st_size
        with self._shared.path.open("ab") as file:
            for chunk in chunks:
                file.write(chunk.data)
        return _stored(tensor, self._shared, offset)

    def _new_file(self) -> FileSource:
        self._sources.append(FileSource(self._pool.temporary_file()))
        return self._sources[-1]


def _stored(tensor: Tensor, source: FileSource, offset: int) -> StoredTensor:
    return StoredTensor(
        tensor.name, tensor.shape, tensor.dtype, layout=tensor.layout, source=source, offset=offset
    )


# --- Signs and initialisations: values drawn anew --------------------------------------------


@dataclass(frozen=True)
class Signs(Control):
    """Each weight's sign is drawn anew, its magnitude stays; see :class:`SignFlipped`.

    Types without a sign bit are not changed.
    """

    summary: ClassVar[str] = "random signs, magnitudes kept: is there a sign pattern?"
    keeps_values: ClassVar[bool] = False

    def changes(self, tensor: Tensor) -> bool:
        """Whether there are signs."""
        return _is_signed(tensor)

    def replicates(self, tensor: Tensor, seed: int, pool: Pool) -> Generator[Tensor, None, None]:
        """Yield lazy tensors; a part has the signs it has in the whole."""
        for i in range(self.n):

            def flipped(one: Tensor, i: int = i) -> Tensor:
                return SignFlipped.of(one, self.key(one, seed, i)) if self.changes(one) else one

            yield rebuilt(tensor, flipped)


#: Laws that match a tensor's own mean and standard deviation.
_MATCHED: dict[str, Callable[[float, float], Law]] = {
    "normal": lambda mean, sd: Law("normal", mean, sd),
    "uniform": lambda mean, sd: Law("uniform", mean, math.sqrt(3) * sd),
}
#: A normal law cut off at two standard deviations keeps this share of its standard deviation.
_KEPT_BY_TRUNCATION = 0.87962566103423978


class _Fans(NamedTuple):
    """Connections into and out of one unit."""

    ins: int
    outs: int


#: Laws that follow from the shape.
_FROM_FANS: dict[str, Callable[[_Fans], Law]] = {
    "torch": lambda fans: Law("uniform", 0.0, math.sqrt(1 / fans.ins)),
    "glorot-uniform": lambda fans: Law("uniform", 0.0, math.sqrt(6 / (fans.ins + fans.outs))),
    "he-normal": lambda fans: _truncated(math.sqrt(2 / fans.ins)),
    "lecun-normal": lambda fans: _truncated(math.sqrt(1 / fans.ins)),
}


def _truncated(sd: float) -> Law:
    """Return the truncated normal law that has this standard deviation once truncated."""
    return Law("truncated", 0.0, sd / _KEPT_BY_TRUNCATION)


@dataclass(frozen=True)
class Init(Control):
    """Each tensor is drawn anew as at an initialisation.

    Attributes
    ----------
    scheme : str
        ``normal``, ``uniform``
            With the tensor's own mean and (population) standard deviation.
        ``torch``
            Uniform within 1/sqrt(fan_in): what ``torch.nn.Linear`` and ``ConvNd`` do, which is
            ``kaiming_uniform_(a=sqrt(5))``.
        ``glorot-uniform``
            Uniform within sqrt(6/(fan_in + fan_out)) (Glorot & Bengio, AISTATS 2010).
        ``he-normal``, ``lecun-normal``
            Standard deviation sqrt(2/fan_in) (He et al., ICCV 2015) and sqrt(1/fan_in) (LeCun et
            al., Efficient BackProp, 1998): a normal law cut off at two of its standard deviations
            and widened by 1/.8796 to make up for it, as in Keras' and JAX' initialisers of these
            names. PyTorch's ``kaiming_normal_`` is not cut off.

    Notes
    -----
    Fans follow the tensor's layout: (out, in, *kernel), fans times the kernel's size, or
    (*kernel, in, out). The shape alone does not tell an embedding, whose usual start is another.

    Not changed: what holds no signed floating-point numbers, and, for schemes from the shape,
    tensors of fewer than two dimensions, since biases and norms start at constants.
    """

    scheme: str

    summary: ClassVar[str] = f"drawn anew: {', '.join([*_MATCHED, *_FROM_FANS])}"
    keeps_values: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.scheme not in _MATCHED and self.scheme not in _FROM_FANS:
            known = ", ".join([*_MATCHED, *_FROM_FANS])
            raise SpecError(
                f"control init: unknown scheme {self.scheme!r}: expected one of {known}"
            )
        super().__post_init__()

    def changes(self, tensor: Tensor) -> bool:
        """Whether it holds weights that the scheme can draw."""
        has_shape = self.scheme in _MATCHED or len(tensor.shape) > 1
        return _is_signed(tensor) and tensor.n_weights > 0 and has_shape

    def law(self, tensor: Tensor, pool: Pool) -> Law:
        """Return what one tensor is drawn from; reads it twice to match its moments.

        Raises
        ------
        UnmeasurableError
            If the moments are to be matched and some weights are not finite.
        """
        if self.scheme in _MATCHED:
            return _MATCHED[self.scheme](*_moments(tensor, pool))
        return _FROM_FANS[self.scheme](_fans(tensor))

    def replicates(self, tensor: Tensor, seed: int, pool: Pool) -> Generator[Tensor, None, None]:
        """Yield lazy tensors; a part has the weights it has in the whole."""
        laws = {one: self.law(one, pool) for one in origins(tensor) if self.changes(one)}
        for i in range(self.n):

            def drawn(one: Tensor, i: int = i) -> Tensor:
                return Reinit.like(one, laws[one], self.key(one, seed, i)) if one in laws else one

            yield rebuilt(tensor, drawn)


def _is_signed(tensor: Tensor) -> bool:
    return bool(tensor.dtype.sign_bits) and tensor.dtype.numpy is not None


def _fans(tensor: Tensor) -> _Fans:
    """Return the fans of a tensor of two or more dimensions."""
    if tensor.layout == "out-in":
        outs, ins, *kernel = tensor.shape
    else:
        *kernel, ins, outs = tensor.shape
    size = math.prod(kernel)
    return _Fans(ins * size, outs * size)


def _moments(tensor: Tensor, pool: Pool) -> tuple[float, float]:
    """Return mean and population standard deviation, in float64 and two passes."""
    mean = _mean_of(tensor, _PowerSums(), pool)
    variance = _mean_of(tensor, _PowerSums(mean, 2), pool)
    if not math.isfinite(variance):
        raise UnmeasurableError(
            f"{tensor.name}: the weights are too large for a standard deviation in float64"
        )
    return mean, math.sqrt(variance)


def _mean_of(tensor: Tensor, reducer: _PowerSums, pool: Pool) -> float:
    (state,) = fold(tensor, [reducer], pool, work=0)
    if isinstance(state, Failed):
        raise UnmeasurableError(f"{tensor.name}: {state.reason}")
    assert isinstance(state, _PowerSumsState)  # noqa: S101 - our own reducer
    if state.n_nan or state.n_inf:
        raise UnmeasurableError(
            f"{tensor.name}: {state.n_nan} NaN and {state.n_inf} infinite weights: there is "
            "no mean and standard deviation to match; shuffle and init:torch need none"
        )
    return math.fsum(state.sums) / tensor.n_weights


@dataclass(frozen=True)
class _PowerSums:
    """Sum of (w - centre) to a power, leaf by leaf."""

    centre: float = 0.0
    power: int = 1
    cut: Cut = field(default=Every(), init=False)
    memory: int = field(default=24 * LEAF, init=False)

    def start(self) -> _PowerSumsState:
        return _PowerSumsState(self)


@dataclass
class _PowerSumsState(State):
    reducer: _PowerSums
    sums: list[float] = field(default_factory=list)
    n_nan: int = 0
    n_inf: int = 0

    def update(self, chunk: Piece, at: Any) -> None:
        flat = chunk.weights.reshape(-1)
        for i in range(0, flat.size, LEAF):
            with np.errstate(over="ignore", invalid="ignore"):
                leaf = flat[i : i + LEAF].astype(np.float64)
                sums = leaf_sums((leaf - self.reducer.centre) ** self.reducer.power)
            if not math.isfinite(sums[0]):
                self.n_nan += int(np.isnan(leaf).sum())
                self.n_inf += int(np.isinf(leaf).sum())
            self.sums += sums

    def __add__(self, other: _PowerSumsState) -> _PowerSumsState:
        return _PowerSumsState(
            self.reducer,
            self.sums + other.sums,
            self.n_nan + other.n_nan,
            self.n_inf + other.n_inf,
        )


# --- What a tensor's bits are beside its controls' --------------------------------------------


@dataclass(frozen=True)
class ControlResult:
    """A tensor's bits held against those of its replicates.

    Attributes
    ----------
    kind : str
        The control, e.g. ``"shuffle"``.
    n : int
        Replicates measured; 0 if they could not be.
    bits : tuple of float
        Of each replicate.
    mean_bits, sd_bits : float or None
        Of `bits`; the standard deviation has ddof 1 and needs two.
    ratio : float or None
        The tensor's bits over `mean_bits`: the effect size. Below 1, what the control takes away
        made the tensor simpler.
    z : float or None
        (bits - mean_bits) / sd_bits; None below 5 replicates or when all are alike. It grows with
        the size of the tensor and is no effect size.
    p : float or None
        (1 + replicates with at most the tensor's bits) / (n + 1): one-sided, exact, never below
        1 / (n + 1).
    n_lower : int
        How many of the replicates the tensor is strictly below.
    reason : str or None
        Why there are no replicates.
    """

    kind: str
    n: int
    bits: tuple[float, ...]
    mean_bits: float | None = None
    sd_bits: float | None = None
    ratio: float | None = None
    z: float | None = None
    p: float | None = None
    n_lower: int = 0
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self) | {"bits": list(self.bits)}

    @classmethod
    def of(cls, kind: str, bits: float, control_bits: Sequence[float]) -> Self:
        """Hold `bits` against the bits of one or more replicates."""
        n = len(control_bits)
        mean = math.fsum(control_bits) / n
        sd = statistics.stdev(control_bits) if n > 1 else None
        return cls(
            kind=kind,
            n=n,
            bits=tuple(control_bits),
            mean_bits=mean,
            sd_bits=sd,
            ratio=bits / mean if mean else None,
            z=(bits - mean) / sd if sd and n >= _FEWEST_FOR_Z else None,
            p=(1 + sum(b <= bits for b in control_bits)) / (n + 1),
            n_lower=sum(bits < b for b in control_bits),
        )


def control_statistics(
    control: Control, bits: float, control_bits: Sequence[float]
) -> dict[str, Any]:
    """Return the JSON record of `bits` against one or more replicates of `control`."""
    return control_record(control.kind, bits, control_bits)


def control_record(kind: str, bits: float, control_bits: Sequence[float]) -> dict[str, Any]:
    """Return the JSON record of :meth:`ControlResult.of`: the same, when only the kind is known.

    Examples
    --------
    >>> record = control_record("shuffle", 8, [10, 12, 10, 8, 10])
    >>> record["ratio"], record["n_lower"], record["p"]
    (0.8, 4, 0.3333333333333333)
    """
    return ControlResult.of(kind, bits, control_bits).to_dict()


def unmeasured_control(control: Control, reason: str) -> dict[str, Any]:
    """Return the JSON record of a control that has no replicates for a tensor, and why."""
    return ControlResult(control.kind, 0, (), reason=reason).to_dict()


#: Every control by the name it has in a text.
CONTROLS: Registry[type[Control]] = Registry("kcomplexity.controls", "control")

CONTROLS.register("shuffle", Shuffle)
CONTROLS.register("shuffle-rows", ShuffleRows)
CONTROLS.register("shuffle-cols", ShuffleCols)
CONTROLS.register("signs", Signs)
CONTROLS.register("init", Init)
