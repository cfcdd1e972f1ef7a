"""NumPy files: every layout and byte order, streamed members, and archives that lie."""

import io
import pickle
import struct
import tempfile
import tracemalloc
import zipfile
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcomplexity.errors import (
    CorruptCheckpointError,
    OutputError,
    UnknownFormatError,
    UnmeasurableError,
)
from kcomplexity.files import zips
from kcomplexity.loaders import open_checkpoint, streamed

MATRIX = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
SAVERS = {"stored": np.savez, "deflated": np.savez_compressed}
LAYOUTS: dict[str, Any] = {
    "row-major": MATRIX,
    "column-major": np.asfortranarray(MATRIX),
    "big-endian": MATRIX.astype(">f4"),
    "big-endian column-major": np.asfortranarray(MATRIX.astype(">f4")),
    "transposed": MATRIX.T,
    "strided": MATRIX[:, ::2, ::-1],
    "a column": np.asfortranarray(MATRIX[:, :1, 0]),
    "0-d": np.array(3.5),
    "0-d big-endian": np.array(3.5, ">f8"),
    "empty": np.zeros((0, 4), np.float16),
    "empty column-major": np.zeros((2, 0, 3), ">f4", order="F"),
    "bool": np.array([[True, False], [False, False]]),
    "complex": np.array([1 + 2j, 3], ">c8"),
    "uint64": np.array([2**64 - 1], np.uint64),
}


def npy(array, version=None):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(array), version)
    return file.getvalue()


