"""Compare file formats with their own libraries: values, and the cost of a PyTorch file.

    python benchmarks/formats.py                        # 1 GiB as .pt and as .safetensors
    python benchmarks/formats.py --gib 0.25 --tmpdir /scratch
    python benchmarks/formats.py --compare FOLDER       # every file in it, against its library

The cost: the bytes read to open the ``.pt``, the peak memory of scoring it in a process of its own,
and the time against the same weights in safetensors, by turns.

The comparison reads each file with PyTorch (``weights_only``), h5py, onnx, gguf or tflite, wherever
they are installed, and compares names, shapes and every stored byte. A refused file is listed with
the reason and with the answer of its own library.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measuring import MIB, Row, gpt_layers, heavy_tailed, paired, table, write_safetensors
from numpy.typing import NDArray

import kcomplexity as kc
from kcomplexity.files.sources import FileSource
from kcomplexity.text import shorten

sys.path.append(str(Path(__file__).resolve().parents[1]))  # tests.torch_files writes the opcodes

SCORE = """
import resource, sys, kcomplexity as kc
kc.score(sys.argv[1], panel="fast")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak if sys.platform == "darwin" else peak * 1024)
"""
Stored = tuple[tuple[int, ...], bytes]


def main(argv: Sequence[str] | None = None) -> None:
    """Run what was asked for and print its table."""
    options = _parse(argv)
    if options.compare:
        compare(options.compare)
    else:
        print(table("formats: a PyTorch file", list(cost(options))))


# --- Cost --------------------------------------------------------------------------------------


def cost(options: argparse.Namespace) -> Iterator[Row]:
    """Yield the rows of the cost of a PyTorch file."""
    n_bytes = round(options.gib * 1024) * MIB
    size = f"{n_bytes / MIB:g} MiB"
    with tempfile.TemporaryDirectory(prefix="kcomplexity-bench-", dir=options.tmpdir) as folder:
        plain, torch = Path(folder) / "m.safetensors", Path(folder) / "m.pt"
        write_safetensors(plain, gpt_layers(n_bytes // 4), "F32", _blocks())
        write_pt(plain, torch)
        n_read = bytes_to_open(torch)
        yield Row(f"open a .pt of {size}", "bytes read", "< 2 MiB", f"{n_read / 1024:.1f} KiB")
        run = subprocess.run(
            [sys.executable, "-c", SCORE, str(torch)], check=True, capture_output=True, text=True
        )
        peak = f"{int(run.stdout) / MIB:.0f} MiB"
        yield Row(f"score it with `fast`, {size}", "peak resident", "<= 1 GiB", peak)

        def score(path: Path) -> Callable[[], object]:
            return lambda: kc.score(path, panel="fast")

        both = paired(score(torch), score(plain), options.repeats)
        yield Row("score it with `fast`", "the same as .safetensors", "<= 1.1x", str(both))


def write_pt(plain: Path, path: Path) -> None:
    """Write the tensors of a safetensors file as torch.save would."""
    from tests.torch_files import mapping, program, window

    with kc.open_checkpoint(plain) as checkpoint, zipfile.ZipFile(path, "w") as archive:
        windows = {}
        for i, tensor in enumerate(checkpoint.values()):
            strides = [1]
            for n in reversed(tensor.shape[1:]):
                strides.insert(0, strides[0] * n)
            windows[tensor.name] = window(str(i), tensor.n_weights, tensor.shape, strides)
        archive.writestr("archive/data.pkl", program(mapping(windows)))
        for i, tensor in enumerate(checkpoint.values()):
            with archive.open(f"archive/data/{i}", "w", force_zip64=True) as member:
                for piece in tensor.pieces():
                    member.write(piece)


def bytes_to_open(path: Path) -> int:
    """Return how many bytes are read to open a checkpoint."""
    n_read = 0
    read = FileSource.read

    def counted(self: FileSource, offset: int, n_bytes: int, out: Any = None) -> Any:
        nonlocal n_read
        n_read += n_bytes
        return read(self, offset, n_bytes, out)

    FileSource.read = counted  # type: ignore[method-assign]
    try:
        kc.open_checkpoint(path).close()
    finally:
        FileSource.read = read  # type: ignore[method-assign]
    return n_read


def _blocks() -> Iterator[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    block = heavy_tailed(1 << 22, rng).view(np.uint8)
    while True:
        yield block


# --- Values ------------------------------------------------------------------------------------


def compare(folder: Path) -> None:
    """Print a line for each file below a folder that a library of its own reads."""
    print("| file | tensors | weights | verdict |\n|---|---|---|---|")
    for path in sorted(folder.rglob("*")):
        reader = READERS.get(path.suffix.lower())
        if reader is None or not path.is_file():
            continue
        print(f"| {path.relative_to(folder)} | {' | '.join(_verdict(path, reader))} |", flush=True)


def _verdict(path: Path, reader: Callable[[Path], Mapping[str, Stored]]) -> tuple[str, str, str]:
    expected: Mapping[str, Stored] = {}
    try:
        expected, said = reader(path), "its library reads it"
    except ImportError as error:
        said = f"{error.name} is not installed"
    except Exception as error:  # noqa: BLE001 - of any library; shown in the table
        said = f"its library: {type(error).__name__}: {shorten(error, 60)}"
    nested = path.suffix.lower() in (".pt", ".pth", ".model", ".tar", ".h5")
    try:
        checkpoint = kc.open_checkpoint(path, root="." if nested else None)
    except kc.CheckpointError as error:
        return "-", "-", f"refused: {shorten(str(error).partition(': ')[2], 90)} ({said})"
    with checkpoint:
        counts = str(len(checkpoint)), str(checkpoint.n_weights)
        if not expected:
            return *counts, f"read ({said})"
        wrong = [name for name in checkpoint if not _same(checkpoint[name], expected)]
        missing = len(expected) - len(checkpoint) if path.suffix != ".gguf" else 0
    if wrong:
        return *counts, f"DIFFERENT: {len(wrong)}, such as {shorten(wrong[0])}"
    more = f", {missing} more under second names" if missing > 0 else ""
    return *counts, f"equal: names, shapes, bytes{more}"


def _same(tensor: kc.Tensor, expected: Mapping[str, Stored]) -> bool:
    if tensor.name not in expected:
        return bool(tensor.side_of)  # scales, which the readers here do not list
    shape, data = expected[tensor.name]
    return tensor.shape == shape and tensor.raw(0, tensor.n_weights).tobytes() == data


def _of_torch(path: Path) -> dict[str, Stored]:
    import torch

    tensors: dict[str, Stored] = {}

    def walk(value: Any, name: str) -> None:
        if isinstance(value, torch.Tensor):
            flat = value.detach().contiguous().reshape(-1)
            data = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
            tensors[name or path.stem] = tuple(value.shape), data
        items = value.items() if isinstance(value, dict) else ()
        for key, inner in enumerate(value) if isinstance(value, list | tuple) else items:
            walk(inner, f"{name}.{key}" if name else str(key))

    walk(torch.load(path, map_location="cpu", weights_only=True), "")
    return tensors


def _of_hdf5(path: Path) -> dict[str, Stored]:
    import h5py

    tensors: dict[str, Stored] = {}
    with h5py.File(path) as file:

        def take(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                tensors[name] = item.shape, np.asarray(item[()]).tobytes()

        file.visititems(take)
    return tensors


def _of_onnx(path: Path) -> dict[str, Stored]:
    import onnx

    graph = onnx.load(path).graph
    protos = [(proto.name, proto) for proto in graph.initializer]
    for node in graph.node:
        protos += [
            (node.output[0], attribute.t)
            for attribute in node.attribute
            if node.op_type == "Constant" and attribute.name == "value"
        ]
    arrays = {name: onnx.numpy_helper.to_array(proto) for name, proto in protos}
    return {name: (a.shape, np.ascontiguousarray(a).tobytes()) for name, a in arrays.items()}


def _of_gguf(path: Path) -> dict[str, Stored]:
    """Return the stored tensors, and compare the weights of quantised ones with ours."""
    import gguf

    tensors: dict[str, Stored] = {}
    with kc.open_checkpoint(path, dequantize=True) as weights:
        parts = kc.open_checkpoint(path)
        for tensor in gguf.GGUFReader(path).tensors:
            shape = tuple(int(n) for n in tensor.shape)[::-1]
            if tensor.name in parts:
                tensors[tensor.name] = shape, tensor.data.tobytes()
                continue
            ours, theirs = weights[tensor.name], gguf.dequantize(tensor.data, tensor.tensor_type)
            if ours.shape != shape or not np.array_equal(ours.read(), theirs.reshape(-1)):
                raise ValueError(f"{tensor.name} is dequantised otherwise")
            for part in parts.values():
                if part.name.rpartition(".")[0] == tensor.name:
                    tensors[part.name] = part.shape, part.raw(0, part.n_weights).tobytes()
    return tensors


def _of_tflite(path: Path) -> dict[str, Stored]:
    import tflite

    model = tflite.Model.GetRootAsModel(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    tensors: dict[str, Stored] = {}
    for i in range(graph.TensorsLength()):
        tensor = graph.Tensors(i)
        buffer = model.Buffers(tensor.Buffer())
        if buffer.DataLength():
            shape = tuple(int(tensor.Shape(j)) for j in range(tensor.ShapeLength()))
            tensors[tensor.Name().decode()] = shape, buffer.DataAsNumpy().tobytes()
    return tensors


def _of_safetensors(path: Path) -> dict[str, Stored]:
    from safetensors import deserialize

    tensors = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    return {name: (tuple(entry["shape"]), bytes(entry["data"])) for name, entry in tensors}


def _of_numpy(path: Path) -> dict[str, Stored]:
    with np.load(path) as arrays:
        return {name: (a.shape, a.tobytes()) for name, a in arrays.items()}


READERS: dict[str, Callable[[Path], Mapping[str, Stored]]] = {
    ".pt": _of_torch,
    ".pth": _of_torch,
    ".model": _of_torch,
    ".tar": _of_torch,
    ".h5": _of_hdf5,
    ".onnx": _of_onnx,
    ".gguf": _of_gguf,
    ".tflite": _of_tflite,
    ".safetensors": _of_safetensors,
    ".npz": _of_numpy,
}


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--compare", type=Path, help="a folder of files to compare instead")
    parser.add_argument("--gib", type=float, default=1, help="size of the checkpoint (1)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side (3)")
    parser.add_argument("--tmpdir", type=Path, help="where the files go")
    parser.add_argument("--quick", action="store_true", help="4 MiB, one run")
    options = parser.parse_args(argv)
    if options.quick:
        options.gib, options.repeats = 1 / 256, 1
    return options


if __name__ == "__main__":
    main()
