"""HDF5 and Keras files: every storage layout, what is left out, and files that lie."""

import sys
import zipfile
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcomplexity.errors import CheckpointError, CorruptCheckpointError, MissingExtraError, SpecError
from kcomplexity.loaders import open_checkpoint
from kcomplexity.loaders.slabs import slabs
from kcomplexity.scoring.score import score

h5py = pytest.importorskip("h5py")

MATRIX = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
LAYOUTS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunked": {"chunks": (2, 3, 2)},
    "gzip": {"chunks": (1, 4, 5), "compression": "gzip"},
    "shuffled": {"chunks": (3, 1, 1), "compression": "lzf", "shuffle": True},
}
ARRAYS = {
    "float": MATRIX,
    "big-endian": MATRIX.astype(">f8"),
    "half": MATRIX.astype(np.float16),
    "bool": MATRIX > 3,
    "integers": MATRIX.astype(np.int8),
    "scalar": np.array(3.5),
    "empty": np.zeros((0, 4), np.float32),
}


def save(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, array in datasets.items():
            file[name] = array
    return path


@pytest.mark.parametrize("name", ARRAYS)
def test_every_type_is_read(tmp_path, name):
    array = ARRAYS[name]
    with open_checkpoint(save(tmp_path / "m.h5", w=array)) as checkpoint:
        tensor = checkpoint["w"]
        assert (checkpoint.format, tensor.shape, tensor.layout) == ("hdf5", array.shape, "out-in")
        assert tensor.to_numpy().tolist() == array.tolist()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read_in_any_range(tmp_path, layout):
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a/w", data=MATRIX, **LAYOUTS[layout])
    with open_checkpoint(path) as checkpoint:
        tensor = checkpoint["a/w"]
        assert tensor.addressable == (layout == "contiguous")
        for start in range(0, 60, 7):
            for stop in range(start, 61, 5):
                assert tensor.read(start, stop).tolist() == [*map(float, range(start, stop))]
        assert checkpoint.n_container_bytes > 0
    expected = score({"a/w": MATRIX}, specs=["zstd@bytes"]).rows[0].value
    assert score(path, specs=["zstd@bytes"]).rows[0].value == expected


@given(
    shape=st.lists(st.integers(1, 5), max_size=4).map(tuple),
    data=st.data(),
)
def test_slabs_are_the_flat_range(shape, data):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, array.size)] * 2)))
    parts = [array[slab].reshape(-1) for slab in slabs(shape, start, stop)]
    assert [value for part in parts for value in part] == [*range(start, stop)]


def keras(path):
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = np.bytes_("2.9.0")
        file.attrs["model_config"] = "text of variable length is not read"
        file["model_weights/dense/dense/kernel:0"] = MATRIX[0]
        file["optimizer_weights/Adam/dense/kernel/m:0"] = MATRIX[0]
        file["optimizer_weights/Adam/iter:0"] = 7
    return path


def test_keras_weights_are_found_and_the_optimiser_left_out(tmp_path):
    path = keras(tmp_path / "m.h5")
    with open_checkpoint(path) as checkpoint:
        assert [*checkpoint] == ["dense/dense/kernel:0"]
        assert checkpoint["dense/dense/kernel:0"].layout == "in-out"
        assert checkpoint.metadata == {"keras_version": "2.9.0"}
        assert "2 tensors of optimizer_weights are left out" in checkpoint.notes[0]
    with open_checkpoint(path, root="optimizer_weights.Adam") as checkpoint:
        assert [*checkpoint] == ["dense/kernel/m:0", "iter:0"]
    with open_checkpoint(path, root=".") as checkpoint:
        assert len(checkpoint) == 3
    with pytest.raises(SpecError, match=r"no group 'ema' .* there are: model_weights, optimizer"):
        open_checkpoint(path, root="ema")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_keras_archive_is_read_where_it_lies(tmp_path, compression):
    inner = tmp_path / "inner.h5"
    with h5py.File(inner, "w") as file:
        file["layers/dense/vars/0"] = MATRIX[0]
        file["optimizer/vars/0"] = MATRIX[0]
    with zipfile.ZipFile(tmp_path / "m.keras", "w", compression) as archive:
        archive.writestr("config.json", "{}")
        archive.write(inner, "model.weights.h5")
    if compression == zipfile.ZIP_DEFLATED:
        with pytest.raises(CorruptCheckpointError, match="is deflated: unpack it"):
            open_checkpoint(tmp_path / "m.keras")
        return
    with open_checkpoint(tmp_path / "m.keras") as checkpoint:
        assert [*checkpoint] == ["layers/dense/vars/0"]
        tensor = checkpoint["layers/dense/vars/0"]
        assert (tensor.layout, tensor.addressable) == ("in-out", True)
        assert tensor.to_numpy().tolist() == MATRIX[0].tolist()


