"""What a checkpoint holds, from headers and from values, and the command that prints it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from safetensors.numpy import save_file

import kcomplexity as kc
from kcomplexity.inspection.inspecting import inspect, inspect_checkpoint
from kcomplexity.inspection.records import ValueInfo
from kcomplexity.parallel.pool import Pool
from kcomplexity.parallel.progress import Progress
from kcomplexity.schemas import load_schema
from kcomplexity.tensors.dtypes import DTYPES
from kcomplexity.tensors.pieces import LEAF
from tests import run as invoke


def values_of(array: np.ndarray) -> ValueInfo:
    """Return the record of the values of one array."""
    (found,) = inspect_checkpoint(kc.open_checkpoint({"w": array}), values=True).tensors
    assert found.reason is None
    assert found.values is not None
    return found.values


run = partial(invoke, "inspect")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two layers, of which one is upcast, a name to escape, and metadata."""
    path = tmp_path / "small.safetensors"
    rounded = np.array([[1.0, 0.0], [-2.0, 1.0078125]], np.float32)
    tensors = {
        "layers.0.weight": np.array([[0.1, 0.2], [0.3, -0.4]], np.float32),
        "layers.1.weight": rounded * np.float32(2**20),
        "norm\n\x1b[31m": np.ones(3, np.float16),
    }
    save_file(tensors, path, metadata={"step": "7", "note\t": "two\nlines"})
    return path


# --- From the header --------------------------------------------------------------------------


def test_counts_sizes_and_layers_come_from_the_header():
    found = inspect_checkpoint(
        kc.open_checkpoint(
            {
                "layers.0.w": np.zeros((2, 3), np.float32),
                "layers.1.w": np.zeros((2, 3), np.float32),
                "layers.2.w": np.zeros((4, 3), np.float16),
                "scale": np.zeros((), np.float64),
            }
        )
    )
    assert (found.n_tensors, found.n_weights, found.n_bytes) == (4, 25, 80)
    assert [(d.code, d.n_tensors, d.n_weights, d.n_bytes) for d in found.dtypes] == [
        ("F32", 2, 12, 48),
        ("F16", 1, 12, 24),
        ("F64", 1, 1, 8),
    ]
    layers, scale = found.layers
    assert (layers.pattern, layers.n_tensors, layers.n_weights, layers.n_bytes) == (
        "layers.#.w",
        3,
        24,
        72,
    )
    assert layers.shapes == ((2, 3), (4, 3))
    assert layers.dtypes == ("F32", "F16")
    assert (scale.pattern, scale.shapes) == ("scale", ((),))
    assert all(tensor.values is None and tensor.reason is None for tensor in found.tensors)


def test_the_bytes_of_tensors_and_container_add_up_to_the_file(small: Path):
    with kc.open_checkpoint(small) as checkpoint:
        found = inspect_checkpoint(checkpoint)
    assert [file.n_bytes for file in found.files] == [small.stat().st_size]
    assert found.n_bytes + found.n_container_bytes == small.stat().st_size
    assert sum(tensor.n_bytes for tensor in found.tensors) == found.n_bytes
    assert sum(dtype.n_bytes for dtype in found.dtypes) == found.n_bytes
    assert sum(layer.n_bytes for layer in found.layers) == found.n_bytes


def test_only_selected_tensors_are_counted(small: Path):
    with kc.open_checkpoint(small) as checkpoint:
        found = inspect_checkpoint(checkpoint.select(exclude=["norm*"]))
    assert [tensor.name for tensor in found.tensors] == ["layers.0.weight", "layers.1.weight"]
    assert found.n_weights == 8


