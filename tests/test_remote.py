"""Checkpoints on servers: read by range, and from servers that lie."""

import pickle
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save, save_file

from kcomplexity.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    MissingExtraError,
    RemoteError,
)
from kcomplexity.files import http, remote
from kcomplexity.files.opening import open_source
from kcomplexity.files.urls import UrlPath
from kcomplexity.loaders import open_checkpoint
from kcomplexity.scoring.score import score
from tests import test_loaders_gguf, test_loaders_onnx, torch_files
from tests.range_server import serving

RNG = np.random.default_rng(0)
ARRAYS = {"a": RNG.normal(size=(40, 30)).astype("f4"), "b": np.arange(7, dtype=np.float16)}
MODEL = save(ARRAYS)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(http, "TIMEOUT", 0.3)
    monkeypatch.setattr(remote, "PAUSE", 0)
    monkeypatch.setenv("no_proxy", "*")


def test_a_model_on_a_server_is_read_by_range():
    with serving({"/m.safetensors": MODEL}) as server:
        url = f"{server.url}/m.safetensors"
        with open_checkpoint(url) as checkpoint:
            assert (checkpoint.path, checkpoint.format) == (url, "safetensors")
            for name, array in ARRAYS.items():
                assert checkpoint[name].to_numpy().tolist() == array.tolist()
                assert not checkpoint[name].addressable
            assert str(checkpoint.sources[0].path) == url
        with pytest.raises(CheckpointError, match="was closed"):
            checkpoint["a"].read()
        found = score(url, specs=["zstd@bytes", "entropy@q8"], threads=2)
        expected = score(ARRAYS, specs=["zstd@bytes", "entropy@q8"])
        by_name = {(row.tensor, row.spec): row.value for row in found.rows}
        assert by_name == {(row.tensor, row.spec): row.value for row in expected.rows}


def test_opening_asks_for_the_header_alone():
    big = save({"w": np.zeros(1 << 20, np.float32)})
    with serving({"/m.safetensors": big}) as server:
        with open_checkpoint(f"{server.url}/m.safetensors") as checkpoint:
            assert len(server.asked) == 2
            assert sum(int(last) - int(first) + 1 for _, first, last in server.asked) < 70_000
            assert checkpoint["w"].read(5, 9).tolist() == [0] * 4
        assert sum(int(last) - int(first) + 1 for _, first, last in server.asked) < 140_000


def test_every_format_that_is_read_by_range_is_read_from_a_server(tmp_path):
    values = ARRAYS["a"]
    opcodes = torch_files.mapping(
        {"w": torch_files.window("0", values.size, (30, 40), (1, 30))},
    )
    np.savez(tmp_path / "m.npz", w=values.T)
    paths = [
        torch_files.save_zip(tmp_path / "m.pt", opcodes, {"0": values}),
        tmp_path / "m.npz",
        test_loaders_onnx.save(tmp_path / "m.onnx", test_loaders_onnx.raw("w", values.T.copy())),
        test_loaders_gguf.save(tmp_path / "m.gguf", {"w": ((30, 40), 0, values.T.tobytes())}),
    ]
    with serving({f"/{path.name}": path.read_bytes() for path in paths}) as server:
        for path in paths:
            with open_checkpoint(f"{server.url}/{path.name}") as checkpoint:
                assert checkpoint["w"].to_numpy().tolist() == values.T.tolist()


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ("ignores ranges", r"ignores ranges \(it answers 200"),
        ("another range", "the server sends bytes 1-1/"),
        ("another length", "has changed on the server"),
        ("too little", "did not come in 3 tries: the answer ends"),
        ("compresses", "compresses ranges"),
        ("endless length", "the server sends bytes 0-0/9999"),
        ("changes", "has changed on the server"),
        ("fails", "the server answers 503"),
        ("forbids", "the server answers 403"),
        ("stalls", "timed out"),
        ("redirects to a file", "cannot be reached|answers"),
        ("redirects", "cannot be reached|answers 302"),
    ],
)
def test_a_server_that_lies_is_refused_in_one_line(lie, message):
    with serving({"/m.safetensors": MODEL, "/moved": MODEL}, lambda _: lie) as server:
        tracemalloc.start()
        with pytest.raises(RemoteError, match=message) as refusal:
            open_checkpoint(f"{server.url}/m.safetensors")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
        tracemalloc.stop()
    assert "\n" not in str(refusal.value)
    assert server.url in str(refusal.value)


