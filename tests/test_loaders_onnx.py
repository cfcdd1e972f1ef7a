"""ONNX models written field by field: every place values can be, and models that lie."""

from contextlib import suppress

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcomplexity.errors import CheckpointError, CorruptCheckpointError, UnknownFormatError
from kcomplexity.files import protobuf
from kcomplexity.files.streams import StoredBytes
from kcomplexity.loaders import open_checkpoint
from kcomplexity.scoring.score import score
from kcomplexity.tensors.dtypes import CODES, DTYPES

WEIGHTS = np.arange(-12, 12, dtype=np.float32).reshape(4, 6)
_RAW = 9


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while True:
        out.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name, shape, data_type, *parts):
    dims = b"".join(field(1, n) for n in shape)
    return dims + field(2, data_type) + field(8, name) + b"".join(parts)


def raw(name, array, data_type=1):
    return tensor(name, array.shape, data_type, field(_RAW, array.tobytes()))


def node(kind, inputs, outputs, *attributes):
    ends = [field(1, name) for name in inputs] + [field(2, name) for name in outputs]
    return b"".join(ends) + field(4, kind) + b"".join(field(5, a) for a in attributes)


def save(path, *initializers, nodes=()):
    graph = b"".join(field(1, n) for n in nodes) + b"".join(field(5, t) for t in initializers)
    path.write_bytes(field(1, 8) + field(2, "tests") + field(7, graph))
    return path


def outside(name, array, **facts):
    entries = b"".join(field(13, field(1, k) + field(2, str(v))) for k, v in facts.items())
    return tensor(name, array.shape, 1, entries, field(14, 1))


def test_initialisers_are_read_where_they_lie(tmp_path):
    path = save(tmp_path / "m.onnx", raw("fc.weight", WEIGHTS), raw("fc.bias", WEIGHTS[0]))
    with open_checkpoint(path) as checkpoint:
        assert (checkpoint.format, [*checkpoint]) == ("onnx", ["fc.weight", "fc.bias"])
        assert checkpoint["fc.weight"].to_numpy().tolist() == WEIGHTS.tolist()
        assert checkpoint["fc.weight"].addressable
        assert checkpoint.metadata == {"producer_name": "tests"}
        assert checkpoint.n_bytes + checkpoint.n_container_bytes == path.stat().st_size


NARROW = [
    (2, np.array([1, 255], np.uint8), "U8"),
    (3, np.array([1, -128], np.int8), "I8"),
    (4, np.array([1, 65535], np.uint16), "U16"),
    (5, np.array([1, -3], np.int16), "I16"),
    (6, np.array([1, -3], np.int32), "I32"),
    (9, np.array([True, False]), "BOOL"),
    (10, np.array([1.5, -2], np.float16), "F16"),
    (16, np.array([1.5, -2], ml_dtypes.bfloat16), "BF16"),
    (17, np.array([1.5, -2], ml_dtypes.float8_e4m3fn), "F8_E4M3"),
]


@pytest.mark.parametrize(("data_type", "array", "code"), NARROW)
def test_narrow_types_are_read_raw_and_number_by_number(tmp_path, data_type, array, code):
    signed = array.astype("i8") if array.dtype.kind == "i" else array.view(f"u{array.itemsize}")
    numbers = b"".join(varint(int(n)) for n in signed)
    one_by_one = b"".join(field(5, int(n)) for n in signed)
    path = save(
        tmp_path / "m.onnx",
        raw("raw", array, data_type),
        tensor("packed", array.shape, data_type, field(5, numbers)),
        tensor("single", array.shape, data_type, one_by_one),
    )
    with open_checkpoint(path) as checkpoint:
        for name in ("raw", "packed", "single"):
            assert checkpoint[name].dtype.code == code
            assert checkpoint[name].raw(0, 2).tobytes() == array.tobytes()


