"""Any checkpoint as one safetensors file: what is kept, what is refused, and that it is atomic."""

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from kcomplexity.containers.safetensors import write_safetensors
from kcomplexity.errors import CheckpointError, OutputError, SpecError
from kcomplexity.loaders import open_checkpoint
from kcomplexity.loaders.convert import convert
from kcomplexity.loaders.ggml_blocks import BLOCKS
from kcomplexity.scoring.score import score
from kcomplexity.tensors.checkpoint import ArrayTensor
from kcomplexity.tensors.dtypes import DTYPES
from tests import run, test_loaders_gguf, test_loaders_onnx, torch_files
from tests.tensors import random_tensor, tensor_of_words

WEIGHTS = np.arange(24, dtype=np.float32).reshape(4, 6)


def files(folder):
    """One file of each format that can be written here, all with the tensor w = WEIGHTS."""
    opcodes = torch_files.mapping({"w": torch_files.window("0", 24, (4, 6), (1, 4))})
    np.savez_compressed(folder / "m.npz", w=np.asfortranarray(WEIGHTS))
    save_file({"w": WEIGHTS}, folder / "m.safetensors", {"step": "7"})
    return [
        torch_files.save_zip(folder / "m.pt", opcodes, {"0": WEIGHTS.T.copy()}),
        folder / "m.npz",
        folder / "m.safetensors",
        test_loaders_onnx.save(folder / "m.onnx", test_loaders_onnx.raw("w", WEIGHTS)),
        test_loaders_gguf.save(folder / "m.gguf", {"w": ((4, 6), 0, WEIGHTS.tobytes())}),
    ]


def test_every_format_becomes_the_same_tensors(tmp_path):
    for path in files(tmp_path):
        out = tmp_path / "out.safetensors"
        with open_checkpoint(path) as checkpoint:
            written = convert(checkpoint, out)
        assert (written.n_tensors, written.n_weights, written.n_bytes) == (1, 24, 96)
        assert np.array_equal(load_file(out)["w"], WEIGHTS)
        with open_checkpoint(out) as again:
            assert again.metadata["converted_from"] == checkpoint.format
            assert {**checkpoint.metadata, **again.metadata} == again.metadata
            specs = ["zstd@bytes"]
            assert score(out, specs=specs).rows[0].value == score(path, specs=specs).rows[0].value


@pytest.mark.parametrize("code", [code for code, d in DTYPES.items() if d.bits >= 8])
def test_every_dtype_is_written_bit_for_bit(tmp_path, code):
    tensor = random_tensor(33, code)
    write_safetensors(tmp_path / "m.safetensors", [tensor], {"b": "2", "a": "1"})
    with open_checkpoint(tmp_path / "m.safetensors") as checkpoint:
        assert checkpoint["w"].dtype.code == code
        assert checkpoint["w"].raw(0, 33).tobytes() == tensor.raw(0, 33).tobytes()
        assert [*checkpoint.metadata] == ["a", "b"]


def test_the_bytes_depend_on_the_tensors_alone(tmp_path):
    tensors = [random_tensor(100, name="x"), random_tensor(7, "I8", name="y")]
    for name, metadata in {"a": {"p": "1", "q": "2"}, "b": {"q": "2", "p": "1"}}.items():
        write_safetensors(tmp_path / f"{name}.safetensors", tensors, metadata)
    written = [(tmp_path / f"{name}.safetensors").read_bytes() for name in "ab"]
    assert written[0] == written[1]
    assert int.from_bytes(written[0][:8], "little") % 8 == 0


def test_layouts_survive(tmp_path):
    nodes = [test_loaders_onnx.node("MatMul", ("x", "w"), ("y",))]
    path = test_loaders_onnx.save(
        tmp_path / "m.onnx", test_loaders_onnx.raw("w", WEIGHTS), nodes=nodes
    )
    with open_checkpoint(path) as checkpoint:
        convert(checkpoint, tmp_path / "m.safetensors")
    with open_checkpoint(tmp_path / "m.safetensors") as again:
        assert again["w"].layout == "in-out"


