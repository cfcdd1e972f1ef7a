"""GGUF files written by hand: every block type taken apart, and headers that lie."""

import struct
import sys
from contextlib import suppress

import ml_dtypes
import numpy as np
import pytest

from kcomplexity.errors import CheckpointError, CorruptCheckpointError, MissingExtraError
from kcomplexity.loaders import open_checkpoint
from kcomplexity.loaders.ggml_blocks import BLOCKS
from kcomplexity.scoring.score import score

WEIGHTS = np.arange(-32, 32, dtype=np.float32).reshape(2, 32)
NUMBER_OF = {kind.name: number for number, kind in BLOCKS.items()}


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def fact(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value


def info(name, shape, kind, offset):
    axes = b"".join(struct.pack("<Q", n) for n in shape[::-1])
    return text(name) + struct.pack("<I", len(shape)) + axes + struct.pack("<IQ", kind, offset)


def header(n_tensors, n_facts, version=3):
    return b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_facts)


def save(path, tensors, facts=(), align=32):
    """Write tensors given as name -> (shape, type number, bytes)."""
    infos, data = b"", b""
    for name, (shape, kind, content) in tensors.items():
        infos += info(name, shape, kind, len(data))
        data += content + bytes(-len(content) % align)
    start = header(len(tensors), len(facts)) + b"".join(facts) + infos
    path.write_bytes(start + bytes(-len(start) % align) + data)
    return path


def blocks_of(kind, n, seed=0):
    """Random blocks whose float16 fields are small numbers, never NaN."""
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 256, (n, kind.n_bytes), np.uint8)
    for part in kind.parts:
        if part.dtype.code == "F16":
            halves = rng.uniform(0.01, 1, (n, 1)).astype(np.float16)
            columns = part.gather(np.arange(kind.n_bytes, dtype=np.uint8)[None])[0]
            raw[:, columns] = halves.view(np.uint8)
    return raw


@pytest.mark.parametrize("names", [("a", "a.codes"), ("a.codes", "a")])
def test_a_tensor_called_like_a_part_of_another_is_not_lost(tmp_path, names):
    blocks = blocks_of(BLOCKS[2], 4).tobytes()
    content = {"a": ((4, 32), 2, blocks), "a.codes": ((7,), 0, bytes(28))}
    path = save(tmp_path / "m.gguf", {name: content[name] for name in names})
    with pytest.raises(CorruptCheckpointError, match=r"a\.codes is the name of a tensor and of a"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("number", "told"), [(40, r"40 \(NVFP4\),"), (41, r"41 \(Q1_0\),"), (77, "77,")]
)
def test_a_type_that_is_not_read_is_told_by_its_number(tmp_path, number, told):
    path = save(tmp_path / "m.gguf", {"w": ((2, 32), number, bytes(64))})
    with pytest.raises(CorruptCheckpointError, match=f"of type {told}.*convert"):
        open_checkpoint(path)


def test_plain_tensors_and_facts_are_read(tmp_path):
    bf16 = WEIGHTS.astype(ml_dtypes.bfloat16)
    words = b"".join(text(word) for word in ("a", "", "word"))
    facts = [
        fact("general.name", 8, text("tiny")),
        fact("count", 4, struct.pack("<I", 7)),
        fact("share", 6, struct.pack("<f", 0.5)),
        fact("tokens", 9, struct.pack("<IQ", 8, 3) + words),
        fact("ids", 9, struct.pack("<IQ", 5, 2) + bytes(8)),
        fact("nested", 9, struct.pack("<IQ", 9, 1) + struct.pack("<IQ", 8, 1) + text("x")),
        fact("long", 8, text("y" * 999)),
    ]
    tensors = {"w": ((2, 32), 0, WEIGHTS.tobytes()), "b": ((64,), 30, bf16.tobytes())}
    path = save(tmp_path / "m.gguf", tensors, facts)
    with open_checkpoint(path) as checkpoint:
        assert (checkpoint.format, [*checkpoint]) == ("gguf", ["w", "b"])
        assert checkpoint["w"].to_numpy().tolist() == WEIGHTS.tolist()
        assert checkpoint["b"].dtype.code == "BF16"
        assert checkpoint.metadata["general.name"] == "tiny"
        assert checkpoint.metadata["count"] == "7"
        assert checkpoint.metadata["share"] == "0.5"
        assert checkpoint.metadata["tokens"] == "3 texts"
        assert checkpoint.metadata["ids"] == "2 numbers"
        assert checkpoint.metadata["nested"] == "1 arrays"
        assert checkpoint.metadata["long"].endswith("... (999 bytes)")
        assert checkpoint.n_bytes + checkpoint.n_container_bytes == path.stat().st_size


def test_the_alignment_is_the_one_that_the_file_says(tmp_path):
    facts = [fact("general.alignment", 4, struct.pack("<I", 128))]
    path = save(tmp_path / "m.gguf", {"w": ((2, 32), 0, WEIGHTS.tobytes())}, facts, align=128)
    with open_checkpoint(path) as checkpoint:
        assert checkpoint["w"].to_numpy().tolist() == WEIGHTS.tolist()


