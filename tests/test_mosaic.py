"""A mosaic says what it costs to the byte, what it loses to the weight, and decodes to it."""

from __future__ import annotations

import json
import math
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import kcomplexity as kc
from kcomplexity.algorithms.entropy_coding.ans import levels_of_counts
from kcomplexity.containers.index_coding import MODES
from kcomplexity.containers.mosaic import Mosaic
from kcomplexity.containers.mosaic_file import header_checksum
from kcomplexity.containers.mosaic_reading import _expect_blocks
from kcomplexity.containers.motifs import Motifs
from kcomplexity.errors import CheckpointError, CorruptCheckpointError, OutputError, SpecError
from kcomplexity.mosaics.assembly import FittedSet, build_mosaic
from kcomplexity.mosaics.fit_options import FitOptions, capacity_motifs
from kcomplexity.mosaics.fit_plan import plan_fit
from kcomplexity.mosaics.fitters import FITTERS, Fit
from kcomplexity.mosaics.fitting import fit_mosaic
from kcomplexity.mosaics.scaled_blocks import read_blocks
from kcomplexity.mosaics.selection import select_fitted


def weights(*shape, seed=0, dtype=np.float32):
    return (0.1 * np.random.default_rng(seed).standard_t(4, shape)).astype(dtype)


def model(dtype=np.float32):
    return {
        "layers.0.weight": weights(24, 10, dtype=dtype),
        "layers.0.bias": weights(24, seed=1, dtype=dtype),
        "layers.1.weight": weights(7, 3, 3, seed=2, dtype=dtype),
        "steps": np.arange(3),
    }


# --- What it says of itself, against the definitions ------------------------------------------


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([np.float32, np.float16, np.float64, ml_dtypes.bfloat16]),
    st.sampled_from(["1", "3", "4", "2x2", "1x5"]),
    st.sampled_from(["sample", "kmeans", "ecvq"]),
    st.sampled_from(["model", "group", "tensor"]),
    st.sampled_from(["none", "tensor", "row"]),
    st.sampled_from(["f32", "f16", "bf16", "grid"]),
    st.booleans(),
    st.floats(0.01, 1),
)
def test_counts_distortion_and_bytes_agree_with_a_direct_computation(
    dtype, block, method, scope, scale, motif_dtype, zero_motif, capacity
):
    source = model(dtype)
    mosaic = fit_mosaic(
        source,
        block_size=block,
        method=method,
        scope=scope,
        scale=scale,
        motif_dtype=motif_dtype,
        zero_motif=zero_motif,
        capacity=capacity,
    )
    made = mosaic.reconstruct()
    assert list(made) == list(source)
    assert [made[name].dtype for name in made] == [source[name].dtype for name in source]
    for name in ("layers.0.bias", "steps"):
        assert np.array_equal(made[name], source[name])
    lost = [made[n].astype("f8") - source[n].astype("f8") for n in mosaic.fitted]
    squares = sum(np.square(source[n].astype("f8")).sum() for n in mosaic.fitted)
    found = mosaic.distortion
    assert found.sse == pytest.approx(sum(np.square(gap).sum() for gap in lost), rel=1e-12)
    assert found.relative_mse == pytest.approx(found.sse / squares, rel=1e-12)
    assert found.max_abs == max(np.abs(gap).max() for gap in lost)
    assert found.n_changed == sum(int(np.count_nonzero(gap)) for gap in lost)
    assert found.n_weights == mosaic.n_fitted == 24 * 10 + 63
    # Counts and nominal bits, by the paper's formula.
    s, q = mosaic.block.size, 8 * np.dtype(dtype).itemsize
    sizes = [mosaic.fitted[name].indices.size for name in mosaic.fitted]
    groups = [sum(sizes)] if scope == "model" else sizes
    if scope == "group":  # the two layers' names differ in their number only
        groups = [sum(sizes)]
    k = [capacity_motifs(capacity, m) for m in groups]
    assert mosaic.n_motifs == sum(k)
    nominal = sum(k) * s * q
    nominal += sum(m * math.ceil(math.log2(n)) for m, n in zip(groups, k, strict=True))
    assert mosaic.bits.total_nominal == nominal + mosaic.bits.kept
    # Every block is one of at most k motifs, times its scale.
    for number, n in enumerate(k):
        assert len(mosaic.motifs[number]) <= n
        assert (mosaic.counts(number) > 0).all()