def test_wide_types_are_read_from_their_own_fields(tmp_path):
    doubles, wide = np.array([1.5, -2]), np.array([1, -3], np.int64)
    path = save(
        tmp_path / "m.onnx",
        tensor("f", (4, 6), 1, field(4, WEIGHTS.tobytes())),
        tensor("d", (2,), 11, field(10, doubles.tobytes())),
        tensor("i", (2,), 7, field(7, b"".join(varint(int(n)) for n in wide))),
        tensor("u", (1,), 13, field(11, varint(2**64 - 1))),
    )
    with open_checkpoint(path) as checkpoint:
        assert checkpoint["f"].to_numpy().tolist() == WEIGHTS.tolist()
        assert checkpoint["d"].read().tolist() == doubles.tolist()
        assert checkpoint["i"].read().tolist() == wide.tolist()
        assert checkpoint["u"].read().tolist() == [2**64 - 1]


def test_four_bit_codes_keep_two_to_a_byte(tmp_path):
    packed = np.array([0x21, 0x8F, 0x07], np.uint8)
    path = save(
        tmp_path / "m.onnx",
        tensor("u", (5,), 21, field(_RAW, packed.tobytes())),
        tensor("i", (5,), 22, field(5, b"".join(varint(int(n)) for n in packed))),
    )
    with open_checkpoint(path) as checkpoint:
        assert checkpoint["u"].dtype is CODES["U4"]
        assert checkpoint["u"].read().tolist() == [1, 2, 15, 8, 7]
        assert checkpoint["i"].read().astype(int).tolist() == [1, 2, -1, -8, 7]
        assert checkpoint["u"].n_bytes == 3


def test_constants_and_subgraphs_are_found(tmp_path):
    value = field(1, "value") + field(5, raw("ignored", WEIGHTS))
    inner = field(5, raw("w", WEIGHTS[1])) + field(1, node("Constant", (), ("c",), value))
    branch = field(1, "then_branch") + field(6, inner)
    nodes = [node("Constant", (), ("c",), value), node("If", ("x",), ("y",), branch)]
    with open_checkpoint(save(tmp_path / "m.onnx", raw("w", WEIGHTS), nodes=nodes)) as checkpoint:
        assert [*checkpoint] == ["c", "y/w", "y/c", "w"]
        assert checkpoint["y/w"].to_numpy().tolist() == WEIGHTS[1].tolist()


def test_products_tell_where_a_matrix_keeps_its_outputs(tmp_path):
    nodes = [
        node("MatMul", ("x", "a"), ("y",)),
        node("Gemm", ("y", "b"), ("z",), field(1, "transB") + field(3, 1)),
        node("Gemm", ("z", "c"), ("o",)),
    ]
    path = save(tmp_path / "m.onnx", *(raw(n, WEIGHTS) for n in "abc"), nodes=nodes)
    with open_checkpoint(path) as checkpoint:
        layouts = {name: tensor.layout for name, tensor in checkpoint.items()}
    assert layouts == {"a": "in-out", "b": "out-in", "c": "in-out"}


def test_dequantised_tensors_are_codes_with_side_information(tmp_path):
    codes = np.array([[1, -2], [3, 4]], np.int8)
    scale = np.array([0.5], np.float32)
    path = save(
        tmp_path / "m.onnx",
        raw("w", codes, 3),
        raw("w_scale", scale),
        raw("other", scale),
        nodes=[node("DequantizeLinear", ("w", "w_scale"), ("y",))],
    )
    with open_checkpoint(path) as checkpoint:
        assert {n: t.side_of for n, t in checkpoint.items()} == {
            "w": "",
            "w_scale": "w",
            "other": "",
        }
        (note,) = checkpoint.notes
        assert note.startswith("1 tensor holds codes of quantised weights")


def test_external_data_are_read_from_the_folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/w.bin").write_bytes(bytes(8) + WEIGHTS.tobytes())
    facts = {"location": "data/w.bin", "offset": 8, "length": WEIGHTS.nbytes}
    path = save(tmp_path / "m.onnx", outside("w", WEIGHTS, **facts))
    with open_checkpoint(path) as checkpoint:
        assert checkpoint["w"].to_numpy().tolist() == WEIGHTS.tolist()
        assert len(checkpoint.sources) == 2
    expected = score({"w": WEIGHTS}, specs=["zstd@bytes"]).rows[0].value
    assert score(path, specs=["zstd@bytes"]).rows[0].value == expected