# --- From the values --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "numbers", "effective"),
    [
        ("F32", [1 / 3, 2], ("F32",)),
        ("F32", [1.0078125, 2.0**100], ("BF16",)),
        ("F32", [1.0009765625, 2], ("F16",)),
        ("F32", [2.0**-24, 1], ("BF16", "F16")),
        ("F32", [2.0**-24, 1 + 2.0**-10], ("F16",)),
        ("F32", [65536, 1 + 2.0**-10], ("F32",)),  # too large for F16, too fine for BF16
        ("F32", [1.5, 448], ("F8_E4M3", "F8_E5M2")),
        ("F32", [1.125, 448], ("F8_E4M3",)),
        ("F32", [1.25, 57344], ("F8_E5M2",)),
        ("F64", [1 / 3, 2], ("F64",)),
        ("F64", [1 + 2.0**-23, 2], ("F32",)),
        ("F64", [1 + 2.0**-7, 2], ("BF16", "F16")),
        ("F64", [1e300, 2], ("F64",)),
        ("F16", [1.0009765625, 2], ("F16",)),
        ("F16", [1.25, 57344], ("F8_E5M2",)),
        ("BF16", [1.0078125, 2], ("BF16",)),
        ("BF16", [1.125, 448], ("F8_E4M3",)),
        ("F8_E4M3", [1, 2], ("F8_E4M3",)),  # as narrow as it is meant to be
        ("I32", [1, 2], ("I32",)),
    ],
)
def test_the_effective_dtype_is_the_narrowest_that_holds_every_value(stored, numbers, effective):
    array = np.array(numbers, np.float64).astype(DTYPES[stored].numpy)
    assert values_of(array).effective_dtypes == effective


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=30))
def test_a_round_trip_through_bfloat16_is_told_by_the_low_bits(numbers):
    array = np.array(numbers, np.float32)
    found = values_of(array)
    low_bits = array.view(np.uint32) & 0xFFFF
    if np.isfinite(array).any():
        is_bf16 = "BF16" in found.effective_dtypes or found.effective_dtypes[0].startswith("F8")
        assert is_bf16 == (not low_bits.any())


def test_values_that_are_not_finite_are_counted_and_left_out_of_the_range():
    array = np.array([0.1, np.nan, np.inf, -np.inf, 0.0, -0.0, -3.0], np.float32)
    found = values_of(array)
    assert (found.n_zero, found.n_nan, found.n_inf) == (2, 1, 2)
    assert (found.min, found.max) == (-3.0, float(np.float32(0.1)))
    assert not found.constant


def test_nan_and_inf_fit_the_dtypes_that_have_them():
    halves = np.array([np.nan, np.inf, 1.0009765625], np.float32)
    assert values_of(halves).effective_dtypes == ("F16",)
    # E4M3 has no infinity.
    assert values_of(np.array([np.inf, 1.5], np.float32)).effective_dtypes == ("F8_E5M2",)
    assert values_of(np.full(3, np.nan, np.float32)).effective_dtypes == ("F32",)


@pytest.mark.parametrize("dtype", [d for d in DTYPES.values() if d.numpy is not None])
def test_every_dtype_that_can_be_decoded_is_looked_at(dtype):
    values = values_of(np.ones(5).astype(dtype.numpy))
    assert values.n_zero == values.n_nan == values.n_inf == 0
    if dtype.kind == "complex":
        assert (values.min, values.max, values.constant) == (None, None, False)
    else:
        assert (values.min, values.max, values.constant) == (1, 1, True)


def test_integers_beyond_float64_stay_exact():
    found = values_of(np.array([2**63 + 5, 1], np.uint64))
    assert (found.min, found.max) == (1, 2**63 + 5)


def test_a_dtype_that_cannot_be_decoded_gives_a_reason():
    checkpoint = kc.open_checkpoint({"w": np.zeros(4, "V3"), "v": np.zeros(4, np.float32)})
    opaque, plain = inspect_checkpoint(checkpoint, values=True).tensors
    assert opaque.values is None
    assert opaque.reason is not None
    assert "no stored dtype; only the bytes are measured" in opaque.reason
    assert plain.values is not None


@pytest.mark.parametrize("shape", [(), (1,), (0,), (0, 3)])
def test_degenerate_shapes_have_values_and_no_notes(shape):
    array = np.full(shape, 0.1, np.float32)
    n, values = array.size, values_of(array)
    assert (values.constant, values.min is None) == (n == 1, n == 0)
    assert values.effective_dtypes == ("F32",)
    assert inspect_checkpoint(kc.open_checkpoint({"w": array}), values=True).notes == ()