@pytest.mark.parametrize(
    ("n", "s", "capacity", "k", "rac"),
    [
        (986_634, 2, 0.05, 24_665, 3.5165),
        (986_634, 2, 0.001, 493, 7.0609),
        (986_634, 4, 0.01, 2_466, 9.6388),
        (268_346, 2, 0.05, 6_708, 3.9507),
        (268_346, 4, 0.01, 670, 11.3491),
        (5_526_346, 2, 0.05, 138_158, 3.0189),
        (5_526_346, 4, 0.01, 13_815, 8.3770),
    ],
)
def test_the_published_reductions_are_nominal(n, s, capacity, k, rac):
    # The formula sees the sizes alone: zeros, whose motifs are found at once, do as well.
    source = {"w": np.zeros((1, n), np.float32)}
    mosaic = fit_mosaic(source, block_size=s, method="sample", capacity=capacity)
    assert mosaic.n_motifs == k
    assert mosaic.rac_nominal == pytest.approx(rac, abs=5e-5)
    assert mosaic.bits.motifs == 32 * s  # a single motif is stored


def test_the_released_two_tensor_example():
    source = {
        "a": np.array([[10, 10], [1, 2]], np.float32),
        "b": np.array([[20, 20], [2, 1]], np.float32),
    }
    wanted = {(10.0, 10.0), (20.0, 20.0)}
    for seed in range(100):  # until the two are drawn
        mosaic = fit_mosaic(source, block_size=2, method="sample", motifs=2, seed=seed)
        if {tuple(motif) for motif in mosaic.motifs[0].values.tolist()} == wanted:
            break
    assert mosaic.counts(0).tolist() == [3, 1]
    assert mosaic.distortion.n_changed == 4
    assert mosaic.distortion.sse == 290


def test_padding_is_no_weight():
    source = {"w": np.full((1, 5), 3, np.float32)}
    mosaic = fit_mosaic(source, block_size=4, method="sample", motifs=2, all_tensors=True)
    # One motif is [3, 3, 3, 3], the other [3, 0, 0, 0]: nothing is lost.
    assert mosaic.n_blocks == 2
    assert mosaic.distortion.sse == 0
    one = fit_mosaic(source, block_size=4, method="sample", motifs=1, zero_motif=True)
    assert one.distortion.sse == 5 * 9
    assert one.distortion.n_changed == 5


def test_one_zero_motif_zeroes_everything():
    mosaic = fit_mosaic(model(), method="sample", motifs=1, zero_motif=True)
    assert not mosaic.reconstruct()["layers.0.weight"].any()
    assert mosaic.distortion.relative_mse == 1
    assert mosaic.bits.indices_coded <= 64


def test_a_single_motif_stands_for_any_number_of_weights_in_no_memory(tmp_path):
    path = tmp_path / "m"
    fit_mosaic({"w": np.full((64, 64), 0.5, np.float32)}, method="sample", motifs=1).save(path)

    def enlarge(table):
        table["tensors"][0][3] = [1 << 14, 1 << 14]
        table["distortion"]["n_weights"] = 1 << 28

    with Mosaic.load(rewritten(path, enlarge, tmp_path / "n")) as mosaic:
        (tensor,) = mosaic.fitted.values()
        assert tensor.indices.strides == (0,)
        assert (tensor.read(1 << 27, (1 << 27) + 5) == 0.5).all()


def test_as_many_motifs_as_blocks_lose_nothing():
    mosaic = fit_mosaic(model(), method="sample", capacity=1.0)
    assert mosaic.distortion.sse == 0
    assert mosaic.distortion.n_changed == 0