@pytest.mark.parametrize(
    "location", ["../w.bin", "/etc/passwd", "a/../../w.bin", "link/w.bin", "C:\\w.bin", ""]
)
def test_external_data_outside_the_folder_are_refused(tmp_path, location):
    (tmp_path / "w.bin").write_bytes(WEIGHTS.tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    path = save(folder / "m.onnx", outside("w", WEIGHTS, location=location))
    with pytest.raises(CorruptCheckpointError, match="not inside the model's folder"):
        open_checkpoint(path)


def test_external_data_of_a_model_in_the_hub_cache_are_read(tmp_path):
    cache = tmp_path / "models--org--name"
    snapshot = cache / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    (cache / "blobs" / "b").write_bytes(WEIGHTS.tobytes())
    (cache / "secret").write_bytes(WEIGHTS.tobytes())
    save(cache / "blobs" / "a", outside("w", WEIGHTS, location="model.onnx_data"))
    (snapshot / "model.onnx").symlink_to("../../blobs/a")
    (snapshot / "model.onnx_data").symlink_to("../../blobs/b")
    with open_checkpoint(snapshot / "model.onnx") as checkpoint:
        assert checkpoint["w"].to_numpy().tolist() == WEIGHTS.tolist()
    (snapshot / "model.onnx_data").unlink()
    (snapshot / "model.onnx_data").symlink_to("../../secret")
    with pytest.raises(CorruptCheckpointError, match="not inside the model's folder"):
        open_checkpoint(snapshot / "model.onnx")


def test_constants_that_are_no_tensors_are_told(tmp_path):
    numbers = node("Constant", [], ["k"], field(1, b"value_floats") + field(7, bytes(8)))
    constant = node("Constant", [], ["k"], field(1, b"value") + field(5, raw("", WEIGHTS)))
    path = save(tmp_path / "m.onnx", raw("w", WEIGHTS), nodes=[numbers])
    path.write_bytes(path.read_bytes() + field(25, field(1, b"f") + field(7, constant) * 2))
    with open_checkpoint(path) as checkpoint:
        assert [*checkpoint] == ["w"]
        told = [note.partition(" left out")[0] for note in checkpoint.notes]
    assert told == [
        "1 constant written as numbers or texts is",
        "2 constants of local functions are",
    ]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"location": "w.bin", "offset": 8}, r"bytes 8 to 104 leave w\.bin of 96"),
        ({"location": "w.bin", "offset": -8, "length": 96}, "leave"),
        ({"location": "w.bin", "length": 8}, "takes 96 bytes, and 8 are stored"),
        ({"location": "w.bin", "offset": "x"}, "not a number"),
        ({"location": "gone.bin"}, "is missing; copy it"),
    ],
)
def test_external_data_that_lie_are_refused(tmp_path, facts, message):
    (tmp_path / "w.bin").write_bytes(WEIGHTS.tobytes())
    path = save(tmp_path / "m.onnx", outside("w", WEIGHTS, **facts))
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        (tensor("w", (5, 6), 1, field(_RAW, WEIGHTS.tobytes())), "takes 120 bytes, and 96"),
        (tensor("w", (1 << 61, 4), 1, field(_RAW, b"")), "and 0 are stored"),
        (tensor("w", (1 << 63,), 1, field(_RAW, b"")), "impossible shape"),
        (tensor("w", (1,) * 65, 1, field(_RAW, bytes(4))), "impossible shape"),
        (tensor("w", (1,), 99, field(_RAW, bytes(4))), "data type 99, unknown"),
        (tensor("", (1,), 1, field(_RAW, bytes(4))), "no name of its own"),
        (tensor("w", (3,), 6, field(5, varint(1))), "holds 1 numbers"),
        (tensor("w", (1,), 6, field(5, b"\xff")), "do not end"),
        (tensor("w", (1,), 6, field(5, b"\xff" * 11 + b"\0")), "more than ten bytes"),
        (tensor("w", (2,), 1, field(4, bytes(4)), field(4, bytes(4))), "in several ways"),
        (tensor("w" * 5000, (1,), 1), "longer than 4096"),
    ],
)
def test_tensors_that_lie_are_refused(tmp_path, proto, message):
    with pytest.raises(CorruptCheckpointError, match=message) as refusal:
        open_checkpoint(save(tmp_path / "m.onnx", proto))
    assert len(str(refusal.value)) < 500


