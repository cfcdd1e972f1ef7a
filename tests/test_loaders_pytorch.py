"""PyTorch files: windows of every kind, which tensors are read, and pickles that attack."""

import builtins
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from kcomplexity.errors import (
    CheckpointError,
    CorruptCheckpointError,
    ForbiddenGlobalError,
    SpecError,
    UnknownFormatError,
)
from kcomplexity.files import pickles
from kcomplexity.files.streams import StoredBytes
from kcomplexity.loaders import open_checkpoint
from kcomplexity.scoring.score import score
from tests.torch_files import (
    call,
    integer,
    mapping,
    named,
    program,
    row,
    save_legacy,
    save_zip,
    storage,
    text,
    whole,
    window,
)

WEIGHTS = np.arange(24, dtype=np.float32).reshape(4, 6)
BIAS = np.array([1, -2, np.nan], np.float32)
SAVERS: dict[str, Callable[..., Path]] = {"zip": save_zip, "legacy": save_legacy}


@pytest.mark.parametrize("saver", SAVERS)
def test_a_state_dict_is_read_where_it_lies(tmp_path, saver):
    value = mapping({"fc.weight": whole("0", WEIGHTS), "fc.bias": whole("1", BIAS)})
    path = SAVERS[saver](tmp_path / "m.pt", value, {"0": WEIGHTS, "1": BIAS})
    with open_checkpoint(path) as checkpoint:
        assert (checkpoint.format, [*checkpoint]) == ("pytorch", ["fc.weight", "fc.bias"])
        assert checkpoint["fc.weight"].to_numpy().tolist() == WEIGHTS.tolist()
        assert checkpoint["fc.bias"].raw(0, 3).tobytes() == BIAS.tobytes()
        assert all(tensor.addressable for tensor in checkpoint.values())
        assert checkpoint.n_bytes + checkpoint.n_container_bytes == path.stat().st_size


@settings(max_examples=40, deadline=None)
@given(data=st.data(), saver=st.sampled_from([*SAVERS]))
def test_any_window_equals_numpy_strides(tmp_path_factory, data, saver):
    n = data.draw(st.integers(1, 60))
    values = np.arange(n, dtype=np.float32)
    shape = data.draw(st.lists(st.integers(1, 4), max_size=4))
    strides = [data.draw(st.integers(0, 9)) for _ in shape]
    span = 1 + sum((a - 1) * b for a, b in zip(shape, strides, strict=True))
    offset = data.draw(st.integers(0, 12))
    opcodes = mapping({"w": window("0", n, shape, strides, offset)})
    path = SAVERS[saver](tmp_path_factory.mktemp("w") / "m.pt", opcodes, {"0": values})
    if offset + span > n:
        with pytest.raises(CorruptCheckpointError, match="reaches byte"):
            open_checkpoint(path)
        return
    steps = [4 * step for step in strides]
    expected = as_strided(values[offset:], shape, steps).reshape(-1)
    with open_checkpoint(path) as checkpoint:
        if expected.size > span:
            assert not checkpoint
            assert "more than once" in checkpoint.notes[0]
            return
        start, stop = sorted(data.draw(st.tuples(*[st.integers(0, expected.size)] * 2)))
        assert checkpoint["w"].read().tolist() == expected.tolist()
        assert checkpoint["w"].read(start, stop).tolist() == expected[start:stop].tolist()


@pytest.mark.parametrize(
    ("kind", "array", "code"),
    [
        ("DoubleStorage", np.array([1.5, -2]), "F64"),
        ("HalfStorage", np.array([1.5, -2], np.float16), "F16"),
        ("BFloat16Storage", np.array([1.5, -2], ml_dtypes.bfloat16), "BF16"),
        ("BoolStorage", np.array([True, False]), "BOOL"),
        ("ByteStorage", np.array([1, 255], np.uint8), "U8"),
        ("CharStorage", np.array([1, -128], np.int8), "I8"),
        ("ShortStorage", np.array([1, -3], np.int16), "I16"),
        ("IntStorage", np.array([1, -3], np.int32), "I32"),
        ("LongStorage", np.array([1, -3], np.int64), "I64"),
        ("ComplexFloatStorage", np.array([1j, 2], np.complex64), "C64"),
        ("ComplexDoubleStorage", np.array([1j, 2]), "complex128"),
    ],
)
def test_every_storage_type_keeps_its_bytes(tmp_path, kind, array, code):
    path = save_zip(tmp_path / "m.pt", mapping({"w": whole("0", array, kind)}), {"0": array})
    with open_checkpoint(path) as checkpoint:
        assert checkpoint["w"].dtype.code == code
        assert checkpoint["w"].raw(0, 2).tobytes() == array.tobytes()