def save_members(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("saver", SAVERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read_row_major_and_little_endian(tmp_path, saver, layout):
    array = LAYOUTS[layout]
    path = tmp_path / "model.npz"
    SAVERS[saver](path, w=array)
    expected = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
    with open_checkpoint(path) as checkpoint:
        tensor = checkpoint["w"]
        assert (checkpoint.format, tensor.shape, tensor.layout) == ("npz", array.shape, "out-in")
        assert tensor.raw(0, array.size).tobytes() == expected.tobytes()
        assert tensor.to_numpy().tolist() == array.tolist()
        assert tensor.n_bytes == array.nbytes
        buffer = np.zeros(array.nbytes + 8, np.uint8)
        assert np.shares_memory(tensor.raw(0, array.size, buffer), buffer) or not array.size
        assert buffer.tobytes() == expected.tobytes() + bytes(8)


@settings(max_examples=30, deadline=None)
@given(
    layout=st.sampled_from(["row-major", "column-major", "big-endian", "strided"]),
    saver=st.sampled_from([*SAVERS]),
    data=st.data(),
)
def test_ranges_in_any_order_equal_slices(tmp_path_factory, layout, saver, data):
    array = LAYOUTS[layout]
    path = tmp_path_factory.mktemp("ranges") / "model.npz"
    SAVERS[saver](path, w=array)
    flat = array.reshape(-1).tolist()
    bounds = st.tuples(st.integers(0, len(flat)), st.integers(0, len(flat)))
    with open_checkpoint(path) as checkpoint:
        for start, stop in data.draw(st.lists(bounds, max_size=6)):
            assert checkpoint["w"].read(start, stop).tolist() == flat[start:stop]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_single_array_file_is_named_after_itself(tmp_path, layout):
    path = tmp_path / "weights.of.mine.npy"
    np.save(path, LAYOUTS[layout])
    with open_checkpoint(path) as checkpoint:
        assert (checkpoint.format, [*checkpoint]) == ("npy", ["weights.of.mine"])
        assert checkpoint["weights.of.mine"].to_numpy().tolist() == LAYOUTS[layout].tolist()
        assert checkpoint.n_bytes + checkpoint.n_container_bytes == path.stat().st_size


@pytest.mark.parametrize("saver", SAVERS)
def test_blocks_of_a_column_major_array_may_end_anywhere(tmp_path, saver, monkeypatch):
    SAVERS[saver](tmp_path / "m.npz", w=LAYOUTS["column-major"], v=MATRIX[0].T)
    for block in (4, 12, 28, 100):
        monkeypatch.setattr(streamed, "_BLOCK", block)
        with open_checkpoint(tmp_path / "m.npz") as checkpoint:
            assert checkpoint["w"].to_numpy().tolist() == MATRIX.tolist()
            assert checkpoint["v"].to_numpy().tolist() == MATRIX[0].T.tolist()


def test_only_what_lies_in_order_is_addressable(tmp_path):
    np.savez(tmp_path / "s.npz", **LAYOUTS)
    np.savez_compressed(tmp_path / "d.npz", **LAYOUTS)
    with open_checkpoint(tmp_path / "s.npz") as stored:
        found = {name for name, tensor in stored.items() if tensor.addressable}
    plain = {"row-major", "strided", "a column", "0-d", "empty", "bool", "uint64"}
    # NumPy writes a strided array row-major, and a transposed one as what it is.
    assert found == plain
    with open_checkpoint(tmp_path / "d.npz") as deflated:
        assert not any(tensor.addressable for tensor in deflated.values())


def test_members_are_tensors_in_file_order_with_their_folders(tmp_path):
    path = tmp_path / "m.npz"
    members = {"z/b.npy": npy(MATRIX), "a.npy": npy(np.ones(3)), "z/": b"", "z/b.c.npy": npy(1.5)}
    save_members(path, members)
    with open_checkpoint(path) as checkpoint:
        assert [*checkpoint] == ["z/b", "a", "z/b.c"]
        assert checkpoint.n_bytes + checkpoint.n_container_bytes == path.stat().st_size
        assert checkpoint.notes == ()


@pytest.mark.parametrize("saver", SAVERS)
@pytest.mark.parametrize("layout", ["row-major", "column-major", "big-endian"])
def test_tensors_travel_without_their_values(tmp_path, saver, layout):
    SAVERS[saver](tmp_path / "m.npz", w=LAYOUTS[layout])
    with open_checkpoint(tmp_path / "m.npz") as checkpoint:
        checkpoint["w"].read(3, 9)
        travelled = pickle.loads(pickle.dumps(checkpoint["w"]))
        assert travelled.read().tolist() == MATRIX.reshape(-1).tolist()


def test_a_deflated_member_is_streamed_in_little_memory(tmp_path):
    path = tmp_path / "m.npz"
    np.savez_compressed(path, w=np.zeros(1 << 24, np.float32))
    with open_checkpoint(path) as checkpoint:
        buffer = np.empty(1 << 20, np.uint8)
        tracemalloc.start()
        try:
            for start in range(0, 1 << 24, 1 << 18):
                checkpoint["w"].raw(start, start + (1 << 18), buffer)
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()


def test_the_fingerprint_is_stable_and_sees_the_last_value(tmp_path):
    array = np.asfortranarray(np.zeros((300, 300)))
    for saver in SAVERS.values():
        prints = []
        for last in (0, 0, 1):
            array[-1, -1] = last
            saver(tmp_path / "m.npz", w=array, v=array.astype(">f8", order="C"))
            with open_checkpoint(tmp_path / "m.npz") as checkpoint:
                prints.append(checkpoint.fingerprint())
        assert prints[0] == prints[1] != prints[2]


def test_bfloat16_comes_back_from_two_byte_void_with_a_note(tmp_path):
    values = np.array([1.5, -2.0, 3.25], ml_dtypes.bfloat16)
    np.savez(tmp_path / "m.npz", w=values)
    with open_checkpoint(tmp_path / "m.npz") as checkpoint:
        assert checkpoint["w"].dtype.code == "BF16"
        assert checkpoint["w"].read().tolist() == values.tolist()
        assert checkpoint.notes == (
            "w is stored as |V2, which is what NumPy makes of bfloat16: read as BF16",
        )
    with open_checkpoint(tmp_path / "m.npz", dtypes={"w": "U16"}) as checkpoint:
        assert checkpoint["w"].read().tolist() == values.view(np.uint16).tolist()
        assert checkpoint.notes == ()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("saver", SAVERS)
def test_one_byte_void_is_only_bytes_until_the_user_says_more(tmp_path, saver, order):
    values = np.array([[1, -2], [0.5, 8]], ml_dtypes.float8_e4m3fn, order=order)
    SAVERS[saver](tmp_path / "m.npz", w=values)
    with open_checkpoint(tmp_path / "m.npz") as checkpoint:
        tensor = checkpoint["w"]
        assert (tensor.dtype.code, tensor.dtype.kind, tensor.n_bytes) == ("V1", "opaque", 4)
        assert tensor.raw(0, 4).tolist() == values.view(np.uint8).reshape(-1).tolist()
        with pytest.raises(UnmeasurableError, match=r"V1: .*unless its dtype is given"):
            tensor.read()
    with open_checkpoint(tmp_path / "m.npz", dtypes={"*": "F8_E4M3"}) as checkpoint:
        assert checkpoint["w"].to_numpy().tolist() == values.tolist()


@pytest.mark.parametrize(
    ("array", "code", "bits"),
    [
        pytest.param(np.zeros(3, np.complex128), "complex128", 128, id="complex128"),
        pytest.param(np.zeros(3, "M8[s]"), "datetime64[s]", 64, id="dates"),
        pytest.param(np.zeros(3, "f4,>i2"), "V6", 48, id="records"),
        pytest.param(np.zeros(3, "V3"), "V3", 24, id="three-byte void"),
    ],
)
def test_types_without_a_code_keep_their_bytes(tmp_path, array, code, bits):
    np.savez(tmp_path / "m.npz", w=array)
    with open_checkpoint(tmp_path / "m.npz") as checkpoint:
        tensor = checkpoint["w"]
        assert (tensor.dtype.code, tensor.dtype.bits) == (code, bits)
        assert tensor.raw(0, 3).tobytes() == array.tobytes()
        with pytest.raises(UnmeasurableError, match="only the bytes are measured"):
            tensor.read()


def test_text_and_other_files_are_left_out_with_a_note(tmp_path):
    path = tmp_path / "m.npz"
    members = {
        "w.npy": npy(np.ones(2)),
        "names.npy": npy(np.array(["a", "b"])),
        "bytes.npy": npy(np.array([b"a"])),
        "read\nme.txt": b"hello",
    }
    save_members(path, members)
    with open_checkpoint(path) as checkpoint:
        assert [*checkpoint] == ["w"]
        assert checkpoint.notes == (
            "names is left out: it holds text",
            "bytes is left out: it holds text",
            r"read\nme.txt is left out: it is not a .npy array",
        )
        assert checkpoint.n_bytes + checkpoint.n_container_bytes == path.stat().st_size


def test_a_member_without_a_name_is_left_out_with_a_note(tmp_path):
    # Readers cut a name at its first NUL.
    content = archive(GOOD, ("qq", b"hello")).replace(b"qq", b"\0q")
    (tmp_path / "m.npz").write_bytes(content)
    with open_checkpoint(tmp_path / "m.npz") as checkpoint:
        assert checkpoint.notes == ("a member without a name is left out: it is not a .npy array",)


class Executed(Exception):
    """Raised by a pickle that was run."""


class Bomb:
    def __reduce__(self):
        return (_explode, ())


def _explode():
    raise Executed


@pytest.mark.parametrize("saver", SAVERS)
def test_objects_are_never_unpickled(tmp_path, saver):
    path = tmp_path / "m.npz"
    SAVERS[saver](path, w=np.ones(2), evil=np.array([Bomb()], object))
    with open_checkpoint(path) as checkpoint:
        checkpoint.fingerprint()
        assert [*checkpoint] == ["w"]
        assert "evil is left out: it holds Python objects, which are never" in checkpoint.notes[0]


def test_a_file_of_objects_opens_empty(tmp_path):
    np.save(tmp_path / "m.npy", np.array([Bomb()], object), allow_pickle=True)
    with open_checkpoint(tmp_path / "m.npy") as checkpoint:
        assert len(checkpoint) == 0
        assert checkpoint.n_container_bytes == (tmp_path / "m.npy").stat().st_size


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_format_is_read(tmp_path, version):
    (tmp_path / "m.npy").write_bytes(npy(MATRIX, version))
    with open_checkpoint(tmp_path / "m.npy") as checkpoint:
        assert checkpoint["m"].to_numpy().tolist() == MATRIX.tolist()


def test_a_header_from_python_2_is_read_without_a_warning(tmp_path):
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }\n"
    (tmp_path / "m.npy").write_bytes(header(text) + bytes(24))
    with open_checkpoint(tmp_path / "m.npy") as checkpoint:
        assert checkpoint["m"].shape == (2, 3)


def test_an_archive_without_arrays_opens_empty(tmp_path):
    np.savez(tmp_path / "m.npz")
    with open_checkpoint(tmp_path / "m.npz") as checkpoint:
        assert len(checkpoint) == 0


def test_a_zip_of_other_things_is_not_taken_for_arrays(tmp_path):
    for name in ("m.npz", "m.zip"):
        save_members(tmp_path / name, {"archive/notes": b"x", "archive/version": b"3"})
    with pytest.raises(UnknownFormatError, match=r"without .npy arrays; .* is archive/notes"):
        open_checkpoint(tmp_path / "m.npz")
    with pytest.raises(UnknownFormatError, match="the content is of no known format"):
        open_checkpoint(tmp_path / "m.zip")


def test_zip64_archives_are_read(tmp_path):
    path = tmp_path / "m.npz"
    with (
        zipfile.ZipFile(path, "w") as archive,
        archive.open("w.npy", "w", force_zip64=True) as file,
    ):
        file.write(npy(MATRIX))
    with open_checkpoint(path) as checkpoint:
        assert checkpoint["w"].to_numpy().tolist() == MATRIX.tolist()


def test_the_content_decides(tmp_path):
    np.savez(tmp_path / "model.safetensors", w=MATRIX)
    (tmp_path / "model.safetensors.npz").rename(tmp_path / "model.safetensors")
    with open_checkpoint(tmp_path / "model.safetensors") as checkpoint:
        assert checkpoint.format == "npz"
        assert "is npz by its content, whatever its extension .safetensors" in checkpoint.notes[0]


def header(text, magic=b"\x93NUMPY\x01\x00"):
    return magic + len(text).to_bytes(2, "little") + text


def header_of(descr="'<f4'", order="False", shape="(2,)", more=""):
    return header(
        f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}{more}}}\n".encode()
    )