def test_a_model_nested_without_end_is_refused(tmp_path):
    graph = b""
    for _ in range(40):
        graph = field(1, node("If", (), ("y",), field(1, "then_branch") + field(6, graph)))
    (tmp_path / "m.onnx").write_bytes(field(1, 8) + field(7, graph))
    with pytest.raises(CorruptCheckpointError, match="more than 16 deep"):
        open_checkpoint(tmp_path / "m.onnx")


def test_fields_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(protobuf, "_MOST_FIELDS", 100)
    (tmp_path / "m.onnx").write_bytes(field(1, 8) * 200)
    with pytest.raises(CorruptCheckpointError, match="more than 100 fields"):
        open_checkpoint(tmp_path / "m.onnx")


def test_a_cut_or_damaged_model_is_refused_or_read(tmp_path):
    path = save(tmp_path / "m.onnx", raw("w", WEIGHTS), raw("b", WEIGHTS[0]))
    data = path.read_bytes()
    for end in range(1, len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(CheckpointError, match=r"m\.onnx"):
            open_checkpoint(path)
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        # Any other exception would fail here.
        with suppress(CheckpointError):
            open_checkpoint(path).close()


def test_other_protocol_buffers_are_no_models(tmp_path):
    (tmp_path / "m.bin2").write_bytes(field(1, 8) + field(7, b""))
    with pytest.raises(UnknownFormatError):
        open_checkpoint(tmp_path / "m.bin2")


def test_opening_reads_only_what_describes_the_tensors(tmp_path, monkeypatch):
    path = save(tmp_path / "m.onnx", raw("w", np.zeros(1 << 20, np.float32)))
    n_read = 0
    read = StoredBytes.read

    def counted(self, start, n_bytes, out=None):
        nonlocal n_read
        n_read += n_bytes
        return read(self, start, n_bytes, out)

    monkeypatch.setattr(StoredBytes, "read", counted)
    open_checkpoint(path).close()
    assert 0 < n_read < 1 << 15


@given(
    bits=st.integers(1, 7),
    values=st.lists(st.integers(0, 127), max_size=40),
    start=st.integers(0, 40),
)
def test_codes_of_any_width_are_packed_and_unpacked(bits, values, start):
    dtype = CODES[f"U{bits}"]
    codes = np.array([v % (1 << bits) for v in values], np.uint8)
    stored = dtype.encode(codes)
    assert stored.size == dtype.n_bytes(codes.size)
    number = sum(int(code) << bits * i for i, code in enumerate(codes))
    assert int.from_bytes(stored.tobytes(), "little") == number
    assert dtype.decode(stored, codes.size).tolist() == codes.tolist()
    assert not CODES.keys() & DTYPES.keys()


def test_what_onnx_itself_writes_is_read(tmp_path):
    onnx = pytest.importorskip("onnx")
    rng = np.random.default_rng(0)
    arrays = {
        code: rng.normal(size=(3, 5)).astype(dtype)
        for code, dtype in {"F32": "f4", "F16": "f2", "F64": "f8", "I8": "i1", "I64": "i8"}.items()
    }
    protos = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
    listed = onnx.helper.make_tensor("listed", 1, (4, 6), WEIGHTS.reshape(-1).tolist())
    graph = onnx.helper.make_graph([], "g", [], [], [*protos, listed])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "m.onnx")
    with open_checkpoint(tmp_path / "m.onnx") as checkpoint:
        for name, array in arrays.items():
            assert checkpoint[name].dtype.code == name
            assert checkpoint[name].to_numpy().tolist() == array.tolist()
        assert checkpoint["listed"].to_numpy().tolist() == WEIGHTS.tolist()
