"""Safetensors files, good and hostile, and the door that every format comes through."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from kcomplexity.containers.safetensors import MAX_HEADER
from kcomplexity.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CorruptCheckpointError,
    SpecError,
    UnknownFormatError,
    UnmeasurableError,
)
from kcomplexity.loaders import LOADERS, open_checkpoint
from kcomplexity.mosaics.fitting import fit_mosaic
from kcomplexity.tensors.checkpoint import Checkpoint, StoredTensor
from kcomplexity.tensors.dtypes import DTYPES
from tests import (
    test_loaders_flax,
    test_loaders_gguf,
    test_loaders_onnx,
    test_loaders_tflite,
    test_loaders_zarr,
    torch_files,
)


def entry(dtype="U8", shape=(4,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def encoded(header, data=b"", length=None):
    """A safetensors file from a header (an object, JSON text or bytes), however wrong."""
    if isinstance(header, dict):
        header = json.dumps(header)
    if isinstance(header, str):
        header = header.encode()
    length = len(header) if length is None else length
    return length.to_bytes(8, "little") + header + data


ONE = json.dumps(entry())

ATTACKS = {
    "empty file": (b"", "the file is empty"),
    "three bytes": (b"abc", "3 bytes are too few for a safetensors file"),
    "garbage": (bytes(range(128, 228)), "claim a header of .* safetensors allows 100000000"),
    "huge header length": (encoded("{}", length=2**63), "claim a header of 9223372036854775808"),
    "header just above the limit": (encoded("{}", length=MAX_HEADER + 1), "a header of 100000001"),
    "header longer than the file": (encoded("{}", length=3), "3 bytes long, but only 2 follow"),
    "header cut": (encoded({"w": entry()})[:30], "should be .* but only 22 follow"),
    "header not JSON": (encoded('{"w": '), "header is not valid JSON: Expecting value"),
    "header no object": (encoded("[1, 2]"), "is a JSON list; expected an object"),
    "header empty": (encoded(""), "not valid JSON"),
    "header not UTF-8": (encoded(b'{"\xff": 1}'), "is not UTF-8 at its byte 2"),
    "NaN in the header": (encoded('{"w": NaN}'), "NaN is not a JSON number"),
    "Infinity in the header": (encoded('{"w": -Infinity}'), "-Infinity is not a JSON number"),
    "integer of 5000 digits": (encoded('{"w": ' + "1" * 5000 + "}"), "not valid JSON: Exceeds"),
    "nested too deeply": (encoded('{"w": ' + "[" * 100_000), "nested too deeply"),
    "duplicate tensor": (encoded(f'{{"w": {ONE}, "w": {ONE}}}', b"1234"), "key 'w' is there twice"),
    "duplicate key in an entry": (
        encoded('{"w": {"dtype": "U8", "dtype": "I8", "shape": [0], "data_offsets": [0, 0]}}'),
        "key 'dtype' is there twice",
    ),
    "lone surrogate in a name": (encoded(f'{{"\\ud800": {ONE}}}', b"1234"), "lone surrogate"),
    "entry no object": (encoded({"w": 3}), "w is not described by dtype, shape and data_offsets"),
    "entry without offsets": (encoded({"w": {"dtype": "U8", "shape": []}}), "w is not described"),
    "unknown dtype": (
        encoded({"w": entry("F8_E3M4")}, b"1234"),
        "dtype 'F8_E3M4', .* not one of BOOL",
    ),
    "dtype no text": (encoded({"w": entry(["U8"])}, b"1234"), "which is not one of"),
    "negative shape": (encoded({"w": entry(shape=(-4,))}, b"1234"), r"has shape \[-4\]; expected"),
    "fractional shape": (encoded({"w": entry(shape=(4.0,))}, b"1234"), r"has shape \[4.0\]"),
    "boolean shape": (encoded({"w": entry(shape=(True,))}, b"1"), r"has shape \[true\]"),
    "shape beyond 64 bits": (encoded({"w": entry(shape=(2**64, 0), offsets=(0, 0))}), "has shape"),
    "shape that overflows": (
        encoded({"w": entry(shape=(2**62, 2**62), offsets=(0, 0))}),
        "takes .* bytes, while its data_offsets span 0",
    ),
    "three offsets": (encoded({"w": entry(offsets=(0, 4, 4))}, b"1234"), "has data_offsets"),
    "offsets reversed": (encoded({"w": entry(offsets=(4, 0))}, b"1234"), r"\[4, 0\]; expected"),
    "negative offsets": (encoded({"w": entry(offsets=(-4, 0))}, b"1234"), r"\[-4, 0\]"),
    "wrong byte count": (
        encoded({"w": entry(shape=(5,))}, b"1234"),
        "takes 5 bytes, while .* span 4",
    ),
    "half a byte": (encoded({"w": entry("F4", (3,), (0, 2))}, b"12"), "takes 12 bits, .* pad"),
    "data cut": (encoded({"w": entry()}, b"123"), "w ends at data byte 4, but the file holds 3"),
    "offsets leave the file": (
        encoded({"a": entry(), "w": entry("U8", (2**40,), (4, 4 + 2**40))}, b"1234"),
        "w ends at data byte .* it is cut",
    ),
    "overlap": (
        encoded({"a": entry(), "b": entry(offsets=(3, 7))}, b"1234567"),
        "tensors a and b overlap at data byte 3",
    ),
    "two tensors on the same bytes": (encoded({"a": entry(), "b": entry()}, b"1234"), "overlap"),
    "hole": (
        encoded({"w": entry(), "b": entry(offsets=(6, 10))}, b"1234567890"),
        "2 bytes between w",
    ),
    "hole at the start": (encoded({"w": entry(offsets=(4, 8))}, b"12345678"), "between the header"),
    "data that belong to no tensor": (encoded({"w": entry()}, b"123456"), "2 bytes after the last"),
    "metadata not text": (encoded({"__metadata__": {"epoch": 3}}), "expected an object of strings"),
    "metadata a list": (encoded({"__metadata__": ["pt"]}), "expected an object of strings"),
    "terminal codes in a name": (encoded({"\x1b[2J\nw": 3}), r"tensor \\x1b\[2J\\nw is not"),
    # A sum of zero that only the library's checked multiplication notices.
    "overflow hidden by a zero": (
        encoded({"w": entry(shape=(2**62, 2**62, 0), offsets=(0, 0))}),
        "safetensors library refuses it: .*overflow",
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_damaged_file_gets_one_clear_line(tmp_path, name):
    content, message = ATTACKS[name]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CorruptCheckpointError, match=message) as refused:
        open_checkpoint(path)
    line = str(refused.value)
    assert line.startswith(str(path))
    assert line.isprintable()
    assert len(line) < 700


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs a list of open files")
def test_a_refused_file_is_closed_again(tmp_path):
    path = tmp_path / "model.safetensors"
    before = len([*Path("/proc/self/fd").iterdir()])
    for content, _ in ATTACKS.values():
        path.write_bytes(content)
        with pytest.raises(CorruptCheckpointError):
            open_checkpoint(path)
    assert len([*Path("/proc/self/fd").iterdir()]) == before


@pytest.mark.parametrize("code", DTYPES)
def test_every_dtype_is_read_or_refused_by_name_with_its_bytes(tmp_path, code):
    dtype = DTYPES[code]
    raw = np.random.default_rng(1).integers(0, 2, 8 * dtype.bits // 8 * 3, np.uint8)
    header = {"w": entry(code, (3, 8), (0, raw.size))}
    path = tmp_path / "model.safetensors"
    path.write_bytes(encoded(header, raw.tobytes()))
    with open_checkpoint(path) as checkpoint:
        tensor = checkpoint["w"]
        assert (tensor.dtype.code, tensor.shape, tensor.n_bytes) == (code, (3, 8), raw.size)
        assert tensor.raw(0, 24).tobytes() == raw.tobytes()
        assert tensor.raw(8, 16).tobytes() == raw[raw.size // 3 : 2 * raw.size // 3].tobytes()
        if dtype.numpy is None:
            with pytest.raises(UnmeasurableError, match=f"{code}: "):
                tensor.read()
        else:
            assert tensor.read(8, 16).tobytes() == tensor.read()[8:16].tobytes()
            assert tensor.read().dtype == dtype.numpy


def test_tensors_are_in_file_order_and_hold_what_was_saved(tmp_path):
    rng = np.random.default_rng(2)
    arrays: dict[str, Any] = {
        "z": rng.normal(size=(3, 5)).astype(np.float32),
        "a": rng.normal(size=7),
        "none": np.zeros((0, 3), np.float16),
        "scalar": np.array(3, np.uint16),
    }
    path = tmp_path / "model.safetensors"
    save_file(arrays, path, metadata={"format": "pt", "note": "größe"})
    with open_checkpoint(str(path)) as checkpoint:
        assert checkpoint.format == "safetensors"
        assert checkpoint.metadata == {"format": "pt", "note": "größe"}
        assert checkpoint.notes == ()
        assert checkpoint.n_bytes + checkpoint.n_container_bytes == path.stat().st_size
        assert sorted(checkpoint) == sorted(arrays)
        stored = [tensor for tensor in checkpoint.values() if isinstance(tensor, StoredTensor)]
        offsets = [tensor.offset for tensor in stored]
        assert offsets == sorted(offsets)
        assert len(offsets) == len(arrays)
        for name, array in arrays.items():
            assert checkpoint[name].layout == "out-in"
            assert checkpoint[name].addressable
            np.testing.assert_array_equal(checkpoint[name].to_numpy(), array, strict=True)


@pytest.mark.parametrize("writer", ["flax", "tf", "keras"])
def test_layout_follows_the_writer(tmp_path, writer):
    save_file({"w": np.zeros((2, 3))}, tmp_path / "m.safetensors", metadata={"format": writer})
    with open_checkpoint(tmp_path / "m.safetensors") as checkpoint:
        assert checkpoint["w"].layout == "in-out"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(encoded("{}"), id="no tensors"),
        pytest.param(encoded("{}     "), id="padded header"),
        pytest.param(encoded({"__metadata__": None}), id="null metadata"),
    ],
)
def test_a_file_without_tensors_opens_empty(tmp_path, content):
    (tmp_path / "m.safetensors").write_bytes(content)
    with open_checkpoint(tmp_path / "m.safetensors") as checkpoint:
        assert len(checkpoint) == 0
        assert checkpoint.n_container_bytes == len(content)


def test_opening_reads_the_header_only(tmp_path):
    header = json.dumps({"w": entry("F32", (2**38,), (0, 2**40))}).encode()
    path = tmp_path / "sparse.safetensors"
    try:
        with path.open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            file.truncate(8 + len(header) + 2**40)
    except OSError:
        pytest.skip("the file system keeps no sparse file of a terabyte")
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.n_bytes == 2**40
        assert checkpoint["w"].read(2**37, 2**37 + 3).tolist() == [0, 0, 0]
        assert len(checkpoint.fingerprint()) == 64


def test_the_content_decides_and_a_wrong_extension_is_noted(tmp_path):
    save_file({"w": np.ones(2)}, tmp_path / "model.npz")
    with open_checkpoint(tmp_path / "model.npz") as checkpoint:
        assert checkpoint.format == "safetensors"
        assert checkpoint.notes == (
            "model.npz is safetensors by its content, whatever its extension .npz says",
        )
    save_file({"w": np.ones(2)}, tmp_path / "blob")
    with open_checkpoint(tmp_path / "blob") as checkpoint:
        assert checkpoint.notes == ()


def test_one_shard_alone_is_read_with_a_note(tmp_path):
    save_file({"w": np.ones(2)}, tmp_path / "model-00002-of-00003.safetensors")
    with open_checkpoint(tmp_path / "model-00002-of-00003.safetensors") as checkpoint:
        assert "is shard 2 of 3; give its folder" in checkpoint.notes[0]


def test_a_missing_path_is_told(tmp_path):
    with pytest.raises(CheckpointNotFoundError, match=r"gone.safetensors: no such file; check"):
        open_checkpoint(tmp_path / "gone.safetensors")
    with pytest.raises(FileNotFoundError):
        open_checkpoint(tmp_path / "gone\0\n")


def test_a_link_to_nowhere_is_told(tmp_path):
    try:
        (tmp_path / "m.safetensors").symlink_to(tmp_path / "blob")
    except OSError:
        pytest.skip("no links here")
    with pytest.raises(CheckpointNotFoundError, match="a link to a file that is not there"):
        open_checkpoint(tmp_path / "m.safetensors")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="neither a file nor a folder"):
        open_checkpoint(tmp_path / "pipe")


def test_an_unreadable_file_is_told(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(encoded("{}"))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(CheckpointError, match="cannot be opened: Permission denied"):
        open_checkpoint(path)


def test_unknown_content_lists_the_formats(tmp_path):
    (tmp_path / "notes.txt").write_text("hello there, this is no checkpoint")
    with pytest.raises(
        UnknownFormatError, match="expected one of: mosaic, safetensors, zarr, sharded, npz, npy"
    ):
        open_checkpoint(tmp_path / "notes.txt")


@pytest.mark.parametrize("source", [3, None, [np.ones(2)], b"model.safetensors", np.ones(2)])
def test_what_is_neither_path_nor_mapping_is_refused(source):
    with pytest.raises(CheckpointError, match="expected a path or a mapping of names to arrays"):
        open_checkpoint(source)


def test_an_open_checkpoint_is_returned_as_it_is():
    checkpoint = open_checkpoint({"w": np.ones(2)})
    assert open_checkpoint(checkpoint) is checkpoint


def test_the_user_may_say_what_the_values_are(tmp_path):
    codes = np.array([0x38, 0xC0], np.uint8)  # E4M3: 1.0 and -2.0
    save_file({"a.w": codes, "b.w": codes}, tmp_path / "m.safetensors")
    with open_checkpoint(tmp_path / "m.safetensors", dtypes={"a.*": "F8_E4M3"}) as checkpoint:
        assert checkpoint["a.w"].read().astype(float).tolist() == [1.0, -2.0]
        assert checkpoint["b.w"].dtype.code == "U8"


@pytest.mark.parametrize(
    ("dtypes", "message"),
    [
        pytest.param({"*": "FP8"}, "dtype 'FP8' for '\\*' is unknown; expected one", id="code"),
        pytest.param({"x*": "U8"}, "no tensor of .* matches 'x\\*', for which a dtype", id="glob"),
        pytest.param({"*": "F16"}, r"w stores 8 bits a value \(U8\), and F16 has 16", id="width"),
    ],
)
def test_a_dtype_that_cannot_be_is_refused(dtypes, message):
    with pytest.raises(SpecError, match=message):
        open_checkpoint({"w": np.ones(2, np.uint8)}, dtypes=dtypes)


@pytest.mark.parametrize("name", LOADERS)
class TestEveryLoader:
    """The contract at the top of loaders/base.py, for whatever is registered."""

    def test_sniffing_never_raises_and_is_shy(self, tmp_path, name):
        loader = LOADERS[name]
        path = tmp_path / "file.bin"
        heads = [b"", b"\0", b"{", b"PK", b"PK\x03\x04" * 9, b"text, just text", bytes(4096)]
        for head in heads:
            path.write_bytes(head)
            assert loader.sniff(path, head) is False

    def test_its_extensions_are_lower_case_suffixes(self, name):
        extensions = LOADERS[name].extensions
        assert extensions
        assert all(e.startswith(".") and e == e.lower() for e in extensions)

    def test_garbage_that_claims_to_be_its_format_is_one_clear_line(self, tmp_path, name):
        rng = np.random.default_rng(3)
        for extension in LOADERS[name].extensions:
            path = tmp_path / f"file{extension}"
            for n in (1, 9, 100, 5000):
                path.write_bytes(rng.integers(128, 256, n, np.uint8).tobytes())
                with pytest.raises(CheckpointError) as refused:
                    open_checkpoint(path)
                assert str(refused.value).isprintable()

    def test_what_it_opens_is_a_lazy_closable_checkpoint(self, tmp_path, name):
        path = WRITERS[name](tmp_path)
        with open_checkpoint(path) as checkpoint:
            assert isinstance(checkpoint, Checkpoint)
            assert (checkpoint.format, checkpoint.path) == (name, str(path))
            assert checkpoint.sources
            assert checkpoint.n_container_bytes > 0 or name in DECODED
            fingerprint = checkpoint.fingerprint()
            for key, tensor in checkpoint.items():
                assert tensor.name == key
                assert tensor.read().tolist() == [1.0, 2.0]
        with open_checkpoint(path) as again:
            assert again.fingerprint() == fingerprint
        if name not in DECODED:
            with pytest.raises(CheckpointError, match="was closed"):
                next(iter(checkpoint.values())).read()


#: Formats whose weights are not in the file: it is read whole when it is opened.
DECODED = {"mosaic"}


def _safetensors(folder):
    save_file({"w": np.array([1.0, 2.0])}, folder / "m.safetensors")
    return folder / "m.safetensors"


def _sharded(folder):
    for i in (1, 2):
        name = f"m-0000{i}-of-00002.safetensors"
        save_file({f"w{i}": np.array([1.0, 2.0])}, folder / name)
    return folder


def _npz(folder):
    np.savez(folder / "m.npz", w=np.array([1.0, 2.0]))
    return folder / "m.npz"


def _npy(folder):
    np.save(folder / "m.npy", np.array([1.0, 2.0]))
    return folder / "m.npy"


VALUES = np.array([1.0, 2.0], np.float32)


def _pytorch(folder):
    opcodes = torch_files.mapping({"w": torch_files.whole("0", VALUES)})
    return torch_files.save_zip(folder / "m.pt", opcodes, {"0": VALUES})


def _hdf5(folder):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "m.h5", "w") as file:
        file["w"] = VALUES
    return folder / "m.h5"


def _onnx(folder):
    return test_loaders_onnx.save(folder / "m.onnx", test_loaders_onnx.raw("w", VALUES))


def _gguf(folder):
    return test_loaders_gguf.save(folder / "m.gguf", {"w": ((2,), 0, VALUES.tobytes())})


def _tflite(folder):
    tensors = [test_loaders_tflite.tensor("w", (2,), 0, 1)]
    return test_loaders_tflite.save(folder / "m.tflite", tensors, [VALUES.tobytes()])


def _flax(folder):
    (folder / "m.msgpack").write_bytes(test_loaders_flax.mapping(w=VALUES))
    return folder / "m.msgpack"


def _zarr(folder):
    pytest.importorskip("tensorstore")
    test_loaders_zarr.save(folder / "m.zarr", "zarr", w=VALUES)
    return folder / "m.zarr"


def _mosaic(folder):
    path = folder / "m.mosaic.safetensors"
    weights = {"w": np.array([1, 2], np.float32)}
    fit_mosaic(weights, method="sample", motifs=1, block_size=2, all_tensors=True).save(path)
    return path


#: One good file per format; a new loader adds its own here.
WRITERS = {
    "mosaic": _mosaic,
    "safetensors": _safetensors,
    "sharded": _sharded,
    "npz": _npz,
    "npy": _npy,
    "pytorch": _pytorch,
    "hdf5": _hdf5,
    "onnx": _onnx,
    "gguf": _gguf,
    "tflite": _tflite,
    "flax": _flax,
    "zarr": _zarr,
}