NPY_ATTACKS = {
    "cut magic": (b"\x93NUMPY\x01", "not an array in NumPy's format"),
    "unknown version": (b"\x93NUMPY\x09\x00" + bytes(200), "version 9 of NumPy's format"),
    "header longer than the file": (header(b"{}")[:8] + b"\xff\x00{}", "claims 265 bytes of 12"),
    "header of gigabytes": (
        b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + bytes(99),
        "header claims 21474",
    ),
    "header no literal": (header(b"__import__('os').system('false')\n"), "header is damaged"),
    "header nested": (header(b"(" * 5000), "header is damaged"),
    "header not text": (header(b"\xff\xfe\x00" * 9), "header is damaged"),
    "header no dict": (header(b"[1, 2, 3]\n"), "header is damaged"),
    "missing key": (header(b"{'descr': '<f4'}\n"), "header is damaged"),
    "extra key": (header_of(more=", 'x': 1") + bytes(8), "header is damaged"),
    "unknown type": (header_of("'<q9'") + bytes(8), "header is damaged"),
    "type no text": (header_of("3") + bytes(8), "header is damaged"),
    "shape no tuple": (header_of(shape="8") + bytes(8), "header is damaged"),
    "negative shape": (header_of(shape="(-2, -1)") + bytes(8), "shape .* is invalid"),
    "boolean shape": (header_of(shape="(True, 2)") + bytes(8), "shape .* is invalid"),
    "terabytes": (header_of(shape="(1 << 40,)".replace("1 << 40", str(1 << 40))), "takes 4398046"),
    "cut": (header_of() + bytes(7), "takes 8 bytes, but 7 follow its header"),
    "two arrays": (header_of() + bytes(16), "takes 8 bytes, but 16 follow"),
    "order no bool": (header_of(order="3") + bytes(8), "header is damaged"),
}