def test_nothing_outside_the_file_is_followed(tmp_path):
    secret = save(tmp_path / "secret.h5", w=MATRIX)
    (tmp_path / "raw").write_bytes(bytes(40))
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file["w"] = MATRIX
        file["tied"] = file["w"]
        file["outside"] = h5py.ExternalLink(str(secret), "/w")
        file["soft"] = h5py.SoftLink("/w")
        file["text"] = "hello"
        file.create_dataset("external", (10,), "f4", external=[("../raw", 0, 40)])
        layout = h5py.VirtualLayout((3, 4, 5), "f4")
        layout[:] = h5py.VirtualSource(str(secret), "w", (3, 4, 5))
        file.create_virtual_dataset("virtual", layout)
    with open_checkpoint(path) as checkpoint:
        assert [*checkpoint] == ["tied"]
        notes = "\n".join(checkpoint.notes)
    assert "outside is left out: it is a link to" in notes
    assert "soft is left out: it is a link" in notes
    assert "external is left out: its values are in other files" in notes
    assert "virtual is left out: its values are in other files" in notes
    assert "w is tied under a second name: counted once" in notes
    assert "text is left out: it holds" in notes
    for root in ("outside", "soft"):
        with pytest.raises(SpecError, match="no group"):
            open_checkpoint(path, root=root)


def test_claims_beyond_what_is_stored_are_left_out(tmp_path):
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("petabyte", (1 << 48,), "f4", chunks=(1 << 20,))
        file.create_dataset("chunk", (1 << 27,), "f4", chunks=(1 << 27,))
        file.create_dataset("zeros", (1000,), "f4", chunks=(100,))
    with open_checkpoint(path) as checkpoint:
        assert [*checkpoint] == ["zeros"]
        assert not checkpoint["zeros"].read().any()
        assert "at most 268435456 are inflated at once" in checkpoint.notes[0]
        assert "petabyte is left out: it claims" in checkpoint.notes[1]


def test_groups_that_contain_themselves_end(tmp_path):
    path = save(tmp_path / "m.h5", **{"a/w": MATRIX})
    with h5py.File(path, "a") as file:
        file["a/again"] = file["a"]
    with open_checkpoint(path) as checkpoint:
        assert [*checkpoint] == ["a/w"]


def test_a_training_group_that_contains_itself_is_counted_once(tmp_path):
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("optimizer_weights")
        # Sixteen ways on from each group: the paths, 64 deep, would never be counted.
        for i in range(16):
            group[f"again{i}"] = group
        group["m"] = np.zeros(3, "f4")
        file["w"] = np.zeros(3, "f4")
    with open_checkpoint(path) as checkpoint:
        assert [*checkpoint] == ["w"]
        assert any("1 tensor of optimizer_weights is left out" in n for n in checkpoint.notes)
        # What is left out is no container: 12 bytes of it, 12 of w.
        assert checkpoint.n_container_bytes == path.stat().st_size - 24


@pytest.mark.parametrize("link", ["outside", "soft", "nowhere"])
@pytest.mark.parametrize("name", ["model_weights", "optimizer_weights"])
def test_keras_groups_that_are_links_are_not_followed(tmp_path, name, link):
    path = tmp_path / "m.h5"
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["group/secret"] = np.zeros(3, "f4")
    with h5py.File(path, "w") as file:
        file["w"] = np.zeros(3, "f4")
        file["group/inner"] = np.ones(3, "f4")
        links = {"outside": h5py.ExternalLink(str(tmp_path / "secret.h5"), "/group")}
        links |= {"soft": h5py.SoftLink("/group"), "nowhere": h5py.SoftLink("/nowhere")}
        file[name] = links[link]
    with open_checkpoint(path) as checkpoint:
        assert [*checkpoint] == ["group/inner", "w"]
        assert len(checkpoint.notes) == 1
        assert f"{name} is left out: it is a link" in checkpoint.notes[0]


def test_a_cut_or_damaged_file_is_refused_or_read(tmp_path):
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("w", data=MATRIX, chunks=(1, 4, 5), compression="gzip")
    data = bytearray(path.read_bytes())
    for end in range(8, len(data), 97):
        path.write_bytes(data[:end])
        with pytest.raises(CheckpointError, match=r"m\.h5"):
            open_checkpoint(path)
    for at in range(8, len(data), 41):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        # Any other exception would fail here.
        with suppress(CheckpointError), open_checkpoint(path) as checkpoint:
            for tensor in checkpoint.values():
                if tensor.n_weights < 1000:
                    tensor.read()


def test_a_missing_library_is_told_with_its_cure(tmp_path, monkeypatch):
    path = save(tmp_path / "m.h5", w=MATRIX)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'kcomplexity\[hdf5\]'"):
        open_checkpoint(path)