def test_an_untyped_storage_takes_the_dtype_of_its_tensor(tmp_path):
    array = np.array([0.5, 448], ml_dtypes.float8_e4m3fn)
    pid = row(text("storage"), named("torch.storage.UntypedStorage"), text("0"), text("cpu"))
    pid = pid[:-1] + integer(2) + b"tQ"
    args = [pid, integer(0), row(integer(2)), row(integer(1)), b"\x89", b"N"]
    opcodes = call("torch._utils._rebuild_tensor_v3", *args, named("torch.float8_e4m3fn"))
    with open_checkpoint(save_zip(tmp_path / "m.pt", opcodes, {"0": array})) as checkpoint:
        assert [*checkpoint] == ["m"]
        assert checkpoint["m"].read().tolist() == array.tolist()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_big_endian_and_deflated_storages_are_turned_as_they_are_read(tmp_path, compression):
    big = WEIGHTS.astype(">f4")
    opcodes = mapping({"w": whole("0", WEIGHTS)})
    path = save_zip(tmp_path / "m.pt", opcodes, {"0": big}, compression, byteorder=b"big")
    with open_checkpoint(path) as checkpoint:
        assert checkpoint["w"].to_numpy().tolist() == WEIGHTS.tolist()


def test_tied_tensors_count_once_and_views_apart(tmp_path):
    tensors = {
        "embed.weight": whole("0", WEIGHTS),
        "head.weight": whole("0", WEIGHTS),
        "first": window("0", 24, [6], [1]),
    }
    path = save_zip(tmp_path / "m.pt", mapping(tensors), {"0": WEIGHTS})
    with open_checkpoint(path) as checkpoint:
        assert [*checkpoint] == ["embed.weight", "first"]
        (note,) = checkpoint.notes
        assert note == (
            "1 tensor is another one under a second name, such as head.weight = embed.weight: "
            "counted once"
        )


def nested():
    moments = mapping({"exp_avg": whole("1", BIAS)})
    return {
        "epoch": integer(7),
        "state_dict": mapping({"module.fc.weight": whole("0", WEIGHTS)}),
        "optimizer": mapping({"state": mapping({"0": moments})}),
        "normalizer": mapping({"mean": window("1", 3, [2], [1])}),
    }


def test_the_weights_are_found_in_a_training_state(tmp_path):
    path = save_zip(tmp_path / "m.ckpt", mapping(nested()), {"0": WEIGHTS, "1": BIAS})
    with open_checkpoint(path) as checkpoint:
        assert [*checkpoint] == ["fc.weight"]
        assert checkpoint.metadata == {"epoch": "7"}
        notes = "\n".join(checkpoint.notes)
        assert "1 tensor of optimizer is left out, which training keeps in addition" in notes
        assert "1 tensor of normalizer is left out, outside 'state_dict'" in notes
        assert "starts with 'module.', which is taken off" in notes


@pytest.mark.parametrize("saver", SAVERS)
def test_what_is_left_out_is_no_container(tmp_path, saver):
    value = mapping(
        {"state_dict": mapping({"w": whole("0", WEIGHTS)}), "optimizer": whole("1", WEIGHTS)}
    )
    path = SAVERS[saver](tmp_path / "m.pt", value, {"0": WEIGHTS, "1": WEIGHTS})
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.n_bytes == WEIGHTS.nbytes
        assert checkpoint.n_container_bytes == path.stat().st_size - 2 * WEIGHTS.nbytes


