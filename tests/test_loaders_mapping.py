"""Arrays in memory: nothing copied that need not be, and no framework imported."""

import subprocess
import sys
import types
from collections import OrderedDict
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from kcomplexity.errors import CheckpointError, UnmeasurableError
from kcomplexity.loaders import open_checkpoint
from kcomplexity.tensors.dtypes import DTYPES

MATRIX = np.arange(60, dtype=np.float32).reshape(3, 4, 5)


def shares(tensor, array):
    return np.shares_memory(tensor.raw(0, tensor.n_weights), array)


def test_names_keep_their_order_and_nothing_has_a_file():
    arrays = OrderedDict(b=np.ones(2), a=np.zeros((2, 2), np.int8))
    checkpoint = open_checkpoint(arrays)
    assert [*checkpoint] == ["b", "a"]
    assert (checkpoint.format, checkpoint.path) == ("mapping", "<mapping>")
    assert (checkpoint.n_bytes, checkpoint.n_container_bytes) == (20, 0)
    assert not checkpoint.sources
    assert not checkpoint.notes
    with checkpoint:
        pass
    assert checkpoint["b"].read().tolist() == [1, 1]


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(MATRIX, id="row-major"),
        pytest.param(MATRIX[1:], id="part"),
        pytest.param(MATRIX[:, :1, :1][:1], id="one value"),
        pytest.param(np.array(2.5), id="0-d"),
        pytest.param(np.array([True, False]), id="bool"),
        pytest.param(np.ones(3, ml_dtypes.bfloat16), id="bfloat16"),
        pytest.param(np.ones(3, ml_dtypes.float8_e4m3fn), id="float8"),
        pytest.param(np.ones(3, np.complex64), id="complex"),
    ],
)
def test_contiguous_little_endian_arrays_are_not_copied(array):
    tensor = open_checkpoint({"w": array})["w"]
    assert shares(tensor, array)
    assert tensor.addressable
    np.testing.assert_array_equal(tensor.to_numpy(), array, strict=True)


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(MATRIX.T, id="transposed"),
        pytest.param(MATRIX[:, ::2, ::-1], id="strided"),
        pytest.param(MATRIX.astype(">f4"), id="big-endian"),
        pytest.param(np.array(2.5, ">f8"), id="0-d big-endian"),
        pytest.param(np.broadcast_to(np.float32(3), (4, 5)), id="broadcast"),
        pytest.param(MATRIX.astype(ml_dtypes.bfloat16).T, id="bfloat16 transposed"),
    ],
)
def test_other_layouts_are_put_in_order_as_they_are_read(array):
    tensor = open_checkpoint({"w": array})["w"]
    assert not shares(tensor, array)
    assert not tensor.addressable
    assert tensor.to_numpy().tolist() == array.tolist()
    buffer = np.zeros(tensor.n_bytes, np.uint8)
    assert np.shares_memory(tensor.raw(0, tensor.n_weights, buffer), buffer)


@given(
    array=stn.arrays(np.int32, stn.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)),
    data=st.data(),
)
def test_any_range_of_any_strides_equals_a_slice(array, data):
    axes = data.draw(st.permutations(range(array.ndim)))
    strided = array.transpose(axes)[tuple(slice(None, None, -1) for _ in axes)]
    start = data.draw(st.integers(0, strided.size))
    stop = data.draw(st.integers(0, strided.size))
    tensor = open_checkpoint({"w": strided})["w"]
    expected = strided.reshape(-1)[start:stop]
    assert tensor.read(start, stop).tolist() == expected.tolist()


@pytest.mark.parametrize(
    "dtype", [d for d in DTYPES.values() if d.numpy is not None and d.bits > 4]
)
def test_every_dtype_that_numpy_holds_keeps_its_code(dtype):
    array = np.ones((2, 3), dtype.numpy)
    for given_array in (array, array.T, array.astype(dtype.numpy.newbyteorder(">"))):
        tensor = open_checkpoint({"w": given_array})["w"]
        assert tensor.dtype is dtype
        assert tensor.read().tolist() == [1] * 6


