"""TFLite models written table by table: constants, codes with scales, and models that lie."""

import struct
from contextlib import suppress

import numpy as np
import pytest

from kcomplexity.errors import CheckpointError, CorruptCheckpointError
from kcomplexity.files import flatbuffer
from kcomplexity.loaders import open_checkpoint
from kcomplexity.scoring.score import score

WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4)
CODES = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)


class Builder:
    """Writes tables forwards: what a field refers to comes after it.

    A field is (letter, number), bytes, text, an array, a dict (table) or a list of tables.
    """

    def __init__(self, root):
        self.data = bytearray(b"\0\0\0\0TFL3")
        self.patch(0, self.table(root))

    def patch(self, at, target):
        struct.pack_into("<I", self.data, at, target - at)

    def align(self):
        self.data += bytes(-len(self.data) % 8)

    def table(self, fields):
        self.align()
        slots = max(fields, default=-1) + 1
        sizes = {i: struct.calcsize(v[0]) if isinstance(v, tuple) else 4 for i, v in fields.items()}
        offsets, at = [0] * slots, 4
        for i in fields:
            at += -at % 8
            offsets[i], at = at, at + sizes[i]
        vtable = len(self.data)
        self.data += struct.pack(f"<{slots + 2}H", 4 + 2 * slots, at, *offsets)
        self.align()
        start = len(self.data)
        self.data += struct.pack("<i", start - vtable) + bytes(at - 4)
        for i, value in fields.items():
            if isinstance(value, tuple):
                struct.pack_into(f"<{value[0]}", self.data, start + offsets[i], value[1])
        for i, value in fields.items():
            if not isinstance(value, tuple):
                self.patch(start + offsets[i], self.other(value))
        return start

    def other(self, value):
        if isinstance(value, dict):
            return self.table(value)
        self.align()
        at = len(self.data)
        if isinstance(value, list):
            self.data += struct.pack("<I", len(value)) + bytes(4 * len(value))
            for i, item in enumerate(value):
                self.patch(at + 4 + 4 * i, self.table(item))
            return at
        raw = value.encode() if isinstance(value, str) else bytes(value)
        n = value.size if isinstance(value, np.ndarray) else len(raw)
        self.data += struct.pack("<I", n) + raw
        return at


def tensor(name, shape, kind, buffer, **more):
    fields = {0: np.array(shape, "<i4"), 1: ("b", kind), 2: ("I", buffer), 3: name}
    return fields | {int(key[1:]): value for key, value in more.items()}


def save(path, tensors, buffers, description="made by hand"):
    model = {
        0: ("I", 3),
        2: [{0: tensors}],
        3: description,
        4: [{}, *({0: np.frombuffer(b, np.uint8)} for b in buffers)],
    }
    path.write_bytes(Builder(model).data)
    return path


def plain(path):
    return save(path, [tensor("w", (3, 4), 0, 1)], [WEIGHTS.tobytes()])


def test_constants_are_read_and_what_is_computed_is_not(tmp_path):
    tensors = [tensor("w", (3, 4), 0, 1), tensor("activation", (1, 4), 0, 0)]
    path = save(tmp_path / "m.tflite", tensors, [WEIGHTS.tobytes()])
    with open_checkpoint(path) as checkpoint:
        assert (checkpoint.format, [*checkpoint]) == ("tflite", ["w"])
        assert checkpoint["w"].to_numpy().tolist() == WEIGHTS.tolist()
        assert checkpoint.metadata == {"description": "made by hand"}
        assert checkpoint.n_bytes + checkpoint.n_container_bytes == path.stat().st_size


def test_codes_have_their_scales_beside_them(tmp_path):
    scales, zeros = np.array([0.5, 0.25, 2], np.float32), np.array([0, 0, 1], np.int64)
    quantised = {2: scales, 3: zeros}
    tensors = [tensor("w", (3, 4), 9, 1, f4=quantised)]
    path = save(tmp_path / "m.tflite", tensors, [CODES.tobytes()])
    with open_checkpoint(path) as checkpoint:
        assert {n: t.side_of for n, t in checkpoint.items()} == {
            "w": "",
            "w.scale": "w",
            "w.zero_point": "w",
        }
        assert checkpoint["w.scale"].read().tolist() == scales.tolist()
        assert checkpoint["w.zero_point"].read().tolist() == zeros.tolist()
    rows = score(path, specs=["entropy@codes"]).rows
    assert rows[0].bits_per_weight == pytest.approx(np.log2(12))


def test_a_buffer_under_two_names_counts_once(tmp_path):
    tensors = [tensor("a", (3, 4), 0, 1), tensor("b", (12,), 0, 1)]
    path = save(tmp_path / "m.tflite", tensors, [WEIGHTS.tobytes()])
    with open_checkpoint(path) as checkpoint:
        assert [*checkpoint] == ["a"]
        assert checkpoint.notes == ("b is a under a second name: counted once",)


def test_text_and_sparse_tensors_are_left_out(tmp_path):
    tensors = [tensor("t", (3,), 5, 1), tensor("s", (3, 4), 0, 2, f6={})]
    path = save(tmp_path / "m.tflite", tensors, [b"abc", WEIGHTS.tobytes()])
    with open_checkpoint(path) as checkpoint:
        assert not checkpoint
        assert checkpoint.notes == (
            "t is left out: it holds text",
            "s is left out: it is sparse; only dense tensors are read",
        )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (tensor("w", (3, 5), 0, 1), r"of shape \(3, 5\) and dtype F32 has 48 bytes"),
        (tensor("w", (-3, -4), 0, 1), r"has shape \(-3, -4\)"),
        (tensor("w", (1,) * 65, 0, 1), "has 65 axes"),
        (tensor("w", (3, 4), 99, 1), "of type 99, unknown"),
        (tensor("w", (3, 4), 0, 7), "is in buffer 7"),
        (tensor("", (3, 4), 0, 1), "has no name of its own"),
        (tensor("w" * 5000, (3, 4), 0, 1), "a name of 5000 bytes"),
    ],
)
def test_tensors_that_lie_are_refused(tmp_path, fields, message):
    with pytest.raises(CorruptCheckpointError, match=message):
        open_checkpoint(save(tmp_path / "m.tflite", [fields], [WEIGHTS.tobytes()]))


def test_tables_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(flatbuffer, "_MOST_TABLES", 3)
    with pytest.raises(CorruptCheckpointError, match="more than 3 tables"):
        open_checkpoint(plain(tmp_path / "m.tflite"))


def test_a_vector_that_leaves_the_file_is_refused(tmp_path):
    path = plain(tmp_path / "m.tflite")
    data = path.read_bytes()
    length = struct.pack("<I", WEIGHTS.nbytes) + WEIGHTS.tobytes()
    path.write_bytes(data.replace(length, struct.pack("<I", 1 << 31) + WEIGHTS.tobytes()))
    with pytest.raises(CorruptCheckpointError, match="a vector of 2147483648 items"):
        open_checkpoint(path)


def test_a_cut_or_damaged_model_is_refused_or_read(tmp_path):
    path = plain(tmp_path / "m.tflite")
    data = path.read_bytes()
    for end in range(1, len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(CheckpointError, match=r"m\.tflite"):
            open_checkpoint(path)
    for at in range(len(data)):
        for mask in (0xFF, 0x80, 1):
            path.write_bytes(data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :])
            # Any other exception would fail here.
            with suppress(CheckpointError):
                open_checkpoint(path).close()