@pytest.mark.parametrize(
    ("root", "names"),
    [
        (
            ".",
            ["state_dict.module.fc.weight", "optimizer.state.0.exp_avg", "normalizer.mean"],
        ),
        ("state_dict", ["module.fc.weight"]),
        ("state_dict.module.fc.weight", ["weight"]),
        ("optimizer.state", ["0.exp_avg"]),
    ],
)
def test_a_root_reads_what_it_names(tmp_path, root, names):
    path = save_zip(tmp_path / "m.ckpt", mapping(nested()), {"0": WEIGHTS, "1": BIAS})
    with open_checkpoint(path, root=root) as checkpoint:
        assert [*checkpoint] == names


def test_a_root_that_leads_nowhere_tells_the_keys(tmp_path):
    path = save_zip(tmp_path / "m.ckpt", mapping(nested()), {"0": WEIGHTS, "1": BIAS})
    with pytest.raises(SpecError, match=r"no 'ema' .* under: state_dict, optimizer, normalizer"):
        open_checkpoint(path, root="ema")
    np.savez(tmp_path / "a.npz", w=BIAS)
    with pytest.raises(SpecError, match="does not nest"):
        open_checkpoint(tmp_path / "a.npz", root="x")


def test_scores_equal_those_of_the_same_arrays(tmp_path):
    rng = np.random.default_rng(0)
    array = rng.normal(size=(64, 48)).astype("f4")
    opcodes = mapping({"w": window("0", array.size, (48, 64), (1, 48))})
    path = save_zip(tmp_path / "m.pt", opcodes, {"0": array})
    specs = ["zstd@bytes/planes", "entropy@q8", "bdm2d@sign"]
    found = score(path, specs=specs)
    expected = score({"w": array.T}, specs=specs)
    assert [r.value for r in found.rows] == [r.value for r in expected.rows]
    assert [r.status for r in found.rows] == ["ok"] * 3


# --- Attacks -----------------------------------------------------------------------------------


class Shell:
    def __reduce__(self):
        return os.system, ("touch executed",)


class Chain:
    def __reduce__(self):
        return getattr, (Shell(), "anything")


class Evaluate:
    def __reduce__(self):
        return builtins.eval, ("__import__('os').system('touch executed')",)


class Load:
    def __reduce__(self):
        return pickle.loads, (pickle.dumps(Shell()),)