@pytest.mark.parametrize(("lie", "first"), [("drips", 2), ("drips headers", 1)])
def test_a_server_that_drips_is_given_up(lie, first):
    with (
        serving({"/m.safetensors": MODEL}, lambda n: lie if n >= first else "") as server,
        pytest.raises(RemoteError, match="slower than 20 kB/s") as refusal,
    ):
        open_checkpoint(f"{server.url}/m.safetensors")
    assert "\n" not in str(refusal.value)


def test_what_passes_is_asked_for_again():
    with serving({"/m.safetensors": MODEL}, lambda n: "fails" if n % 2 else "") as server:
        with open_checkpoint(f"{server.url}/m.safetensors") as checkpoint:
            assert checkpoint["b"].read().tolist() == ARRAYS["b"].tolist()
        assert len(server.asked) > 2


def test_a_redirect_is_followed_with_its_range():
    def lie(n):
        return "redirects" if n % 2 else ""

    with serving({"/m.safetensors": MODEL, "/moved": MODEL}, lie) as server:
        with open_checkpoint(f"{server.url}/m.safetensors") as checkpoint:
            assert checkpoint["b"].read().tolist() == ARRAYS["b"].tolist()
        assert ("/moved", "0", "0") in server.asked


def test_what_is_not_there_is_told():
    with serving({}) as server:
        with pytest.raises(CheckpointNotFoundError, match="the server has no such file"):
            open_checkpoint(f"{server.url}/m.safetensors")
        url = server.url
    with pytest.raises(RemoteError, match="cannot be reached"):
        open_checkpoint(f"{url}/m.safetensors")


def test_a_cut_file_on_a_server_is_refused():
    with (
        serving({"/m.safetensors": MODEL[:-9]}) as server,
        pytest.raises(CheckpointError, match="it is cut: copy it again"),
    ):
        open_checkpoint(f"{server.url}/m.safetensors")


def test_big_reads_are_asked_for_in_pieces(monkeypatch):
    monkeypatch.setattr(remote, "PIECE", 1 << 16)
    array = RNG.integers(0, 256, 300_000).astype(np.uint8)
    with (
        serving({"/m.safetensors": save({"w": array})}) as server,
        open_checkpoint(f"{server.url}/m.safetensors") as checkpoint,
    ):
        assert np.array_equal(checkpoint["w"].read(), array)
        assert max(int(last) - int(first) + 1 for _, first, last in server.asked) == 1 << 16


def test_fsspec_places_are_read_by_range(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/models/m.safetensors", MODEL)
    with open_checkpoint("memory://models/m.safetensors") as checkpoint:
        assert checkpoint["a"].to_numpy().tolist() == ARRAYS["a"].tolist()
    with pytest.raises(CheckpointNotFoundError, match="no such file; check the URL"):
        open_checkpoint("memory://models/gone.safetensors")
    with pytest.raises(RemoteError, match="Protocol not known: nowhere"):
        open_checkpoint("nowhere://m.safetensors")
    save_file(ARRAYS, tmp_path / "m.safetensors")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(tmp_path / "m.safetensors", "m.safetensors")
    with open_checkpoint(f"zip://m.safetensors::{tmp_path / 'z.zip'}") as checkpoint:
        assert checkpoint["b"].read().tolist() == ARRAYS["b"].tolist()


def test_a_missing_library_is_told_with_its_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'kcomplexity\[remote\]'"):
        open_checkpoint("memory://m.safetensors")


def test_what_servers_need_is_imported_for_them_alone():
    program = (
        "import sys, kcomplexity\n"
        "assert not {'http.client', 'ssl', 'fsspec', 'h5py', 'gguf'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_url_has_the_name_of_a_path_and_travels():
    path = UrlPath("https://host.example/a/b/model.safetensors?download=true")
    assert (path.name, path.suffix, path.stem) == ("model.safetensors", ".safetensors", "model")
    assert str(path) == "https://host.example/a/b/model.safetensors?download=true"
    again = pickle.loads(pickle.dumps(open_source(path)))
    assert str(again.path) == str(path)
