"""Flax checkpoints written value by value: every dtype, what is left out, and files that lie."""

import struct
from contextlib import suppress

import ml_dtypes
import numpy as np
import pytest

from kcomplexity.errors import CheckpointError, CorruptCheckpointError, SpecError
from kcomplexity.loaders import flax, open_checkpoint

WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4)


def text(value):
    data = value.encode()
    return b"\xdb" + struct.pack(">I", len(data)) + data


def row(*items):
    return b"\xdd" + struct.pack(">I", len(items)) + b"".join(items)


def integer(n):
    return b"\xd3" + struct.pack(">q", n)


def array(values, shape=None, name=None):
    shape = values.shape if shape is None else shape
    data = b"\xc6" + struct.pack(">I", values.nbytes) + values.tobytes()
    parts = row(row(*map(integer, shape)), text(name or values.dtype.name), data)
    return b"\xc9" + struct.pack(">Ib", len(parts), 1) + parts


def value(found):
    if isinstance(found, dict):
        return mapping(**found)
    return array(found) if isinstance(found, np.ndarray) else found


def mapping(**items):
    parts = b"".join(text(key) + value(item) for key, item in items.items())
    return b"\xdf" + struct.pack(">I", len(items)) + parts


def save(path, content):
    path.write_bytes(content)
    return path


def test_a_state_is_read_where_it_lies(tmp_path):
    state = {
        "step": integer(7),
        "params": {"dense": {"kernel": WEIGHTS, "bias": WEIGHTS[0]}},
        "batch_stats": {"mean": WEIGHTS[1]},
        "opt_state": {"0": {"mu": WEIGHTS}},
    }
    path = save(tmp_path / "m.msgpack", mapping(**state))
    with open_checkpoint(path) as checkpoint:
        names = ["params.dense.kernel", "params.dense.bias", "batch_stats.mean"]
        assert (checkpoint.format, [*checkpoint]) == ("flax", names)
        kernel = checkpoint["params.dense.kernel"]
        assert (kernel.layout, kernel.addressable) == ("in-out", True)
        assert kernel.to_numpy().tolist() == WEIGHTS.tolist()
        assert checkpoint.metadata == {"step": "7"}
        assert "1 tensor of opt_state is left out" in checkpoint.notes[0]
        assert checkpoint.n_bytes + checkpoint.n_container_bytes == path.stat().st_size
    with open_checkpoint(path, root="params.dense") as checkpoint:
        assert [*checkpoint] == ["kernel", "bias"]
    with pytest.raises(SpecError, match="no 'ema'"):
        open_checkpoint(path, root="ema")


@pytest.mark.parametrize("dtype", ["f2", "f8", "i1", "u2", "i8", "?", "c8", ml_dtypes.bfloat16])
def test_every_dtype_keeps_its_bytes(tmp_path, dtype):
    values = np.arange(6).astype(dtype)
    with open_checkpoint(save(tmp_path / "m.msgpack", mapping(w=values))) as checkpoint:
        assert checkpoint["w"].raw(0, 6).tobytes() == values.tobytes()
        assert checkpoint["w"].dtype.numpy == np.dtype(dtype)


def test_every_form_of_a_value_is_passed_over(tmp_path):
    others = [
        b"\xc0", b"\xc2", b"\xc3", b"\x05", b"\xff", b"\xcc\x01", b"\xd0\xff", b"\xca" + bytes(4),
        b"\xcb" + bytes(8), b"\xa2hi", b"\xd9\x02hi", b"\xda\0\x02hi", b"\xc4\x02hi",
        b"\xc5\0\x02hi",
        b"\x92\x01\x02", b"\xdc\0\x01\x01", b"\x81\xa1k\x01", b"\xde\0\x01\xa1k\x01", b"\xd4\x02x",
        b"\xd8\x02" + bytes(16), b"\xc7\x03\x02abc",
    ]  # fmt: skip
    content = mapping(**{f"k{i}": other for i, other in enumerate(others)}, w=WEIGHTS)
    with open_checkpoint(save(tmp_path / "m.msgpack", content)) as checkpoint:
        assert [*checkpoint] == ["w"]


def test_what_the_library_packs_is_read(tmp_path):
    msgpack = pytest.importorskip("msgpack")

    def packed(values):
        parts = (values.shape, values.dtype.name, values.tobytes())
        return msgpack.ExtType(1, msgpack.packb(parts, use_bin_type=True))

    content = msgpack.packb({"params": {"w": packed(WEIGHTS)}, "step": 3}, use_bin_type=True)
    with open_checkpoint(save(tmp_path / "m.msgpack", content)) as checkpoint:
        assert checkpoint["params.w"].to_numpy().tolist() == WEIGHTS.tolist()


def in_pieces(shape, *pieces):
    numbered = {str(i): piece for i, piece in enumerate(pieces)}
    axes = {str(i): integer(n) for i, n in enumerate(shape)}
    return {"__msgpack_chunked_array__": b"\xc3", "shape": axes, "chunks": numbered}