ATTACKS = {
    "system": Shell(),
    "chain": Chain(),
    "eval": {"state_dict": [Evaluate()]},
    "nested pickle": Load(),
    "partial": {"w": (bytes.fromhex, Shell())},
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("saver", SAVERS)
def test_a_pickle_that_calls_is_refused_by_name(tmp_path, monkeypatch, attack, protocol, saver):
    monkeypatch.chdir(tmp_path)
    opcodes = pickle.dumps(ATTACKS[attack], protocol)[:-1]
    path = SAVERS[saver](tmp_path / "m.pt", opcodes, {})
    with pytest.raises(ForbiddenGlobalError, match=r"asks for \S+, which is neither"):
        open_checkpoint(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "name",
    [
        "torch.storage._load_from_bytes",
        "torch.load",
        "torch.hub.load",
        "numpy.core.multiarray.scalar",
        "builtins.getattr",
        "collections.abc.Callable",
        "torch._utils.os.system",
    ],
)
def test_near_names_are_refused_too(tmp_path, name):
    path = save_zip(tmp_path / "m.pt", call(name, text("x")), {})
    with pytest.raises(ForbiddenGlobalError, match=name.replace(".", r"\.")):
        open_checkpoint(path)


HUGE = struct.pack("<Q", 1 << 40)
STRANGE = {
    "a byte string of a terabyte": b"\x8e" + HUGE,
    "a text of a terabyte": b"\x8d" + HUGE + b"x",
    "an extension": b"\x82\x01",
    "a buffer from outside": b"\x97",
    "a call of a tuple": row(integer(1)) + row() + b"R",
    "a call of a tensor": whole("0", BIAS) + row() + b"R",
    "a type as a function": call("torch.FloatStorage", integer(1 << 40)),
    "a tensor in no storage": call("torch._utils._rebuild_tensor_v2", *[integer(0)] * 6),
    "a foreign persistent id": row(text("module"), named("torch.FloatStorage")) + b"Q",
    "items for a number": integer(1) + b"(" + text("k") + integer(1) + b"u",
    "a memo that was never put": b"j" + struct.pack("<I", 1 << 31),
    "nothing on the stack": b"R",
    "an unfinished mark": b"(",
    "an unknown opcode": b"\xff",
    "no end": text("x")[:-1],
    "a tuple as a key": b"}" + row(integer(1)) + integer(1) + b"s",
    "an integer of a megabyte": b"\x8b" + struct.pack("<I", 1 << 20) + b"\x7f" * (1 << 20),
    "a name that is no text": b"}X\x03\0\0\0\xed\xa0\x80" + whole("0", BIAS) + b"s",
    "65 axes": window("0", 3, [1] * 65, [1] * 65),
    "negative strides": window("0", 3, [3], [-1]),
    "no storage in the file": window("missing", 3, [3], [1]),
    "a storage that lies": window("0", 1 << 40, [1 << 40], [1]),
    "more axes than strides": window("0", 3, [3, 1], [1]),
}


@pytest.mark.parametrize("what", STRANGE)
@pytest.mark.parametrize("saver", SAVERS)
def test_strange_pickles_are_refused_in_one_line(tmp_path, what, saver):
    path = SAVERS[saver](tmp_path / "m.pt", STRANGE[what], {"0": BIAS})
    with pytest.raises(CorruptCheckpointError, match=r"m\.pt: ") as refusal:
        open_checkpoint(path)
    assert "\n" not in str(refusal.value)


def test_a_memo_index_costs_no_memory(tmp_path):
    opcodes = b"Nr" + struct.pack("<I", (1 << 32) - 1) + b"0" + mapping({"w": whole("0", BIAS)})
    path = save_zip(tmp_path / "m.pt", opcodes, {"0": BIAS})
    tracemalloc.start()
    with open_checkpoint(path) as checkpoint:
        assert [*checkpoint] == ["w"]
    assert tracemalloc.get_traced_memory()[1] < 2 << 20
    tracemalloc.stop()


def laughs(depth):
    """Each list holds the one before ten times over."""
    levels = [b"0](" + (b"h" + bytes([i])) * 10 + b"eq" + bytes([i + 1]) for i in range(depth)]
    return whole("0", BIAS) + b"q\x00" + b"".join(levels)


def test_nests_that_share_or_contain_themselves_end(tmp_path, monkeypatch):
    monkeypatch.setattr("kcomplexity.loaders.torch_tree._MOST_VISITS", 10_000)
    for name, opcodes in {"laughs": laughs(12), "loop": b"]q\x00h\x00a"}.items():
        path = save_zip(tmp_path / f"{name}.pt", opcodes, {"0": BIAS})
        with pytest.raises(CorruptCheckpointError, match="may contain itself"):
            open_checkpoint(path)


def test_steps_and_copies_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "MAX_STEPS", 1000)
    many = save_zip(tmp_path / "many.pt", b"](" + b"N" * 1000 + b"e", {})
    pairs = (
        b"}("
        + b"".join(integer(i) + b"N" for i in range(100))
        + b"uq\x00"
        + (call("collections.OrderedDict", b"h\x00") + b"0") * 9
    )
    copies = save_zip(tmp_path / "copies.pt", pairs + b"N", {})
    for path in (many, copies):
        with pytest.raises(CorruptCheckpointError, match="more than 1,000 steps"):
            open_checkpoint(path)


def test_a_bomb_of_a_pickle_is_not_inflated(tmp_path, monkeypatch):
    monkeypatch.setattr("kcomplexity.loaders.pytorch.MAX_PICKLE", 1 << 20)
    bomb = b"N0" * (1 << 20) + b"N"
    path = save_zip(tmp_path / "m.pt", bomb, {}, zipfile.ZIP_DEFLATED)
    with pytest.raises(CorruptCheckpointError, match="at most 1048576 are read"):
        open_checkpoint(path)