@pytest.mark.parametrize("name", NPY_ATTACKS)
@pytest.mark.parametrize("saved", ["npy", "stored", "deflated"])
def test_a_damaged_array_gets_one_clear_line(tmp_path, name, saved):
    content, message = NPY_ATTACKS[name]
    path = tmp_path / "m.npy"
    if saved == "npy":
        path.write_bytes(content)
    else:
        kind = zipfile.ZIP_STORED if saved == "stored" else zipfile.ZIP_DEFLATED
        path = save_members(tmp_path / "m.npz", {"w.npy": content}, kind)
    with pytest.raises(CorruptCheckpointError, match=message) as refused:
        open_checkpoint(path)
    assert str(refused.value).startswith(str(path))
    assert str(refused.value).isprintable()


def archive(*members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        for name, content in members:
            made.writestr(name, content)
    return bytearray(file.getvalue())


def patched(content, signature, offset, value, width):
    """Overwrite a field of every zip record that starts with `signature`."""
    at = content.find(signature)
    while at >= 0:
        content[at + offset : at + offset + width] = value.to_bytes(width, "little")
        at = content.find(signature, at + 4)
    return content


CENTRAL, LOCAL = b"PK\x01\x02", b"PK\x03\x04"
GOOD = ("w.npy", npy(np.zeros(1000)))


def quoted_overlap():
    """Two directory entries over the same stored bytes: how small archives unpack to petabytes."""
    content = archive(GOOD)
    central = content.index(CENTRAL)
    end = content.index(b"PK\x05\x06")
    entry = bytearray(content[central:end])
    copy = entry.replace(b"w.npy", b"v.npy")
    tail = content[end:]
    struct.pack_into("<HH", tail, 8, 2, 2)
    struct.pack_into("<I", tail, 12, 2 * len(entry))
    return content[:central] + entry + copy + tail


ZIP_ATTACKS = {
    "cut": (lambda: archive(GOOD)[:-30], "not a whole zip archive"),
    "no directory": (lambda: archive(GOOD)[:4000], "not a whole zip archive"),
    "stored member of terabytes": (
        lambda: patched(archive(GOOD), CENTRAL, 24, 0xFFFFFFF0, 4),
        "claims 4294967280 bytes, but its .* cannot hold",
    ),
    "deflated member of terabytes": (
        lambda: patched(archive(GOOD, compression=zipfile.ZIP_DEFLATED), CENTRAL, 24, 2**32 - 9, 4),
        "claims 4294967287 bytes, but its .* cannot hold them",
    ),
    "member that leaves the file": (
        lambda: patched(patched(archive(GOOD), CENTRAL, 24, 10**6, 4), CENTRAL, 20, 10**6, 4),
        "member w.npy leaves the file",
    ),
    "member that starts outside": (
        lambda: patched(archive(GOOD), CENTRAL, 42, 10**6, 4),
        "starts outside the file|whole zip",
    ),
    "no local header": (lambda: patched(archive(GOOD), LOCAL, 0, 0, 4), "has no local header"),
    "encrypted": (lambda: patched(archive(GOOD), CENTRAL, 8, 1, 2), "w.npy is encrypted; unpack"),
    "unknown compression": (lambda: patched(archive(GOOD), CENTRAL, 10, 99, 2), "by method 99"),
    "bzip2": (lambda: archive(GOOD, compression=zipfile.ZIP_BZIP2), "by method 12; expected"),
    "overlapping members": (quoted_overlap, "members w.npy and v.npy overlap"),
    "a name twice": (
        lambda: archive(GOOD, ("v.npy", GOOD[1])).replace(b"v.npy", b"w.npy"),
        "two members are called w.npy",
    ),
    "no name": (lambda: archive((".npy", GOOD[1])), "has no name before its .npy"),
}


@pytest.mark.parametrize("name", ZIP_ATTACKS)
def test_a_lying_archive_gets_one_clear_line(tmp_path, name):
    make, message = ZIP_ATTACKS[name]
    path = tmp_path / "m.npz"
    path.write_bytes(make())
    tracemalloc.start()
    try:
        with pytest.raises(CorruptCheckpointError, match=message) as refused:
            open_checkpoint(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert str(refused.value).startswith(str(path))


def test_a_bomb_costs_nothing_to_open_and_little_to_read(tmp_path):
    # 256 MiB of zeros in 1 MB: true to its word, so it is read, but never at once.
    array = np.lib.format.magic(1, 0) + header_of("'|u1'", shape=f"({1 << 28},)")[8:]
    path = tmp_path / "m.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made,
        made.open("w.npy", "w") as file,
    ):
        file.write(array)
        for _ in range(1 << 8):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        with open_checkpoint(path) as checkpoint:
            assert checkpoint.n_bytes == 1 << 28
            assert checkpoint["w"].read(1 << 24, (1 << 24) + 2).tolist() == [0, 0]
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def deflated_with(change):
    content = archive(("w.npy", npy(np.arange(20_000.0))), compression=zipfile.ZIP_DEFLATED)
    start = content.index(LOCAL) + 30 + len("w.npy")
    return change(content, start, content.index(CENTRAL))


DAMAGED_STREAMS = {
    "a wrong checksum": (lambda c, a, z: patched(c, CENTRAL, 16, 7, 4), "checksum is wrong"),
    "bytes that are no deflate": (
        lambda c, a, z: c[: a + 5000] + b"\xff" * (z - a - 5000) + c[z:],
        "Error -3|checksum|end after",
    ),
}


@pytest.mark.parametrize("name", DAMAGED_STREAMS)
def test_damaged_bytes_are_told_when_they_are_read(tmp_path, name):
    change, message = DAMAGED_STREAMS[name]
    path = tmp_path / "m.npz"
    path.write_bytes(deflated_with(change))
    with open_checkpoint(path) as checkpoint:
        assert checkpoint["w"].read(0, 10).tolist() == [*range(10)]
        for _ in range(2):
            with pytest.raises(
                CorruptCheckpointError, match=f"member w.npy are damaged: .*({message})"
            ):
                checkpoint["w"].read()
        assert checkpoint["w"].read(0, 10).tolist() == [*range(10)]


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    np.savez(tmp_path / "m.npz", *[np.ones(1)] * 4000)
    monkeypatch.setattr(zips, "MAX_DIRECTORY", 100_000)
    tracemalloc.start()
    with pytest.raises(
        CorruptCheckpointError, match=r"its directory takes \d+ bytes; at most 1000"
    ):
        open_checkpoint(tmp_path / "m.npz")
    # Nothing of it was parsed: 4,000 entries take two megabytes.
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_full_disk_is_told_and_nothing_is_left(tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    np.savez(tmp_path / "m.npz", w=np.asfortranarray(MATRIX))
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda prefix: Full())
    with (
        open_checkpoint(tmp_path / "m.npz") as checkpoint,
        pytest.raises(OutputError, match=r"needs 240 bytes in .*No space left on device"),
    ):
        checkpoint["w"].read()
