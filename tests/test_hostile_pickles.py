"""Pickles of a few bytes that would cost gigabytes or hours if they were believed."""

import time
import tracemalloc

import pytest

from kcomplexity.errors import CorruptCheckpointError
from kcomplexity.loaders import open_checkpoint
from tests.torch_files import call, integer, named, row, save_legacy, save_zip, storage, text

#: Python's hash of an integer is its rest modulo this.
MODULUS = (1 << 61) - 1
NOTHING = call("collections.OrderedDict")


def doubled(times):
    """A tuple of which 2**times copies would be written out, remembered as number `times`."""
    levels = [
        b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(times)
    ]
    return b")q\x00" + b"".join(levels) + b"0" * (times + 1)


TIMES = 18
BIG = b"h" + bytes([TIMES])
WINDOW = (storage("0", 3), integer(0), row(integer(3)), row(integer(1)), b"\x89", NOTHING)
NAMERS = {
    "a global": BIG + BIG + b"\x93",
    "the name of a global": text("torch") + BIG + b"\x93",
    "a persistent id": b"]" + BIG + b"aQ",
    "the kind of a storage": row(
        BIG, named("torch.FloatStorage"), text("0"), text("cpu"), integer(3)
    )
    + b"Q",
    "a size": call("torch._utils._rebuild_tensor_v2", *WINDOW[:2], row(BIG), *WINDOW[3:]),
    "an offset": call("torch._utils._rebuild_tensor_v2", WINDOW[0], BIG, *WINDOW[2:]),
    "a function": call("torch._tensor._rebuild_from_type_v2", BIG, b"N", row(), b"N"),
    "a key": b"}" + BIG + b"Ns",
}