# --- The file ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", list(FITTERS))
@pytest.mark.parametrize("scale", ["none", "row"])
def test_a_file_is_as_big_as_counted_loads_to_the_same_and_is_safetensors(method, scale, tmp_path):
    path = tmp_path / "m.mosaic.safetensors"
    mosaic = fit_mosaic(model(), method=method, scale=scale, capacity=0.2, scope="tensor")
    mosaic.save(path)
    assert 8 * path.stat().st_size == mosaic.bits.total_coded
    stored = load_file(path)
    assert set(stored) >= {"kcomplexity.indices", "kcomplexity.table", "layers.0.bias", "steps"}
    with Mosaic.load(path) as loaded:
        assert loaded.bits == mosaic.bits
        assert loaded.distortion == mosaic.distortion
        for name, made in mosaic.reconstruct().items():
            assert loaded.reconstruct()[name].tobytes() == made.tobytes()
        loaded.expand(tmp_path / "dense.safetensors")
        again = tmp_path / "again.safetensors"
        loaded.save(again)
        assert again.read_bytes() == path.read_bytes()
    dense = load_file(tmp_path / "dense.safetensors")
    for name, made in mosaic.reconstruct().items():
        assert dense[name].dtype == made.dtype
        assert dense[name].tobytes() == made.tobytes()
    with kc.open_checkpoint(path) as checkpoint:
        assert checkpoint.format == "mosaic"
        assert list(checkpoint) == list(mosaic.tensors)
    with kc.open_checkpoint(path, stored=True) as checkpoint:
        assert "kcomplexity.motifs.0" in checkpoint


@pytest.mark.parametrize("method", list(FITTERS))
def test_saving_twice_gives_the_same_bytes_for_any_number_of_threads(method, tmp_path):
    source = {"w": weights(300, 200)}
    for threads in (1, 2):
        mosaic = fit_mosaic(source, method=method, capacity=0.01, seed=3, threads=threads)
        mosaic.save(tmp_path / f"{threads}")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "m.mosaic.safetensors"
    source = {"w": weights(6, 8), "b": weights(2)}
    fit_mosaic(source, relative_mse=0.1, scale="tensor").save(path)
    return path


def test_a_file_with_any_single_byte_changed_is_refused_or_the_same(small, tmp_path):
    data = bytearray(small.read_bytes())
    with Mosaic.load(small) as mosaic:
        expected = {name: made.tobytes() for name, made in mosaic.reconstruct().items()}
    path = tmp_path / "changed.mosaic.safetensors"
    same = 0
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        try:
            with Mosaic.load(path) as found:
                made = {name: array.tobytes() for name, array in found.reconstruct().items()}
        except CheckpointError:
            continue
        assert made == expected, position
        same += 1
    assert same <= 8  # letters of a checksum may change their case


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(small, tmp_path, share):
    path = tmp_path / "cut.mosaic.safetensors"
    data = small.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CheckpointError):
        Mosaic.load(path)


@pytest.mark.parametrize("data", [b"hello\n", bytes(range(1, 256)) * 9])
def test_a_file_of_another_kind_is_no_mosaic(tmp_path, data):
    (tmp_path / "x.txt").write_bytes(data)
    with pytest.raises(CorruptCheckpointError, match="not a mosaic: expected a file that"):
        Mosaic.load(tmp_path / "x.txt")


def test_a_dense_checkpoint_is_no_mosaic(tmp_path):
    path = tmp_path / "dense.safetensors"
    fit_mosaic(model(), method="sample", capacity=0.1).expand(path)
    with pytest.raises(CorruptCheckpointError, match="not a mosaic: expected a file"):
        Mosaic.load(path)


