"""Files of strangers through the command: one clear line and exit 1, or sensible rows."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests import run


def entry(n: int, begin: int) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [n], "data_offsets": [begin, begin + n]}


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def file(name: str, content: bytes) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / name).write_bytes(content)
        return name

    return make


def index(shards: dict[str, str]) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / "m").mkdir()
        save_file({"w": np.ones(2)}, folder / "m" / "here.safetensors")
        text = json.dumps({"weight_map": shards})
        (folder / "m" / "model.safetensors.index.json").write_text(text)
        return "m"

    return make


def nothing(folder: Path) -> str:
    (folder / "docs").mkdir()
    (folder / "docs" / "readme.md").touch()
    return "docs"


def bomb(folder: Path) -> str:
    header = io.BytesIO()
    claim = {"descr": "<f4", "fortran_order": False, "shape": (10**12,)}
    np.lib.format.write_array_header_1_0(header, claim)
    with zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", header.getvalue() + bytes(1000))
    return "bomb.npz"


def cut_npz(folder: Path) -> str:
    np.savez(folder / "cut.npz", w=np.arange(300.0))
    whole = (folder / "cut.npz").read_bytes()
    (folder / "cut.npz").write_bytes(whole[: len(whole) // 2])
    return "cut.npz"


TWICE = f'{{"w": {json.dumps(entry(1, 0))}, "w": {json.dumps(entry(1, 0))}}}'
REFUSED: dict[str, tuple[Callable[[Path], str], str]] = {
    "missing": (lambda _: "gone.safetensors", "gone.safetensors: no such file; check the path"),
    "missing, with terminal codes": (
        lambda _: "\x1b[2Jgone\n.npz",
        "\\x1b[2Jgone\\n.npz: no such file, and no file matches it as a pattern; check",
    ),
    "empty": (file("m.safetensors", b""), "m.safetensors: the file is empty; copy it again"),
    "truncated": (
        file("m.safetensors", safetensors({"w": entry(4, 0)}, b"123")),
        "m.safetensors: tensor w ends at data byte 4, but the file holds 3; it is cut: copy it",
    ),
    "truncated npz": (cut_npz, "cut.npz: not a whole zip archive: File is not a zip file; copy it"),
    "garbage": (
        file("m.weights", bytes(range(200, 250))),
        "m.weights: the content is of no known format; expected one of: mosaic,",
    ),
    "garbage, named as PyTorch's": (
        file("m.bin", bytes(range(200, 250))),
        "m.bin: not a PyTorch file: neither a zip archive nor PyTorch's magic number at its start;",
    ),
    "garbage called safetensors": (
        file("m.safetensors", bytes(range(200, 250))),
        "this is not a safetensors file, or a damaged one: copy it again",
    ),
    "header longer than the file": (
        file("m.safetensors", safetensors({}, length=5000)),
        "the header should be 5000 bytes long, but only 2 follow; the file is cut: copy it again",
    ),
    "overlap": (
        file("m.safetensors", safetensors({"a": entry(4, 0), "b": entry(4, 2)}, b"123456")),
        "tensors a and b overlap at data byte 2; the file is damaged: copy it again",
    ),
    "offsets beyond the file": (
        file("m.safetensors", safetensors({"a": entry(1 << 40, 0)}, b"1234")),
        "tensor a ends at data byte 1099511627776, but the file holds 4; it is cut: copy it again",
    ),
    "a key twice": (
        file("m.safetensors", safetensors(TWICE, b"1")),
        "the key 'w' is there twice; copy the file again or write it again",
    ),
    "terminal codes in a name": (
        file("m.safetensors", safetensors({"\x1b[2J\nw": 3})),
        "tensor \\x1b[2J\\nw is not described by dtype, shape and data_offsets; write the file",
    ),
    "index out of its folder": (
        index({"w": "../up.safetensors"}),
        "the shard '../up.safetensors' is not inside the folder of the index; move the shards",
    ),
    "absent shard": (
        index({"w": "here.safetensors", "v": "gone.safetensors"}),
        "1 of 2 shards are missing, such as gone.safetensors; copy them there",
    ),
    "JSON that is no index": (
        file("config.json", b'{"a": 1}'),
        "config.json: no weight_map from tensor names to file names; it is not an index of shards",
    ),
    "folder without checkpoints": (
        nothing,
        "docs: a folder without *.safetensors or any other checkpoint in it; give",
    ),
    "member that claims terabytes": (
        bomb,
        "w.npy: an array of shape (1000000000000,) and type float32 takes 4000000000000 bytes, but",
    ),
}


@pytest.mark.parametrize("command", ["score", "inspect"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_file_is_one_clear_line_and_nothing_else(tmp_path, monkeypatch, command, name):
    monkeypatch.chdir(tmp_path)
    make, message = REFUSED[name]
    path = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    found = run(command, path, "-o", "out.json")
    assert (found.exit_code, found.stdout) == (1, "")
    (line,) = found.stderr.splitlines()
    assert line.startswith("kcomplexity: error: ")
    assert message in line
    assert line.isprintable()
    assert "Traceback" not in line
    assert sorted(tmp_path.rglob("*")) == before


def test_the_content_decides_and_a_wrong_extension_is_noted(tmp_path):
    save_file({"w": np.ones((3, 4), np.float32)}, tmp_path / "w.npz")
    found = run("score", tmp_path / "w.npz", "-p", "fast")
    assert found.exit_code == 0
    assert found.stderr == (
        "kcomplexity: w.npz is safetensors by its content, whatever its extension .npz says\n"
    )


@pytest.mark.parametrize("others", [{}, {"w": np.ones(8, np.float32)}])
def test_objects_in_an_archive_are_told_and_never_unpickled(tmp_path, others):
    np.savez(tmp_path / "o.npz", o=np.array([{1: 2}], object), **others)
    found = run("score", tmp_path / "o.npz", "-p", "fast")
    told = "kcomplexity: o is left out: it holds Python objects, which are never unpickled\n"
    if others:
        assert (found.exit_code, found.stderr) == (0, told)
    else:
        assert found.exit_code == 4
        assert found.stderr == told + "kcomplexity: nothing was measured: there is no tensor\n"


NAME = "a\n\x1b[31m|b"


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Path:
    """Every odd tensor there is, in one file."""
    rng = np.random.default_rng(0)
    broken = rng.normal(size=(8, 8)).astype(np.float32)
    broken[0, :2] = np.nan, np.inf
    tensors: dict[str, Any] = {
        NAME: rng.normal(size=(16, 16)).astype(np.float32),
        "broken": broken,
        "empty": np.zeros((0, 3), np.float32),
        "scalar": np.array(1.5, np.float32),
        "one": np.ones(1, np.float32),
        "constant": np.full((8, 8), 2, np.float32),
        "integers": np.arange(10),
        "mask": np.tri(8, dtype=bool),
    }
    path = tmp_path_factory.mktemp("odd") / "odd.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def rows(odd) -> dict[tuple[str, str], dict[str, Any]]:
    found = run("score", odd, "--json")
    assert (found.exit_code, found.stderr) == (0, "")
    return {(row["tensor"], row["spec"]): row for row in json.loads(found.stdout)["rows"]}


@pytest.mark.parametrize(
    ("tensor", "spec", "reason"),
    [
        ("broken", "zstd@bytes", None),
        ("broken", "entropy:two-part@q8", "1 NaN and 1 infinite weights: there is no level for"),
        ("broken", "bdm2d@sign", "1 NaN and 1 infinite weights"),
        ("empty", "zstd@bytes", "the tensor is empty: there is no weight to measure"),
        ("scalar", "zstd@bytes", None),
        ("scalar", "entropy:two-part@rd0.01", None),
        ("scalar", "bdm2d@sign", "a matrix of 1x1 holds no block of 4x4"),
        ("one", "entropy:two-part@q8", None),
        ("constant", "entropy:two-part@q8", None),
        ("constant", "zstd:9@q4", None),
        ("integers", "zstd@bytes/planes", None),
        (
            "integers",
            "entropy:two-part@q8",
            "I64 values are not weights: only @bytes, @words and @codes",
        ),
        ("mask", "zstd@bytes", None),
        ("mask", "entropy@sign", "BOOL values are not weights"),
        (NAME, "entropy:two-part@rd0.01", None),
    ],
)
def test_an_odd_tensor_is_measured_or_skipped_with_the_reason(rows, tensor, spec, reason):
    row = rows[tensor, spec]
    if reason is None:
        assert (row["status"], row["reason"]) == ("ok", None)
        assert row["bits"] > 0
    else:
        assert (row["status"], row["bits"]) == ("skipped", None)
        assert reason in row["reason"]


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("score", ["-p", "default"]),
        ("score", ["-p", "fast", "--all"]),
        ("inspect", []),
        ("inspect", ["--values", "--all"]),
    ],
)
def test_a_name_never_reaches_the_terminal_as_it_is(odd, command, options):
    found = run(command, odd, *options)
    assert found.exit_code == 0
    assert "a\\n\\x1b[31m|b" in found.stdout
    assert all(char.isprintable() or char == "\n" for char in found.stdout + found.stderr)


def test_a_share_of_the_weights_is_told_wherever_a_figure_has_only_that(odd):
    found = run("score", odd, "-e", "zstd:9@q4", "--control", "shuffle:2")
    sentence = next(line for line in found.stdout.splitlines() if line.startswith("zstd:9@q4: "))
    assert sentence.endswith("; on 70% of the weights")
    assert "70% of weights" in found.stdout