def test_notes_tell_upcast_constant_and_broken_tensors():
    rng = np.random.default_rng(0)
    rounded = (rng.normal(size=(3, 50)) / 1e5).astype(ml_dtypes.bfloat16).astype(np.float32)
    rounded[1] = np.linspace(1, 1 + 49 / 128, 50)  # fits float16 as well, by chance
    checkpoint = kc.open_checkpoint(
        {
            **{f"layers.{i}.w": row for i, row in enumerate(rounded)},
            "own": rng.normal(size=20).astype(np.float32),
            "wide": rng.normal(size=4).astype(np.float32).astype(np.float64),
            "ones": np.ones(7, np.float32),
            "broken": np.array([0.1, np.nan, np.inf], np.float32),
        }
    )
    assert inspect_checkpoint(checkpoint).notes == ()
    assert inspect_checkpoint(checkpoint, values=True).notes == (
        "3 tensors stored as F32 (600 B) hold only BF16 values: 2x smaller without loss",
        "1 tensor stored as F64 (32 B) holds only F32 values: 2x smaller without loss",
        "1 tensor is constant: ones",
        "1 tensor holds 1 NaN and 1 infinite values: broken",
    )


@settings(max_examples=10)
@given(
    st.integers(1, 3 * LEAF),
    st.integers(1, 3),
    st.sampled_from(["f4", "f8", "f2", "i2", ml_dtypes.bfloat16]),
    st.randoms(use_true_random=False),
)
def test_records_are_the_same_for_any_number_of_threads_and_pieces(n, piece, dtype, random):
    rng = np.random.default_rng(random.getrandbits(32))
    array = np.rint(rng.normal(size=n) * 3).astype(dtype)
    if rng.random() < 0.5:
        array[rng.integers(n)] = array.dtype.type(0.1)
    checkpoint = kc.open_checkpoint({"w": array, "v": array[::-1]})
    with Pool(3, piece=piece) as pool:
        found = inspect_checkpoint(checkpoint, values=True, pool=pool)
    with Pool(1) as pool:
        assert found == inspect_checkpoint(checkpoint, values=True, pool=pool)
    turned, straight = found.tensors[1], found.tensors[0]
    assert replace(turned, name="w") == straight


def test_progress_counts_every_byte_once():
    done: list[int] = []
    arrays = {"a": np.zeros((300, 500), np.float32), "b": np.zeros((200, 7), np.float64).T}
    checkpoint = kc.open_checkpoint(arrays)
    with Pool(2, progress=done.append) as pool:
        inspect_checkpoint(checkpoint, values=True, pool=pool)
    assert sum(done) == checkpoint.n_bytes


def test_the_library_opens_selects_and_reports_progress(small: Path):
    events: list[Progress] = []
    report = inspect([str(small)] * 2, values=True, include=["layers*"], progress=events.append)
    assert [one.n_tensors for one in report.checkpoints] == [2, 2]
    assert events[0] == Progress("reading values", 0, 64)
    assert events[-1] == Progress("reading values", 64, 64)
    with pytest.raises(TypeError, match="unknown option 'includes': did you mean include"):
        inspect(str(small), includes=["layers*"])  # type: ignore[call-arg]


# --- The command ------------------------------------------------------------------------------


def test_the_command_prints_metadata_dtypes_and_layers(small: Path):
    result = run(small)
    size = small.stat().st_size - 38
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout == (
        f"{small}: safetensors, 3 tensors, 11 weights, 38 B, and {size} B of container\n"
        "  note\\t: two\\nlines\n"
        "  step: 7\n"
        "\n"
        "dtypes\n"
        "dtype  tensors  weights  size\n"
        "F32          2        8  32 B\n"
        "F16          1        3   6 B\n"
        "\n"
        "layers: # is a layer's number\n"
        "name             tensors  shape  dtype  weights  share  size\n"
        "layers.#.weight        2  2x2    F32          8  72.7%  32 B\n"
        "norm\\n\\x1b[31m         1  3      F16          3  27.3%   6 B\n"
        "\n"
    )


def test_the_command_looks_at_values_when_asked(small: Path):
    result = run(small, "--values", "--include", "layers*")
    assert result.exit_code == 0
    assert result.stdout.partition("\ntensors\n")[2] == (
        "tensor           dtype  shape  really  zeros  NaN  Inf         min        max\n"
        "layers.0.weight  F32    2x2    F32      0.0%    0    0        -0.4        0.3\n"
        "layers.1.weight  F32    2x2    BF16    25.0%    0    0  -2.097e+06  1.057e+06\n"
        "\n"
        "note: 1 tensor stored as F32 (16 B) holds only BF16 values: 2x smaller without loss\n"
    )