def peak_of_refusing(path):
    with pytest.raises(CorruptCheckpointError):  # what is imported once is not the file's
        open_checkpoint(path)
    tracemalloc.start()
    with pytest.raises(CorruptCheckpointError) as refusal:
        open_checkpoint(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400 + len(str(path))
    return peak


@pytest.mark.parametrize("saver", [save_zip, save_legacy])
@pytest.mark.parametrize("what", NAMERS)
def test_an_object_is_never_written_out(tmp_path, what, saver):
    path = saver(tmp_path / "m.pt", doubled(TIMES) + NAMERS[what], {})
    assert peak_of_refusing(path) < 1 << 20


@pytest.mark.parametrize("where", ["the protocol", "the keys"])
def test_the_small_pickles_of_the_old_format_are_not_written_out(tmp_path, where):
    path = save_legacy(tmp_path / "m.pt", NOTHING, {})
    program = b"\x80\x02" + doubled(TIMES) + b"]" + BIG + b"a."
    data = path.read_bytes()
    if where == "the protocol":
        start = data.index(b"\x80\x02", 2)
        data = data[:start] + program + data[start:]
    else:
        data = data[: data.rindex(b"\x80\x02")] + program
    path.write_bytes(data)
    assert peak_of_refusing(path) < 1 << 20


@pytest.mark.parametrize("saver", [save_zip, save_legacy])
def test_calls_within_calls_are_refused(tmp_path, saver):
    depth = 3000
    calls = named("torch._tensor._rebuild_from_type_v2") + b"q\x00"
    calls += b"(h\x00N" * depth + b")" + b"t" * depth + b"R"
    path = saver(tmp_path / "m.pt", calls, {})
    with pytest.raises(CorruptCheckpointError, match=r"made by .*_from_type_v2"):
        open_checkpoint(path)


@pytest.mark.parametrize("use", [b"q\x00h\x00\x93", b"Q", b"}q\x00h\x000h\x01Ns", b""])
def test_a_deep_tuple_overflows_no_stack(tmp_path, use):
    deep = b")" + b"\x85" * 100_000 + b"q\x01"
    path = save_zip(tmp_path / "m.pt", deep + use, {})
    with pytest.raises(CorruptCheckpointError) as refusal:
        open_checkpoint(path)
    assert "\n" not in str(refusal.value)


def collide(n):
    return [b"\x8a\x0a" + (MODULUS * i).to_bytes(10, "little") for i in range(1, n + 1)]


COLLISIONS = {
    "a dict": b"}(" + b"".join(key + b"N" for key in collide(20_000)) + b"u",
    "a set": b"\x8f(" + b"".join(collide(20_000)) + b"\x90",
    "a frozen set": b"(" + b"".join(collide(20_000)) + b"\x91",
    "pairs": call(
        "collections.OrderedDict",
        b"](" + b"".join(key + b"N\x86" for key in collide(20_000)) + b"e",
    ),
    "the memo": b"N" + b"".join(b"p%d\n" % (MODULUS * i) for i in range(1, 20_001)),
}


@pytest.mark.parametrize("where", COLLISIONS)
def test_keys_cannot_be_made_to_collide(tmp_path, where):
    path = save_zip(tmp_path / "m.pt", COLLISIONS[where], {})
    start = time.process_time()
    with pytest.raises(CorruptCheckpointError, match="bits is used as a key"):
        open_checkpoint(path)
    assert time.process_time() - start < 1


def test_tensors_cannot_be_made_to_collide(tmp_path):
    # A step of MODULUS has the hash of a step of nothing, and an axis of one value takes any step.
    steps = [integer(0) + b"q\x00", integer(MODULUS) + b"q\x01"]
    n_axes, n = 13, 1 << 13
    windows = [
        call(
            "torch._utils._rebuild_tensor_v2",
            storage("0", 1),
            integer(0),
            row(*[integer(1)] * n_axes),
            row(*[b"h%c" % (i >> bit & 1) for bit in range(n_axes)]),
            b"\x89",
            NOTHING,
        )
        for i in range(n)
    ]
    value = b"".join(steps) + b"00](" + b"".join(windows) + b"e"
    path = save_zip(tmp_path / "m.pt", value, {"0": b"\0" * 4})
    start = time.process_time()
    with open_checkpoint(path) as checkpoint:
        assert len(checkpoint) == n
    assert time.process_time() - start < 4  # and 7 if they all collide


def shared_nest(n, key):
    """One tensor under n * n names that start with `key`."""
    numbers = [text(str(i)) for i in range(n)]
    inner = b"}(" + b"".join(number + b"h\x00" for number in numbers) + b"uq\x01"
    outer = b"}(" + b"".join(number + b"h\x01" for number in numbers) + b"u"
    tensor = call("torch._utils._rebuild_tensor_v2", *WINDOW) + b"q\x00"
    return tensor + b"0" + inner + b"0}(" + text(key) + outer + b"u"


def test_long_names_of_a_shared_nest_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("kcomplexity.loaders.torch_tree._MOST_LETTERS", 1 << 22)
    path = save_zip(tmp_path / "m.pt", shared_nest(60, "A" * 4000), {"0": bytes(12)})
    assert peak_of_refusing(path) < 1 << 20


def test_names_of_tied_tensors_are_not_kept(tmp_path):
    n = 100
    path = save_zip(tmp_path / "m.pt", shared_nest(n, "A" * 1000), {"0": bytes(12)})
    open_checkpoint(path).close()
    tracemalloc.start()
    with open_checkpoint(path) as checkpoint:
        assert (len(checkpoint), checkpoint.notes[0][:13]) == (1, f"{n * n - 1:,} tensors")
    assert tracemalloc.get_traced_memory()[1] < 2 << 20  # and 11 MB if each were
    tracemalloc.stop()


def test_a_tensor_without_a_name_hides_no_other(tmp_path):
    tensor = call("torch._utils._rebuild_tensor_v2", *WINDOW)
    other = call("torch._utils._rebuild_tensor_v2", storage("1", 3), *WINDOW[1:])
    value = b"}(" + text("") + tensor + text("b") + other + b"u"
    with open_checkpoint(
        save_zip(tmp_path / "m.pt", value, dict.fromkeys("01", bytes(12)))
    ) as found:
        assert [*found] == ["m", "b"]


SIXTY = row(*[integer(1)] * 60) + b"q\x00"
MADE = {
    "sets": b"(" + b"\x8f" * 10_000 + b"l",
    "frozen sets": b"(" + b"(\x91" * 10_000 + b"l",
    "records": named("argparse.Namespace") + b"q\x00(" + b"h\x00)R" * 10_000 + b"l",
    "tensors": SIXTY
    + row(storage("0", 1), integer(0), b"h\x00", b"h\x00")
    + b"q\x01"
    + named("torch._utils._rebuild_tensor_v2")
    + b"q\x02("
    + b"h\x02h\x01R" * 10_000
    + b"l",
}


@pytest.mark.parametrize("what", MADE)
def test_what_takes_more_memory_counts_for_more(tmp_path, monkeypatch, what):
    monkeypatch.setattr("kcomplexity.files.pickles.MAX_STEPS", 20_000)
    path = save_zip(tmp_path / "m.pt", MADE[what], {})
    assert peak_of_refusing(path) < 20_000 * 75