@pytest.mark.parametrize("saver", SAVERS)
def test_a_cut_file_is_refused_wherever_it_is_cut(tmp_path, saver):
    opcodes = mapping({"w": whole("0", WEIGHTS), "b": whole("1", BIAS)})
    path = SAVERS[saver](tmp_path / "m.pt", opcodes, {"0": WEIGHTS, "1": BIAS})
    data = path.read_bytes()
    for end in range(1, len(data) - 1, 7):
        path.write_bytes(data[:end])
        with pytest.raises(CheckpointError, match=r"m\.pt"):
            open_checkpoint(path)


def test_two_pickles_are_ambiguous(tmp_path):
    path = save_zip(tmp_path / "m.pt", b"}", {}, **{"inner/data.pkl": program(b"}")})
    with pytest.raises(CorruptCheckpointError, match="2 members called"):
        open_checkpoint(path)


def test_other_files_with_the_extension_are_distinguished(tmp_path):
    contents = {
        "a.pt": (pickle.dumps([1]), "plain pickle"),
        "b.pt": (b"sys_info\0" + bytes(600), "tar format"),
        "c.bin": (b"GIF89a", "not a PyTorch file"),
    }
    for name, (content, message) in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnknownFormatError, match=message):
            open_checkpoint(tmp_path / name)


def test_opening_reads_only_what_describes_the_tensors(tmp_path, monkeypatch):
    big = np.zeros(1 << 22, np.float32)
    path = save_zip(tmp_path / "m.pt", mapping({"w": whole("0", big)}), {"0": big})
    n_read = 0
    read = StoredBytes.read

    def counted(self, start, n_bytes, out=None):
        nonlocal n_read
        n_read += n_bytes
        return read(self, start, n_bytes, out)

    monkeypatch.setattr(StoredBytes, "read", counted)
    open_checkpoint(path).close()
    assert 0 < n_read < 4096


def test_torch_is_not_imported():
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import kcomplexity, kcomplexity.loaders.pytorch\n"
        "assert not any(name.startswith('torch.') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_torch_itself_saves_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    base = torch.arange(60, dtype=torch.float32).reshape(5, 12)
    state = {
        "plain": base,
        "transposed": base.T,
        "sliced": base[1:4, ::3],
        "parameter": torch.nn.Parameter(base[0].clone()),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "bf16": base.to(torch.bfloat16),
        "fp8": base.to(torch.float8_e4m3fn),
        "complex": torch.complex(base, -base),
        "channels last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }
    for new in (True, False):
        path = tmp_path / f"{new}.pt"
        saved = {k: v for k, v in state.items() if new or k != "fp8"}
        torch.save({"model": saved}, path, _use_new_zipfile_serialization=new)
        with open_checkpoint(path) as checkpoint:
            for name, tensor in saved.items():
                stored = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
                found = checkpoint[name]
                assert found.shape == tuple(tensor.shape)
                assert found.raw(0, found.n_weights).tobytes() == stored.tobytes()


def test_what_torch_saves_beside_plain_tensors_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    sparse = torch.eye(3).to_sparse()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch deprecates them; the files stay
        codes = torch.quantize_per_tensor(torch.arange(6.0), 0.5, 0, torch.qint8)
    torch.save({"s": sparse, "q": codes}, tmp_path / "m.pt")
    with open_checkpoint(tmp_path / "m.pt") as checkpoint:
        assert [*checkpoint] == ["s.indices", "s.values", "q"]
        assert checkpoint["s.values"].read().tolist() == [1, 1, 1]
        assert checkpoint["q"].read().tolist() == codes.int_repr().tolist()
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(ForbiddenGlobalError, match=r"asks for torch\.nn\.modules\.linear\.Linear"):
        open_checkpoint(tmp_path / "module.pt")


def test_a_view_of_a_storage_in_the_legacy_format_is_refused(tmp_path):
    pid = storage("0", 3)[:-2] + row(text("v"), integer(0), integer(1)) + b"tQ"
    path = save_legacy(tmp_path / "m.pt", pid, {"0": BIAS})
    with pytest.raises(CorruptCheckpointError, match="is a view of another"):
        open_checkpoint(path)