def test_the_command_notes_float32_that_is_really_bfloat16(tmp_path: Path):
    path = tmp_path / "upcast.safetensors"
    weights = np.random.default_rng(0).normal(size=(2, 64, 64)) / 1e3
    brain = weights.astype(ml_dtypes.bfloat16)
    save_file({f"w{i}": w.astype(np.float32) for i, w in enumerate(brain)}, path)
    assert "note: " not in run(path).stdout
    assert run(path, "--values").stdout.endswith(
        "note: 2 tensors stored as F32 (32.8 kB) hold only BF16 values: 2x smaller without loss\n"
    )
    save_file({f"w{i}": w for i, w in enumerate(brain)}, path)
    assert "note: " not in run(path, "--values").stdout


def test_all_prints_every_tensor_with_its_whole_name(tmp_path: Path):
    path = tmp_path / "long.safetensors"
    names = [f"{'block.' * 12}{i}.weight" for i in range(50)]
    save_file(dict.fromkeys(names, np.zeros(2, np.float32)), path)
    result = run(path, "--all")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in names)
    assert names[0] not in run(path).stdout


def test_json_is_one_document_for_several_checkpoints(small: Path, tmp_path: Path):
    np.save(tmp_path / "one.npy", np.array([1.0, np.nan]))
    result = run(small, tmp_path / "one.npy", "--values", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    Draft202012Validator(load_schema("inspect")).validate(found)
    assert [one["format"] for one in found["checkpoints"]] == ["safetensors", "npy"]
    first, second = found["checkpoints"]
    assert first["metadata"] == {"step": "7", "note\t": "two\nlines"}
    assert first["tensors"][2]["name"] == "norm\n\x1b[31m"
    assert second["tensors"][0]["values"] == {
        "n_zero": 0,
        "n_nan": 1,
        "n_inf": 0,
        "min": 1.0,
        "max": 1.0,
        "constant": False,
        "effective_dtypes": ["F8_E4M3", "F8_E5M2"],
    }


def test_json_equals_the_document_of_the_library(small: Path):
    expected = inspect(str(small), values=True).to_dict()
    assert json.loads(run(small, "--values", "--json").stdout) == expected


def test_output_writes_the_document_and_prints_one_line(small: Path, tmp_path: Path):
    output = tmp_path / "found.json"
    result = run(small, "-o", output)
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1
    assert output.read_text() == run(small, "--json").stdout


def test_dtypes_that_a_file_does_not_say_can_be_given(tmp_path: Path):
    path = tmp_path / "void.npz"
    np.savez(path, w=np.array([0x38, 0x40], np.uint8).view("V1"))
    without = run(path, "--values")
    assert without.exit_code == 0
    assert "note: the values of 1 tensor were not read: V1: " in without.stdout
    given_dtype = json.loads(run(path, "--values", "--json", "--dtype", "w=f8_e4m3").stdout)
    values = given_dtype["checkpoints"][0]["tensors"][0]["values"]
    assert (values["min"], values["max"]) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.npz"], 1, "missing.npz: no such file; check the path"),
        (["small.safetensors", "--include", "nothing*"], 2, "matches 'nothing*'"),
        (
            ["small.safetensors", "-o", "found.csv"],
            2,
            "found.csv: expected a name that ends in .json",
        ),
        ([], 2, "Missing argument 'CHECKPOINT...'"),
    ],
    ids=["missing file", "glob without a match", "another format", "no argument"],
)
def test_bad_input_fails_with_one_clear_line(small, monkeypatch, arguments, code, message):
    monkeypatch.chdir(small.parent)
    result = run(*arguments)
    assert result.exit_code == code
    assert message in result.stderr.splitlines()[-1]
    assert result.stdout == ""
    assert [path.name for path in small.parent.iterdir()] == [small.name]


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_ends_with_examples(option):
    result = run(option)
    assert result.exit_code == 0
    assert "\n    kcomplexity inspect " in result.stdout.partition("Examples:")[2]