def test_narrow_codes_are_written_one_a_byte(tmp_path):
    raw = test_loaders_gguf.blocks_of(BLOCKS[2], 4)
    path = test_loaders_gguf.save(tmp_path / "m.gguf", {"w": ((2, 64), 2, raw.tobytes())})
    with open_checkpoint(path) as checkpoint:
        codes = checkpoint["w.codes"].to_numpy()
        written = convert(checkpoint, tmp_path / "m.safetensors")
        assert "1 tensor of codes below 8 bits is written one code a byte" in written.notes[0]
    with open_checkpoint(tmp_path / "m.safetensors") as again:
        assert again["w.codes"].dtype.code == "U8"
        assert np.array_equal(again["w.codes"].to_numpy(), codes)
        assert again["w.scales"].side_of == "w.codes"
    signed = tensor_of_words([0, 15, 8, 7], "I4")
    with open_checkpoint({"x": WEIGHTS}) as checkpoint:
        checkpoint.tensors["w"] = signed
        convert(checkpoint, tmp_path / "s.safetensors")
    assert load_file(tmp_path / "s.safetensors")["w"].tolist() == [0, -1, -8, 7]


def test_what_cannot_be_stored_or_named_is_refused(tmp_path):
    with open_checkpoint({"z": np.ones(2, complex)}) as checkpoint:
        with pytest.raises(OutputError, match="z: safetensors has no dtype for complex128"):
            convert(checkpoint, tmp_path / "m.safetensors")
        with pytest.raises(SpecError, match=r"ends in \.safetensors"):
            convert(checkpoint, tmp_path / "m.npz")
    save_file({"w": WEIGHTS}, tmp_path / "in.safetensors")
    with open_checkpoint(tmp_path / "in.safetensors") as checkpoint:
        with pytest.raises(OutputError, match="is the input: give the output another name"):
            convert(checkpoint, tmp_path / "." / "in.safetensors")
        with pytest.raises(OutputError, match="cannot write"):
            convert(checkpoint, tmp_path / "gone" / "m.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["in.safetensors"]


class Broken(ArrayTensor):
    def raw(self, start, stop, out=None):
        raise CheckpointError("the file was cut")


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"before")
    good = random_tensor(9)
    broken = Broken("x", good.shape, good.dtype, data=good.data)
    with pytest.raises(CheckpointError, match="was cut"):
        write_safetensors(path, [good, broken], {})
    assert path.read_bytes() == b"before"
    assert [*tmp_path.iterdir()] == [path]


def test_the_command_writes_and_tells(tmp_path):
    array = WEIGHTS.astype(ml_dtypes.bfloat16)
    opcodes = torch_files.mapping(
        {
            "state_dict": torch_files.mapping(
                {"w": torch_files.whole("0", array, "BFloat16Storage")}
            ),
            "ema": torch_files.mapping({"w": torch_files.whole("1", WEIGHTS)}),
        }
    )
    path = torch_files.save_zip(tmp_path / "m.ckpt", opcodes, {"0": array, "1": WEIGHTS})
    out = tmp_path / "m.safetensors"
    result = run("convert", str(path), str(out))
    assert result.exit_code == 0
    assert result.stdout == f"{out}: 1 tensor, 24 weights, 48 B, from pytorch\n"
    assert "1 tensor of ema is left out" in result.stderr
    with open_checkpoint(out) as checkpoint:
        assert checkpoint["w"].dtype.code == "BF16"
    result = run("convert", str(path), str(out), "--root", "ema", "-q")
    assert (result.exit_code, result.output) == (0, "")
    assert np.array_equal(load_file(out)["w"], WEIGHTS)
    result = run("convert", str(path), str(tmp_path / "m.npz"))
    assert result.exit_code == 2
    assert "expected a name that ends in .safetensors" in result.stderr


def test_several_files_are_scored_and_inspected_as_one(tmp_path):
    save_file({"a": WEIGHTS}, tmp_path / "a.safetensors")
    save_file({"b": WEIGHTS}, tmp_path / "b.safetensors")
    paths = [str(tmp_path / f"{name}.safetensors") for name in "ab"]
    result = run("inspect", *paths, "--as-one")
    assert result.exit_code == 0
    assert "sharded, 2 tensors, 48 weights" in result.stdout
    result = run("score", *paths, "--as-one", "-e", "l2", "--json")
    assert result.exit_code == 0
    assert result.stdout.count('"fingerprint"') == 1