def rewritten(path: Path, change, target: Path) -> Path:
    """Change the table of a mosaic file and put all checksums right again."""
    import zstandard

    from kcomplexity.containers.mosaic_file import _header, checksums
    from kcomplexity.tensors.checkpoint import ArrayTensor

    with kc.open_checkpoint(path, stored=True) as stored:
        tensors = list(stored.values())
        table = json.loads(zstandard.decompress(stored["kcomplexity.table"].read().tobytes()))
        change(table)
        packed = np.frombuffer(zstandard.compress(json.dumps(table).encode()), np.uint8)
        tensors[-1] = ArrayTensor(tensors[-1].name, packed.shape, tensors[-1].dtype, data=packed)
        header = _header(tensors, checksums(tensors))
        body = b"".join(t.raw(0, t.n_weights).tobytes() for t in tensors)
    target.write_bytes(header + body)
    return target


def test_a_table_rewritten_unchanged_still_loads(small, tmp_path):
    with Mosaic.load(rewritten(small, lambda table: None, tmp_path / "m")) as mosaic:
        assert mosaic.n_fitted == 48


def _bomb(table):
    table["tensors"][0][3] = [1 << 40, 1 << 20]


def _many_blocks(table):
    table["tensors"][0][3] = [1 << 30]


def _many_motifs(table):
    table["sets"][0][0] = 1 << 50


def _escape(table):
    table["files"][0][0] = "../x.safetensors"


def _no_method(table):
    del table["method"]


def _unknown_mode(table):
    table["sets"][0][4] = "other"


def _more_words(table):
    table["sets"][0][5] += 1


def _no_block(table):
    table["block"] = "0"


def _at(*path):
    """Return a change of one entry of the table to what is given last."""
    *keys, last, value = path

    def change(table):
        for key in keys:
            table = table[key]
        table[last] = value

    return change


@pytest.mark.parametrize(
    ("key", "values"),
    [
        (("metadata",), ([], None, "x", {"a": 1})),
        (("files",), ([], None, {})),
        (("files", 0, 0), (None, -1, "", "..", "a/b")),
        (("files", 0, 1), (-1, 0, 1, 3, 1.5, None, True)),
        (("files", 0, 2), ([], None, "x", {"a": None})),
        (("index",), ([], "x", {}, {"name": "i", "metadata": []}, {"name": "../i"})),
        (("distortion",), ([], {}, None)),
        (("distortion", "sse"), ("x", None, -1.0, 1e400, True, [])),
        (("distortion", "n_weights"), (47, "x")),
        (("method",), (None, 1, [])),
        (("scope",), (None, 1, [])),
        (("zero_motif",), (None, 1, "x")),
        (("sets", 0, 1), (None, 0, "x", 1.5)),
        (("sets", 0, 3), (None, -1.0, 0.0, "x", 1e400)),
        (("order",), ([], ["w"], ["w", "w"], ["w", "x"], None)),
        (("tensors", 0, 0), (None, 1)),
    ],
)
def test_a_table_with_an_entry_of_the_wrong_kind_is_refused(small, tmp_path, key, values):
    for value in values:
        with pytest.raises(CorruptCheckpointError):
            Mosaic.load(rewritten(small, _at(*key, value), tmp_path / "m"))


def test_no_file_makes_the_reader_allocate_what_it_does_not_hold(tmp_path):
    path, lie = tmp_path / "m", tmp_path / "lie"
    fit_mosaic(
        {"w": weights(6, 8)}, method="kmeans", motif_dtype="grid", motifs=1, block_size=4
    ).save(path)
    fit_mosaic({"w": weights(100, 80)}, relative_mse=0.3).save(tmp_path / "large")
    tracemalloc.start()
    started = time.process_time()
    for block in ("99999x99999", "9999x9999", "999x999", "9999"):
        with pytest.raises(CorruptCheckpointError, match="weights in"):
            Mosaic.load(rewritten(path, _at("block", block), lie))
    for mode in MODES:

        def claim(table, mode=mode):
            table["sets"][0][4] = mode
            table["tensors"][0][3] = [1 << 11, 1 << 11]

        with pytest.raises(CorruptCheckpointError, match="blocks in"):
            Mosaic.load(rewritten(tmp_path / "large", claim, lie))
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("counts", "mode", "n_bits", "fits"),
    [
        ([100, 50, 1], "counts", 160, True),
        ([100, 50, 1], "counts", 96, False),
        ([100, 50, 1], "uniform", 256, True),
        ([100, 50, 1], "uniform", 192, False),
        ([1 << 19, 1 << 19], "context", 0, True),
        ([1 << 20, 1 << 19], "context", 1 << 30, False),
    ],
)
def test_blocks_are_held_against_usage_and_stream(counts, mode, n_bits, fits):
    usage = levels_of_counts(np.array(counts))
    m = sum(counts)
    for n_blocks in (m, int(0.94 * m), int(1.06 * m) + 1):
        if fits and n_blocks == m:
            _expect_blocks(n_blocks, usage, mode, n_bits)
        else:
            with pytest.raises(ValueError, match="blocks in"):
                _expect_blocks(n_blocks, usage, mode, n_bits)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=50))