def test_arrays_in_pieces_are_one(tmp_path):
    flat = WEIGHTS.ravel()
    big = in_pieces(WEIGHTS.shape, flat[:5], flat[5:6], flat[6:])
    path = save(tmp_path / "m.msgpack", mapping(a=WEIGHTS[0], big=big, z=WEIGHTS[1]))
    with open_checkpoint(path) as checkpoint:
        assert [*checkpoint] == ["a", "big", "z"]
        assert checkpoint["big"].layout == "in-out"
        assert checkpoint["big"].to_numpy().tolist() == WEIGHTS.tolist()
        for start in range(12):
            for stop in range(start, 13):
                assert checkpoint["big"].raw(start, stop).tobytes() == flat[start:stop].tobytes()
        assert checkpoint.n_bytes + checkpoint.n_container_bytes == path.stat().st_size


@pytest.mark.parametrize(
    "big",
    [
        in_pieces((3, 5), WEIGHTS),
        in_pieces((3, 4), WEIGHTS[:2], WEIGHTS[2].astype("f8")),
        in_pieces((3, 4)),
        in_pieces((3, 4), integer(1)),
        in_pieces((3, 4), in_pieces((3, 4), WEIGHTS)),
        {"__msgpack_chunked_array__": b"\xc3", "chunks": {"0": WEIGHTS}},
    ],
)
def test_pieces_that_do_not_fit_are_refused(tmp_path, big):
    with pytest.raises(CorruptCheckpointError, match="pieces"):
        open_checkpoint(save(tmp_path / "m.msgpack", mapping(big=big)))


def test_arrays_of_text_are_left_out(tmp_path):
    content = mapping(words=array(np.array(["ab"]), name="<U2"), w=WEIGHTS)
    with open_checkpoint(save(tmp_path / "m.msgpack", content)) as checkpoint:
        assert [*checkpoint] == ["w"]
        assert "it holds text" in checkpoint.notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (mapping(w=array(WEIGHTS, (3, 5))), r"of shape \(3, 5\) and type float32 has 48 bytes"),
        (mapping(w=array(WEIGHTS, (1 << 62, 4))), "has 48 bytes"),
        (mapping(w=array(WEIGHTS, (-3, -4))), "has no shape"),
        (mapping(w=array(WEIGHTS, (1,) * 65)), "has no shape"),
        (mapping(w=array(WEIGHTS, name="os.system")), "of type os.system, unknown"),
        (mapping(w=b"\xc9" + struct.pack(">Ib", 9, 1) + row()), "is damaged"),
        (mapping(w=WEIGHTS) + b"\0", "does not hold a single map"),
        (b"\x82" + (text("w") + integer(1)) * 2, "is there twice"),
        (b"\x81\xc0\x01", "is not text"),
        (b"\x81" + text("w") + b"\xc1", "starts no value"),
        (b"\x81" + text("w") + b"\xdd" + struct.pack(">I", (1 << 32) - 1), "should follow"),
        (b"\x81" + text("w") + b"\xdb" + struct.pack(">I", (1 << 32) - 1), "a text of"),
        (b"\x81" + text("w") + b"\x91" * 100, "nested deeper"),
    ],
)
def test_files_that_lie_are_refused(tmp_path, content, message):
    with pytest.raises(CorruptCheckpointError, match=message) as refusal:
        open_checkpoint(save(tmp_path / "m.msgpack", content))
    assert "\n" not in str(refusal.value)


def test_a_folder_of_that_name_is_a_folder(tmp_path):
    (tmp_path / "m.msgpack").mkdir()
    with pytest.raises(CheckpointError, match="a folder without"):
        open_checkpoint(tmp_path / "m.msgpack")


def test_values_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(flax, "_MOST_VALUES", 100)
    with pytest.raises(CorruptCheckpointError, match="more values"):
        open_checkpoint(save(tmp_path / "m.msgpack", mapping(w=row(*[b"\0"] * 200))))


def test_a_cut_or_damaged_file_is_refused_or_read(tmp_path):
    path = save(tmp_path / "m.msgpack", mapping(params={"w": WEIGHTS, "b": WEIGHTS[0]}))
    data = path.read_bytes()
    for end in range(1, len(data)):
        with pytest.raises(CheckpointError, match=r"m\.msgpack"):
            open_checkpoint(save(path, data[:end]))
    for at in range(len(data)):
        save(path, data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        # Any other exception would fail here.
        with suppress(CheckpointError):
            open_checkpoint(path).close()


@pytest.mark.parametrize("name", ["f4,,", "f4,f4", "{'a':1}", "M8[foo]", "finfo", ">f4"])
def test_only_names_of_numbers_are_types(tmp_path, name):
    path = save(tmp_path / "m.msgpack", mapping(w=array(WEIGHTS, name=name)))
    with pytest.raises(CorruptCheckpointError, match="unknown here") as refusal:
        open_checkpoint(path)
    assert "\n" not in str(refusal.value)