def test_four_bit_floats_are_packed():
    array = np.array([[1, -6, 0.5]], ml_dtypes.float4_e2m1fn)
    tensor = open_checkpoint({"w": array})["w"]
    assert (tensor.dtype.code, tensor.n_bytes) == ("F4", 2)
    assert tensor.to_numpy().tolist() == [[1, -6, 0.5]]


@pytest.mark.parametrize("dtype", [np.complex128, "M8[s]", "f4,i4", ml_dtypes.int4])
def test_types_without_a_code_keep_their_bytes(dtype):
    array = np.zeros(4, dtype)
    tensor = open_checkpoint({"w": array})["w"]
    assert tensor.n_bytes == array.nbytes
    assert shares(tensor, array)
    with pytest.raises(UnmeasurableError, match="only the bytes are measured"):
        tensor.read()


def test_nested_mappings_are_joined_with_dots():
    nested = {
        "params": {"dense": {"kernel": np.ones((2, 3)), "bias": np.ones(3)}},
        "step": np.int64(4),
    }
    checkpoint = open_checkpoint(nested)
    assert [*checkpoint] == ["params.dense.kernel", "params.dense.bias", "step"]
    assert checkpoint["step"].read().tolist() == [4]


def test_an_open_npz_is_a_mapping_too(tmp_path):
    np.savez(tmp_path / "m.npz", w=MATRIX)
    with np.load(tmp_path / "m.npz") as archive:
        assert open_checkpoint(archive)["w"].to_numpy().tolist() == MATRIX.tolist()


def test_text_and_objects_are_left_out_with_a_note():
    checkpoint = open_checkpoint({"a": np.array(["x"]), "b\n": np.array([{}]), "c": np.ones(1)})
    assert [*checkpoint] == ["c"]
    assert checkpoint.notes == (
        "a is left out: it holds text",
        r"b\n is left out: it holds Python objects, which are never unpickled",
    )


class Raises:
    def __array__(self, *args, **kwargs):
        raise RuntimeError("lost\nto sea")


REFUSED: dict[str, Any] = {
    "float": ({"lr": 0.1}, "lr is a float; expected a NumPy array"),
    "list": ({"w": [1.0, 2.0]}, "w is a list; .* wrap it in numpy.asarray"),
    "None": ({"w": None}, "w is a NoneType"),
    "name with an escape": ({"\x1b[2Jw": 3}, r"\\x1b\[2Jw is a int"),
    "number as a name": ({1: np.ones(2)}, "a tensor is named 1; expected text"),
    "name twice": ({"a.b": np.ones(1), "a": {"b": np.ones(1)}}, "the mapping holds a.b twice"),
    "array that fails": (
        {"w": Raises()},
        r"w: Raises could not be read as an array: lost\\nto sea",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_array_is_refused_clearly(name):
    arrays, message = REFUSED[name]
    with pytest.raises(CheckpointError, match=message) as refused:
        open_checkpoint(arrays)
    assert str(refused.value).isprintable()


def test_a_mapping_that_contains_itself_is_refused():
    loop: dict[str, Any] = {"w": np.ones(1)}
    loop["again"] = loop
    with pytest.raises(CheckpointError, match="nested more than 32 deep"):
        open_checkpoint(loop)


class ArrayLike:
    """Knows ``__array__`` and NumPy's dtypes, as JAX' arrays do."""

    def __init__(self, array):
        self.array = array
        self.dtype = array.dtype

    def __array__(self, dtype=None, copy=None):
        return self.array

    def __dlpack__(self, **options):
        raise AssertionError("DLPack would lose bfloat16")


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_what_gives_an_array_is_taken_without_a_copy(dtype):
    array = np.ones(3, dtype)
    assert shares(open_checkpoint({"w": ArrayLike(array)})["w"], array)


class Foreign:
    """An array of a library with dtypes of its own, whose DLPack stops at the small floats."""

    def __init__(self, array, dtype, negated=False):
        self.array, self.dtype, self.negated = array, dtype, negated

    def detach(self):
        return self

    def resolve_neg(self):
        return Foreign(-self.array, self.dtype) if self.negated else self

    def cpu(self):
        return self

    def view(self, dtype):
        return Foreign(self.array.view(str(dtype).partition(".")[2]), dtype)

    def __dlpack__(self, **options):
        if str(self.dtype) not in ("foreign.float32", "foreign.uint8", "foreign.int16"):
            raise BufferError(f"{self.dtype} is not supported")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.fixture
def foreign(monkeypatch):
    library = types.ModuleType("foreign")

    class Dtype:
        __module__ = "foreign"

        def __init__(self, name):
            self.name = name

        def __repr__(self):
            return f"foreign.{self.name}"

    small = ["bfloat16", "float8_e4m3fn", "float8_e5m2fnuz", "float8_e8m0fnu"]
    for name in ["float32", "uint8", "int16", "quint4", "float4_e2m1fn_x2", *small]:
        setattr(library, name, Dtype(name))
    monkeypatch.setitem(sys.modules, "foreign", library)
    return library


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("float32", "F32"),
        ("bfloat16", "BF16"),
        ("float8_e4m3fn", "F8_E4M3"),
        ("float8_e5m2fnuz", "F8_E5M2FNUZ"),
        ("float8_e8m0fnu", "F8_E8M0"),
    ],
)
def test_small_floats_come_through_as_integers_of_the_same_width(foreign, name, code):
    array = np.arange(1, 13).astype(DTYPES[code].numpy).reshape(3, 4)
    for given_array in (array, array.T):
        tensor = open_checkpoint({"w": Foreign(given_array, getattr(foreign, name))})["w"]
        assert tensor.dtype.code == code
        assert tensor.to_numpy().tolist() == given_array.tolist()
    assert shares(open_checkpoint({"w": Foreign(array, getattr(foreign, name))})["w"], array)