def test_every_usage_that_is_written_is_believed(counts):
    usage = levels_of_counts(np.array(counts))
    total = sum(counts)
    bits = sum(n * math.log2(total / n) for n in counts)
    _expect_blocks(total, usage, "counts", math.ceil(bits))


@pytest.mark.parametrize(
    "change",
    [
        _bomb,
        _many_blocks,
        _many_motifs,
        _escape,
        _no_method,
        _unknown_mode,
        _more_words,
        _no_block,
    ],
)
def test_a_file_that_lies_with_valid_checksums_is_refused(small, tmp_path, change):
    with pytest.raises(CheckpointError):
        Mosaic.load(rewritten(small, change, tmp_path / "lie.mosaic.safetensors"))


def test_the_header_checksum_sees_its_own_place_as_zeros():
    header = b'{"header_crc32":"12345678","x":1}'
    zeroed = header.replace(b"12345678", b"00000000")
    assert header_checksum(header, "12345678") == f"{zlib.crc32(zeroed):08x}"


def test_names_under_the_reserved_prefix_are_refused(tmp_path):
    source = {"kcomplexity.table": weights(4, 4)}
    mosaic = fit_mosaic(source, method="sample", motifs=1)
    with pytest.raises(OutputError, match="reserved"):
        mosaic.save(tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_the_input_is_never_written_over(small, tmp_path):
    with Mosaic.load(small) as mosaic:
        for write in (mosaic.save, mosaic.expand):
            with pytest.raises(OutputError, match="is the input"):
                write(small)


def test_nothing_is_left_where_writing_fails(tmp_path):
    mosaic = fit_mosaic(model(), method="sample", motifs=3)
    with pytest.raises(OutputError, match="cannot write"):
        mosaic.save(tmp_path / "no" / "such" / "folder")
    assert not list(tmp_path.iterdir())


# --- Options that mean nothing, weights that cannot be fitted ----------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"motifs": 10**6}, "expected at most as many as there are blocks"),
        ({"motifs": 0}, "expected at least one"),
        ({"capacity": 0.0}, r"in \(0, 1\]"),
        ({"capacity": 1.5}, r"in \(0, 1\]"),
        ({"block_size": 1000}, "the largest tensor has 240"),
        ({"relative_mse": 1.0}, "expected one in"),
        ({"bits_per_weight": 0.0}, "expected more than 0"),
        ({"size": 100}, "cannot be reached: kept tensors take"),
        ({"motifs": 3, "capacity": 0.1}, "a fit has one target"),
        ({"method": "nothing"}, "unknown method"),
        ({"scope": "galaxy"}, "scope 'galaxy': expected one of"),
        ({"motif_dtype": "f8"}, "motif dtype 'f8'"),
        ({"method": "sample", "train_points": 5}, "no train points"),
        ({"train_points": 0}, "0 train points: expected at least one"),
        ({"size": "1KB"}, "size '1KB': expected a number"),
        ({"method": "sample", "bits_per_weight": 1e-4}, "cannot be reached: the cheapest fit"),
    ],
)
def test_what_means_nothing_or_cannot_be_reached_is_refused(options, message):
    with pytest.raises(SpecError, match=message):
        fit_mosaic(model(), **options)