@pytest.mark.parametrize("name", NUMBER_OF)
def test_the_parts_of_a_block_take_its_bytes(name):
    kind = BLOCKS[NUMBER_OF[name]]
    assert sum(part.dtype.n_bytes(part.per_block) for part in kind.parts) == kind.n_bytes
    if kind.parts[0].name == "codes":
        assert kind.parts[0].per_block == kind.n_weights


@pytest.mark.parametrize("name", NUMBER_OF)
def test_blocks_are_taken_apart_without_loss(tmp_path, name):
    kind = BLOCKS[NUMBER_OF[name]]
    raw = blocks_of(kind, 6)
    tensors = {"w": ((3, 2 * kind.n_weights), NUMBER_OF[name], raw.tobytes())}
    path = save(tmp_path / "m.gguf", tensors)
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.n_bytes == raw.size
        assert [*checkpoint] == [f"w.{part.name}" for part in kind.parts]
        assert [t.side_of for t in checkpoint.values()] == [""] + [f"w.{kind.parts[0].name}"] * (
            len(kind.parts) - 1
        )
        # Every bit of the block is in one part: a turned bit changes what is read.
        stored = b"".join(t.raw(0, t.n_weights).tobytes() for t in checkpoint.values())
    assert np.unpackbits(np.frombuffer(stored, np.uint8)).sum() == np.unpackbits(raw).sum()


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_codes_and_scales_make_the_weights_of_the_library(tmp_path, name):
    pytest.importorskip("gguf")
    kind = BLOCKS[NUMBER_OF[name]]
    raw = blocks_of(kind, 8)
    path = save(tmp_path / "m.gguf", {"w": ((4, 64), NUMBER_OF[name], raw.tobytes())})
    with open_checkpoint(path) as parts, open_checkpoint(path, dequantize=True) as weights:
        codes = parts["w.codes"].to_numpy().astype(np.float64).reshape(8, 32)
        scales = parts["w.scales"].to_numpy().astype(np.float64).reshape(8, 1)
        mins = parts["w.mins"].to_numpy().reshape(8, 1) if "w.mins" in parts else 0.0
        expected = scales * (codes - {"Q4_0": 8, "Q5_0": 16}.get(name, 0)) + mins
        found = weights["w"].to_numpy()
        assert found.shape == (4, 64)
        assert np.allclose(found.reshape(8, 32), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"])
def test_codes_of_k_quants_are_in_the_order_of_the_weights(tmp_path, name):
    pytest.importorskip("gguf")
    kind = BLOCKS[NUMBER_OF[name]]
    raw = blocks_of(kind, 3)
    path = save(tmp_path / "m.gguf", {"w": ((3, 256), NUMBER_OF[name], raw.tobytes())})
    run = 32 if name in ("Q4_K", "Q5_K") else 16
    with open_checkpoint(path) as parts, open_checkpoint(path, dequantize=True) as weights:
        codes = parts["w.codes"].to_numpy().astype(np.float64).reshape(-1, run)
        found = weights["w"].to_numpy().reshape(-1, run).astype(np.float64)
    for code, weight in zip(codes, found, strict=True):
        # Within a run of one scale and one min, weights are a line in the codes.
        slope, start = np.polyfit(code, weight, 1)
        assert np.allclose(weight, slope * code + start, atol=1e-4 * np.abs(weight).max() + 1e-9)


@pytest.mark.parametrize("name", NUMBER_OF)
def test_a_tensor_without_values_has_empty_parts(tmp_path, name):
    path = save(tmp_path / "m.gguf", {"w": ((0, 256), NUMBER_OF[name], b"")})
    with open_checkpoint(path) as checkpoint:
        assert [t.raw(0, 0).size for t in checkpoint.values()] == [0] * len(checkpoint)


@pytest.mark.parametrize("name", ["Q4_0", "Q5_1", "Q6_K"])
def test_any_range_of_a_part_is_a_slice(tmp_path, name):
    kind = BLOCKS[NUMBER_OF[name]]
    n = 4 * kind.n_weights
    tensors = {"w": ((2, n // 2), NUMBER_OF[name], blocks_of(kind, 4).tobytes())}
    path = save(tmp_path / "m.gguf", tensors)
    with open_checkpoint(path) as checkpoint:
        whole = checkpoint["w.codes"].read().tolist()
        for start in range(0, n, 37):
            for stop in (start + 1, start + 33, n):
                assert checkpoint["w.codes"].read(start, stop).tolist() == whole[start:stop]


def test_any_range_of_dequantised_weights_is_a_slice(tmp_path):
    pytest.importorskip("gguf")
    kind = BLOCKS[NUMBER_OF["Q4_0"]]
    path = save(tmp_path / "m.gguf", {"w": ((2, 64), 2, blocks_of(kind, 4).tobytes())})
    with open_checkpoint(path, dequantize=True) as checkpoint:
        whole = checkpoint["w"].read().tolist()
        for start, stop in [(0, 1), (5, 70), (31, 33), (127, 128)]:
            assert checkpoint["w"].read(start, stop).tolist() == whole[start:stop]
    assert score(path, specs=["entropy@q8"], dequantize=True).rows[0].status == "ok"


def test_bits_a_weight_count_scales_as_bits_and_not_as_weights(tmp_path):
    kind = BLOCKS[NUMBER_OF["Q4_0"]]
    raw = blocks_of(kind, 64)
    path = save(tmp_path / "m.gguf", {"w": ((32, 64), 2, raw.tobytes())})
    report = score(path, specs=["entropy@bytes", "entropy@codes", "zstd@codes"])
    by_spec = {row.spec: row for row in report.summary}
    assert by_spec["entropy@bytes"].n_weights == 2048
    assert by_spec["entropy@bytes"].raw_bits == 8 * raw.size
    assert by_spec["entropy@codes"].bits_per_weight == pytest.approx(4, rel=0.02)
    skipped = [row for row in report.rows if row.spec == "entropy@codes" and row.status != "ok"]
    assert [row.tensor for row in skipped] == ["w.scales"]
    assert skipped[0].side_of == "w.codes"


def test_a_missing_library_is_told_with_its_cure(tmp_path, monkeypatch):
    path = save(tmp_path / "m.gguf", {"w": ((2, 32), 0, WEIGHTS.tobytes())})
    monkeypatch.setitem(sys.modules, "gguf", None)
    open_checkpoint(path).close()
    with pytest.raises(MissingExtraError, match=r"pip install 'kcomplexity\[gguf\]'"):
        open_checkpoint(path, dequantize=True)


HUGE = 1 << 40
LIES = {
    "too many tensors": (header(HUGE, 0), "claims 1099511627776 tensors"),
    "too many facts": (header(0, HUGE), "and 1099511627776 metadata"),
    "a long name": (header(1, 0) + struct.pack("<Q", HUGE) + bytes(99), "a name of"),
    "a long text": (header(0, 1) + fact("k", 8, struct.pack("<Q", HUGE)), "should follow"),
    "a long array": (header(0, 1) + fact("k", 9, struct.pack("<IQ", 4, HUGE)), "should follow"),
    "a long array of texts": (
        header(0, 1) + fact("k", 9, struct.pack("<IQ", 8, HUGE)),
        "an array of",
    ),
    "arrays without end": (
        header(0, 1) + fact("k", 9, struct.pack("<IQ", 9, 1) * 9 + bytes(99)),
        "a metadata entry is of kind 9, 5 deep",
    ),
    "an unknown fact": (header(0, 1) + fact("k", 77, b""), "of kind 77"),
    "an entry twice": (header(0, 2) + fact("k", 0, b"1") * 2 + bytes(9), "is there twice"),
    "too many axes": (header(1, 0) + info("w", (1,) * 9, 0, 0), "has 9 axes"),
    "an unknown type": (header(1, 0) + info("w", (32,), 99, 0), "of type 99"),
    "half a block": (header(1, 0) + info("w", (33,), 2, 0), "does not fill blocks of 32"),
    "a huge shape": (header(1, 0) + info("w", (1 << 63, 1 << 63), 0, 0), "ends at data byte"),
    "a far offset": (header(1, 0) + info("w", (1,), 0, 1 << 62), "ends at data byte"),
    "an overlap": (
        header(2, 0) + info("a", (32,), 0, 0) + info("b", (32,), 0, 64) + bytes(999),
        "overlaps",
    ),
    "a name twice": (
        header(2, 0) + info("a", (8,), 0, 0) + info("a", (8,), 0, 32) + bytes(999),
        "is there twice",
    ),
    "version 1": (header(0, 0, 1), "of version 1"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    "an odd alignment": (
        header(0, 1) + fact("general.alignment", 10, struct.pack("<Q", HUGE)),
        "aligned to",
    ),
}


@pytest.mark.parametrize("what", LIES)
def test_headers_that_lie_are_refused(tmp_path, what):
    content, message = LIES[what]
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(CorruptCheckpointError, match=message) as refusal:
        open_checkpoint(tmp_path / "m.gguf")
    assert "\n" not in str(refusal.value)


def test_a_cut_or_damaged_file_is_refused_or_read(tmp_path):
    raw = blocks_of(BLOCKS[2], 2)
    facts = [fact("k", 8, text("v"))]
    path = save(tmp_path / "m.gguf", {"w": ((2, 32), 2, raw.tobytes())}, facts)
    data = path.read_bytes()
    for end in range(1, len(data) - 28):
        path.write_bytes(data[:end])
        with pytest.raises(CheckpointError, match=r"m\.gguf"):
            open_checkpoint(path)
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        # Any other exception would fail here.
        with suppress(CheckpointError):
            open_checkpoint(path).close()