def test_pairs_of_four_bit_floats_double_the_last_axis(foreign):
    pairs = np.array([[0b1111_0010, 0b0000_0001]], np.uint8)
    tensor = open_checkpoint({"w": Foreign(pairs, foreign.float4_e2m1fn_x2)})["w"]
    assert (tensor.dtype.code, tensor.shape) == ("F4", (1, 4))
    assert tensor.to_numpy().tolist() == [[1, -6, 0.5, 0]]


def test_a_pending_negation_is_carried_out(foreign):
    array = np.ones(2, np.float32)
    tensor = open_checkpoint({"w": Foreign(array, foreign.float32, negated=True)})["w"]
    assert tensor.read().tolist() == [-1, -1]


def test_what_dlpack_cannot_carry_is_refused_with_the_reason(foreign):
    with pytest.raises(CheckpointError, match=r"w: Foreign could not be read .*quint4 is not supp"):
        open_checkpoint({"w": Foreign(np.ones(2, np.uint8), foreign.quint4)})


def test_a_torch_state_dict_is_read_where_torch_is_installed():
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).bfloat16()
    checkpoint = open_checkpoint(model.state_dict())
    assert {tensor.dtype.code for tensor in checkpoint.values()} == {"BF16", "I64"}
    for name, value in model.state_dict().items():
        assert checkpoint[name].to_numpy().tolist() == value.tolist()
        assert checkpoint[name].raw(0, 1).ctypes.data == value.data_ptr()
    parameters = open_checkpoint(dict(model.named_parameters()))
    assert parameters["0.weight"].shape == (4, 3)
    turned = model[0].weight.detach().to(torch.float8_e5m2).T
    assert open_checkpoint({"w": turned})["w"].to_numpy().tolist() == turned.tolist()


def test_no_framework_is_imported():
    code = (
        "import sys, numpy; from kcomplexity.loaders import open_checkpoint\n"
        "open_checkpoint({'w': numpy.ones(3)})['w'].read()\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    frameworks = {"torch", "jax", "tensorflow", "flax", "scipy", "matplotlib", "click", "rich"}
    assert not frameworks & set(found.stdout.split())