def test_an_option_that_a_fit_does_not_have_is_refused_with_what_may_be_meant():
    options: Any = {"motif": 3}
    with pytest.raises(TypeError, match="unknown option 'motif': did you mean motifs"):
        fit_mosaic(model(), **options)


def test_more_motifs_than_the_coder_tells_apart_are_refused():
    assert FitOptions(capacity=0.25).k_of(1 << 26) == 1 << 24
    with pytest.raises(SpecError, match=r"expected at most 2\*\*24"):
        FitOptions(capacity=0.26).k_of(1 << 26)


def test_many_motifs_in_a_few_bytes_are_read_back(tmp_path):
    """Levels that count up tell 2**16 motifs in 8 bytes: no bomb, but what was written."""
    n, path = 1 << 16, tmp_path / "ramp.safetensors"
    ramp = np.arange(n, dtype=np.float32).reshape(64, -1)
    checkpoint = kc.open_checkpoint({"w": ramp})
    options = FitOptions(block_size=1, motifs=n, motif_dtype="grid")
    plan = plan_fit(select_fitted(checkpoint), options)
    (motif_set,) = plan.sets
    fit = Fit(Motifs.rounded(ramp.reshape(-1, 1), "grid", 1.0), np.arange(n), 0.0)
    mosaic = build_mosaic(plan, [FittedSet(read_blocks(plan, motif_set), fit, n)])
    assert mosaic.bits.motifs <= 8 * 64
    mosaic.save(path)
    assert np.array_equal(Mosaic.load(path).reconstruct()["w"], ramp)


def test_weights_that_are_not_finite_are_named_or_kept():
    source = model()
    source["layers.0.weight"][3, 4] = np.nan
    source["layers.0.weight"][5, 4] = np.inf
    with pytest.raises(kc.UnmeasurableError, match=r"layers\.0\.weight holds 1 NaN and 1 infinite"):
        fit_mosaic(source)
    mosaic = fit_mosaic(source, skip_nonfinite=True)
    assert list(mosaic.fitted) == ["layers.1.weight"]


@pytest.mark.parametrize(
    ("weight", "reason"),
    [
        (1e-200, "no weight above 1.0e-200, too small for float32"),
        (1e200, "16 beyond float32 weights"),
        (3.4e38, "16 beyond float32 weights"),
    ],
)
def test_weights_that_float32_does_not_hold_are_refused(weight, reason):
    with pytest.raises(kc.UnmeasurableError, match=f"w holds {reason}"):
        fit_mosaic({"w": np.full((4, 4), weight)}, relative_mse=0.1)


def test_codes_with_separate_scales_are_noted(tmp_path):
    path = tmp_path / "fp8.safetensors"
    codes = np.random.default_rng(0).normal(size=(16, 16)).astype(ml_dtypes.float8_e4m3fn)
    save_file({"w": codes, "w_scale": np.ones((16, 1), np.float32)}, path)
    with kc.open_checkpoint(path) as checkpoint:
        *_, note = select_fitted(checkpoint).notes
    assert "1 tensor (w, ...) hold codes whose scales are separate tensors" in note


def test_only_floats_of_two_dimensions_are_fitted_unless_the_user_says_more():
    assert list(fit_mosaic(model(), motifs=2).fitted) == ["layers.0.weight", "layers.1.weight"]
    everything = fit_mosaic(model(), motifs=2, all_tensors=True)
    assert "layers.0.bias" in everything.fitted
    assert "steps" in everything.kept
    assert list(fit_mosaic(model(), motifs=2, exclude=["*.1.*"]).fitted) == ["layers.0.weight"]
    with pytest.raises(SpecError, match="nothing to fit among 1 tensor"):
        fit_mosaic({"steps": np.arange(5)})


def test_a_mosaic_shows_itself_in_a_line():
    shown = repr(fit_mosaic(model(), method="sample", motifs=3))
    assert "3 motifs of 4" in shown
    assert len(shown) < 150


def test_every_mode_of_coding_indices_is_one_that_files_may_name():
    assert set(MODES) == {"uniform", "counts", "context"}
