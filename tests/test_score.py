"""The main job end to end: figures, accounting, identity over threads and pieces, sampling."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

import kcomplexity as kc
from kcomplexity.errors import OutputError, SpecError
from kcomplexity.parallel.pool import Pool
from kcomplexity.parallel.progress import Progress
from kcomplexity.plugins import LEAF, Estimator, Every
from kcomplexity.results.records import Score
from kcomplexity.scoring.plan import make_plan
from kcomplexity.scoring.sampling import covariance, sample_parts
from kcomplexity.scoring.score import score

RNG = np.random.default_rng


def weights(shape: tuple[int, ...], seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    return (RNG(seed).standard_t(4, shape) * 0.02).astype(dtype)


@pytest.fixture
def network() -> dict[str, np.ndarray]:
    """A little of everything a checkpoint holds."""
    odd = weights((40, 30), 5)
    odd[3, 4] = np.nan
    return {
        "layers.0.weight": weights((300, 250), 1),
        "layers.0.bias": weights((300,), 2),
        "layers.1.weight": weights((300, 250), 3),
        "half.weight": weights((64, 64), 4, np.float16),
        "brain.weight": weights((64, 64), 4, ml_dtypes.bfloat16),
        "diverged.weight": odd,
        "scale": np.array(1.5, np.float32),
        "empty": np.zeros((0, 4), np.float32),
        "zeros": np.zeros((9, 9), np.float32),
        "steps": np.array([7], np.int64),
        "mask": np.tri(8, dtype=bool),
    }


def comparable(report: kc.Report) -> str:
    """The JSON without what may differ between two runs."""
    record = report.to_dict()
    for name in ("started", "seconds", "threads"):
        del record["provenance"][name]
    for row in record["rows"] + record["summary"]:
        del row["seconds"]
    return json.dumps(record, allow_nan=False)


def test_row_bytes_add_up_to_the_checkpoints_for_every_spec(network: dict[str, Any]) -> None:
    report = score(network, panel="default", controls=[])
    for spec in {row.spec for row in report.rows}:
        rows = [row for row in report.rows if row.spec == spec]
        assert sum(row.n_bytes for row in rows) == report.checkpoints[0].n_bytes
        assert len(rows) == len(network)


def test_what_cannot_be_measured_has_a_row_with_the_reason(network: dict[str, Any]) -> None:
    report = score(network, specs=["entropy@q8", "gzip@bytes", "entropy@rd0.01"])
    status = {(row.tensor, row.spec): (row.status, row.reason) for row in report.rows}
    assert status["diverged.weight", "entropy@q8"][0] == "skipped"
    assert "1 NaN" in str(status["diverged.weight", "entropy@q8"][1])
    assert status["diverged.weight", "gzip@bytes"] == ("ok", None)
    assert status["steps", "entropy@q8"][0] == "skipped"
    assert status["mask", "gzip@bytes"][0] == "ok"
    assert status["empty", "gzip@bytes"][0] == "skipped"
    assert status["zeros", "entropy@rd0.01"][0] == "skipped"
    assert status["zeros", "entropy@q8"][0] == "ok"
    assert status["scale", "entropy@rd0.01"][0] == "ok"


def test_summary_adds_the_bits_of_the_measured_tensors(network: dict[str, Any]) -> None:
    report = score(network, specs=["entropy:two-part@q8", "nonzero", "l2"])
    rows = [
        row for row in report.rows if row.spec == "entropy:two-part@q8" and row.bits is not None
    ]
    (total,) = (row for row in report.summary if row.spec == "entropy:two-part@q8")
    assert total.bits == math.fsum(row.bits or 0 for row in rows)
    assert total.n_weights == sum(row.n_weights for row in rows)
    (share,) = (row for row in report.summary if row.spec == "nonzero")
    stored = [array for array in network.values() if array.size and array.dtype.kind not in "iub"]
    nonzero = sum(np.count_nonzero(array) for array in stored)
    assert share.value == pytest.approx(nonzero / sum(array.size for array in stored))


def test_side_information_is_inside_the_bits() -> None:
    array = weights((100, 100))
    (plain,) = score({"w": array}, specs=["zstd@q8"]).rows
    assert plain.bits is not None
    # zstd's own bytes are whole; the 32 bits of the scale come on top.
    assert (plain.bits - 32) % 8 == 0
    assert plain.decodes == "view"
    assert plain.relative_mse is not None
    level = np.rint(array / np.float32(np.abs(array).max() / np.float32(127)))
    step = float(np.float32(np.abs(array).max() / np.float32(127)))
    error = (
        np.square(array.astype(float) - level * step).sum() / np.square(array.astype(float)).sum()
    )
    assert plain.relative_mse == pytest.approx(error, rel=1e-5)


VARIANTS = [
    pytest.param({"threads": 1}, id="one thread"),
    pytest.param({"threads": 2, "piece": 3}, id="two threads, pieces of three"),
    pytest.param({"threads": 7}, id="seven threads"),
    pytest.param({"threads": 2, "workers": "process"}, id="two processes"),
    pytest.param({"threads": 2, "max_memory": 1}, id="no memory to spare"),
]


@pytest.mark.parametrize("options", VARIANTS)
def test_figures_are_identical_however_the_work_is_cut(
    network: dict[str, Any], options: dict[str, Any], tmp_path: Path
) -> None:
    network["big"] = weights((5, LEAF // 2), 9)
    specs = ["zstd@bytes:".rstrip(":"), "gzip:1:frame=65536@bytes/planes", "entropy@q8", "l2",
             "entropy:two-part@rd0.1", "zstd:frame=0@sign", "entropy@q8:clip=99.9", "nonzero",
             "block-entropy:3@q4", "entropy@words"]  # fmt: skip
    path = tmp_path / "net.safetensors"
    save_file(network, path)
    wanted = score(path, specs=specs, controls=["shuffle:2"], threads=3)
    found = score(path, specs=specs, controls=["shuffle:2"], **options)
    assert comparable(found) == comparable(wanted)


def test_another_executor_gives_the_same_figures(network: dict[str, Any]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as executor:
        found = score(network, specs=["zstd@bytes", "entropy@q8"], executor=executor)
    assert comparable(found) == comparable(score(network, specs=["zstd@bytes", "entropy@q8"]))


def test_shuffles_hold_positional_specs_alone() -> None:
    ramp = np.sort(weights((256, 256)).reshape(-1)).reshape(256, 256)
    report = score({"w": ramp}, specs=["zstd@q8", "entropy@q8", "l2"], controls=["shuffle:5"])
    (compressed, entropy, norm) = report.rows
    assert entropy.controls == norm.controls == ()
    (control,) = compressed.controls
    assert compressed.control("shuffle") is control
    assert compressed.control("signs") is None
    assert control.n == len(control.bits) == 5
    assert control.ratio is not None
    assert control.ratio < 0.2  # sorted weights are far simpler than their own shuffle
    assert control.n_lower == 5
    assert report.summary[0].controls[0].bits == control.bits
    for row in (*report.rows, *report.summary):
        assert Score.from_dict(json.loads(json.dumps(row.to_dict()))) == row


def test_shuffles_change_nothing_of_weights_without_order() -> None:
    (row,) = score({"w": weights((300, 300))}, specs=["zstd@q8"], controls=["shuffle:5"]).rows
    assert row.controls[0].ratio == pytest.approx(1, abs=0.002)


@pytest.mark.parametrize("scope", ["group", "model"])
def test_joined_tensors_are_measured_as_one(scope: Any) -> None:
    layer = weights((200, 100))
    network = {"layers.0.weight": layer, "layers.1.weight": layer, "steps": np.array([3], np.int64)}
    report = score(network, specs=["zstd:19@bytes", "entropy@sign"], scope=scope)
    alone = score(network, specs=["zstd:19@bytes"]).summary[0].bits
    joined = next(row for row in report.rows if row.spec == "zstd:19@bytes" and row.dtype == "F32")
    assert joined.tensor is None
    assert joined.n_weights == 2 * layer.size
    assert joined.group == ("layers.#.weight" if scope == "group" else None)
    # The second layer is the first again: laid end to end it costs nothing.
    assert alone is not None
    assert joined.bits is not None
    assert joined.bits < 0.6 * alone


def test_model_scope_joins_all_dtypes_where_the_view_reads_them_alike() -> None:
    network = {"a": weights((50, 50)), "b": weights((50, 50), 1, np.float16)}
    report = score(network, specs=["entropy@sign", "entropy@f32", "entropy@bytes"], scope="model")
    by_spec: dict[str, list[kc.Score]] = {}
    for row in report.rows:
        by_spec.setdefault(row.spec, []).append(row)
    assert [row.dtype for row in by_spec["entropy@bytes"]] == ["F32", "F16"]
    assert [row.dtype for row in by_spec["entropy@sign"]] == [None]
    assert by_spec["entropy@sign"][0].n_weights == 5000
    assert by_spec["entropy@f32"][0].n_bytes == 2500 * 4 + 2500 * 2


def test_checkpoints_of_one_path_stay_apart() -> None:
    one, other = {"w": weights((64, 64))}, {"w": weights((32, 32), 1)}
    both = score([one, other], specs=["zstd@bytes"])
    assert len({info.path for info in both.checkpoints}) == 2
    alone = [score(network, specs=["zstd@bytes"]).summary[0].bits for network in (one, other)]
    assert [row.bits for row in both.summary] == alone


@pytest.mark.parametrize("scope", ["tensor", "group", "model"])
def test_what_is_no_number_has_its_row_in_any_scope(scope: Any) -> None:
    network = {"a": weights((50, 50)), "ids": np.arange(7), "mask": np.ones(3, bool)}
    for spec in ("entropy@sign", "bdm1d@f32", "nonzero", "l2"):
        rows = score(network, specs=[spec], scope=scope).rows
        assert sum(row.n_bytes for row in rows) == 50 * 50 * 4 + 7 * 8 + 3
        refused = {row.dtype: row.reason for row in rows if row.n_bytes < 100}
        assert set(refused) == {"I64", "BOOL"}
        assert all("are not weights" in str(reason) for reason in refused.values())


def test_scales_alone_are_not_summed() -> None:
    codes = RNG(0).integers(-127, 128, (64, 64)).astype(np.int8)
    network = {
        "l.weight": codes,
        "l.weight_scale": weights((64, 1)),
        "norm": weights((500,)),
    }
    with kc.open_checkpoint(network) as checkpoint:
        report = kc.score(checkpoint, specs=["zstd@bytes", "entropy@sign"])
    sides = {row.tensor for row in report.rows if row.side_of}
    assert sides == {"l.weight_scale"}
    lossless, signs = report.summary
    assert lossless.n_tensors == 3
    assert lossless.n_weights == codes.size + 500
    # The codes have no sign, so those of their scales tell nothing.
    assert signs.n_tensors == 1
    assert signs.n_weights == 500


def test_headline_counts_the_best_decodable_code_the_choice_and_the_container(
    tmp_path: Path,
) -> None:
    path = tmp_path / "net.safetensors"
    save_file({"w": weights((200, 200)), "steps": np.array([7], np.int64)}, path)
    report = score(path, specs=["entropy:two-part@rd0.01", "zstd@bytes", "entropy@q4"])
    rows = {row.spec: row for row in report.rows if row.tensor == "w"}
    container = path.stat().st_size - (200 * 200 * 4 + 8)
    at_error = rows["entropy:two-part@rd0.01"].bits
    assert at_error is not None
    # Two codes and keeping it as it is compete for w: two bits say which; one code and keeping
    # it for the integer: one bit.
    n_bytes = container + (at_error + 2) / 8 + 8 + 1 / 8
    assert f"{n_bytes / 1000:.1f} kB of {path.stat().st_size / 1000:.0f} kB" in report.headline[0]
    assert "1% squared weight error" in report.headline[0]
    assert "1 tensor kept as stored" in report.headline[0]


def test_an_estimate_never_enters_the_headline() -> None:
    assert score({"w": weights((64, 64))}, specs=["entropy@q8", "l2"]).headline == ()


def test_sampled_bits_lie_within_three_standard_errors_as_often_as_they_should() -> None:
    """Ratio estimates of 8 of 32 cuts: |t| with 7 degrees of freedom exceeds 3 in 2 % of them."""
    rng = RNG(0)
    outside = 0
    for _ in range(400):
        sizes = np.full(32, 1000)
        sizes[-1] = 300
        bits = sizes * rng.gamma(20, 0.1, 32)
        chosen = rng.permutation(32)[:8]
        estimate = bits[chosen].sum() / sizes[chosen].sum() * sizes.sum()
        ((variance,),) = covariance(
            [float(bits[i]) for i in chosen],
            [int(sizes[i]) for i in chosen],
            int(sizes.sum()),
            lambda x: [x],
        )
        outside += abs(estimate - bits.sum()) > 3 * variance**0.5
    # Binomial(400, .02) stays below 20 with probability .9999; it would be 400 if errors were 0.
    assert outside < 20


@pytest.mark.parametrize("seed", range(3))
def test_a_sampled_score_agrees_with_the_exact_one(seed: int, monkeypatch: Any) -> None:
    # Frames a sixteenth of their size keep the test small; the sampler knows no other difference.
    monkeypatch.setattr("kcomplexity.scoring.sampling.FRAME", LEAF)
    rng = RNG(seed)
    scales = np.exp(rng.normal(size=24) * 0.5)[:, None]
    array = (rng.normal(size=(24, LEAF)) * scales).astype(np.float32)
    spec = ["zstd:1:frame=65536@q6"]
    (exact,) = score({"w": array}, specs=spec, exact=True).rows
    (sampled,) = score({"w": array}, specs=spec, sample=0.5, seed=seed).rows
    assert exact.bits is not None
    assert sampled.bits is not None
    assert sampled.se_bits is not None
    assert exact.se_bits is None
    assert sampled.sampled_fraction == 0.5
    assert abs(sampled.bits - exact.bits) < 4 * sampled.se_bits


CONTROLS = ["shuffle:2", "signs:2", "init:normal:2"]


@pytest.mark.parametrize(
    ("spec", "scope"),
    [
        ("zstd:1:frame=65536@q4", "tensor"),
        ("zstd:1:frame=65536@rd0.1", "tensor"),
        ("zstd:1:frame=65536@bytes/planes", "tensor"),
        ("zstd:1:frame=65536@q4", "model"),
    ],
)
def test_a_sample_is_held_against_its_controls_as_the_whole_is(
    spec: str, scope: Any, monkeypatch: Any
) -> None:
    """One weight sets the range of all frames, sampled or not."""
    monkeypatch.setattr("kcomplexity.scoring.sampling.FRAME", LEAF)
    array = RNG(5).normal(size=(16, LEAF))
    array[3, 7] = 2 * np.abs(array).max()
    network = {"w": array.astype(np.float32).reshape(-1, 256)}
    if scope == "model":
        network["v"] = network["w"][::-1].copy()
    (exact,) = score(network, specs=[spec], controls=CONTROLS, scope=scope, exact=True).rows
    (sampled,) = score(network, specs=[spec], controls=CONTROLS, scope=scope, sample=0.5).rows
    assert sampled.sampled_fraction == 0.5 < exact.sampled_fraction
    assert [c.kind for c in sampled.controls] == [c.kind for c in exact.controls]
    for some, every in zip(sampled.controls, exact.controls, strict=True):
        assert some.ratio == pytest.approx(every.ratio, abs=0.01)


def test_a_capped_spec_takes_its_share_of_many_tensors(monkeypatch: Any) -> None:
    """None has two cuts to spare: most are left out, and say so; little ones never are."""
    monkeypatch.setattr("kcomplexity.scoring.sampling._LITTLE", 1000)
    monkeypatch.setattr("kcomplexity.scoring.plan._CONTROLLED_CAP", 400_000)
    network = {f"layers.{i}.w": weights((64, 64), i) for i in range(300)}
    network |= {f"layers.{i}.b": weights((64,), i) for i in range(3)}
    report = score(network, specs=["zstd@q4", "entropy@q4"], controls=["shuffle:1"])
    rows = [row for row in report.rows if row.spec == "zstd@q4"]
    big = [row for row in rows if row.shape == (64, 64)]
    measured = [row for row in big if row.status == "ok"]
    # Binomial(300, 400,000 / (2 * 1,228,992)): 5 standard deviations are 32.
    assert abs(len(measured) - 300 * 0.1627) < 32
    assert all(row.status == "ok" for row in rows if row.shape == (64,))
    left_out = next(row for row in big if row.status == "skipped")
    assert "not in the sample" in str(left_out.reason)
    assert all(row.status == "ok" for row in report.rows if row.spec == "entropy@q4")
    again = score(network, specs=["zstd@q4"], controls=["shuffle:1"])
    assert [row.status for row in again.rows] == [row.status for row in rows]
    asked = score(network, specs=["zstd@q4"], controls=["shuffle:1"], sample=0.2)
    assert all(row.status == "ok" for row in asked.rows)


def test_what_counts_values_or_permutes_rows_is_never_sampled() -> None:
    tensor = {"w": np.zeros((1 << 12, 1 << 12), np.uint8)}
    specs = ["entropy@words", "entropy:two-part@bytes", "block-entropy:4@bytes", "zstd@bytes"]
    with kc.open_checkpoint(tensor) as checkpoint:
        plan = make_plan([checkpoint], specs=specs, sample=0.25)
        by_rows = make_plan(
            [checkpoint], specs=["zstd@bytes"], controls=["shuffle-rows"], sample=0.25
        )
    assert [task.fraction for task in plan.tasks] == [1.0, 1.0, 1.0, 0.25]
    assert [task.fraction for task in by_rows.tasks] == [1.0]


def test_a_sample_of_everything_is_exact() -> None:
    (row,) = score({"w": weights((300, 300))}, specs=["zstd@bytes"], sample=1.0).rows
    assert row.sampled_fraction == 1
    assert row.se_bits is None


def test_a_smaller_sample_is_part_of_a_larger_one(monkeypatch: Any) -> None:
    monkeypatch.setattr("kcomplexity.scoring.sampling.FRAME", LEAF)
    with kc.open_checkpoint({"w": np.zeros((40, LEAF), np.float16)}) as checkpoint:
        few = sample_parts(checkpoint["w"], Every(), 0.1, 0)
        many = sample_parts(checkpoint["w"], Every(), 0.5, 0)
    assert few is not None
    assert many is not None
    assert {part.start for part in few} < {part.start for part in many}


def test_expensive_specs_are_sampled_above_their_cap_and_cheap_ones_never() -> None:
    with kc.open_checkpoint({"w": np.zeros(1 << 25, np.uint8)}) as checkpoint:
        plan = make_plan([checkpoint], specs=["zstd:19@bytes", "zstd@bytes", "entropy@bytes"])
    assert [task.fraction for task in plan.tasks] == [0.5, 1.0, 1.0]


class Raising(Estimator):
    """An estimator with a bug."""

    summary = "fails"
    kind = "estimate"
    positional = False
    default_view = "bytes"
    reference = "none"

    def reducer(self, alphabet: Any, shape: Any) -> Any:
        raise ZeroDivisionError("oh no")

    def measure(self, states: Any, alphabets: Any) -> Any:
        raise NotImplementedError


def test_a_failing_estimator_costs_its_own_rows_only(monkeypatch: Any) -> None:
    from kcomplexity.estimators import ESTIMATORS

    monkeypatch.setitem(ESTIMATORS._entries, "raising", Raising)
    report = score({"w": weights((10, 10))}, specs=["raising", "zstd@bytes"])
    assert [row.status for row in report.rows] == ["failed", "ok"]
    assert report.rows[0].reason == "ZeroDivisionError: oh no"
    assert report.rows[0].bits is None


BAD = [
    pytest.param({"panel": "nosuch"}, "unknown panel 'nosuch': expected one of fast", id="panel"),
    pytest.param({"specs": ["entropy@nosuch"]}, "unknown view 'nosuch'", id="view"),
    pytest.param({"specs": []}, "no spec was given", id="nothing"),
    pytest.param({"scope": "layer"}, "expected one of tensor, group, model", id="scope"),
    pytest.param({"sample": 1.5}, "expected a share above 0 and at most 1", id="sample"),
    pytest.param({"sample": 0.5, "exact": True}, "choose one of", id="sample and exact"),
    pytest.param({"include": ["nosuch*"]}, "no tensor of", id="glob"),
]


@pytest.mark.parametrize(("options", "text"), BAD)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(kc.SpecError, match=text):
        score({"w": weights((4, 4))}, **options)


def test_a_file_cut_while_it_is_read_gives_failed_rows(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file({"a": weights((64, 64)), "b": weights((64, 64))}, path)
    with kc.open_checkpoint(path) as checkpoint:
        path.write_bytes(path.read_bytes()[:-100])
        from kcomplexity.scoring.plan import make_plan as plan_of
        from kcomplexity.scoring.score import measure_plan

        with Pool(2) as pool:
            rows = [
                row
                for found in measure_plan(plan_of([checkpoint], specs=["zstd"]), pool)
                for row in found
            ]
    assert [row.status for row in rows] == ["ok", "failed"]
    assert "the file ends" in str(rows[1].reason)


def test_progress_adds_up_to_the_plans_work(network: dict[str, Any]) -> None:
    events: list[Progress] = []
    specs = ["zstd@bytes", "entropy@q8", "zstd:frame=0@sign"]
    score(
        {"w": network["layers.0.weight"]},
        specs=specs,
        controls=["shuffle:3"],
        progress=events.append,
    )
    with kc.open_checkpoint({"w": network["layers.0.weight"]}) as checkpoint:
        plan = make_plan([checkpoint], specs=specs, controls=["shuffle:3"])
    # Two of the three specs see positions.
    assert plan.work == 300 * 250 * 4 * (3 + 2 * 3)
    assert {event.total for event in events} == {plan.work}
    assert events[-1].done == pytest.approx(plan.work, rel=0.01)


def test_a_data_frame_without_pandas_names_what_to_install(monkeypatch):
    report = kc.score({"w": np.ones((2, 2), np.float32)}, specs=["l2"])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SpecError, match=r"pip install 'kcomplexity\[pandas\]'"):
        report.to_pandas()


def test_a_size_at_an_error_says_whose_error_it_is():
    rng = np.random.default_rng(0)
    arrays = {"a": rng.normal(size=(64, 64)), "b": 0.01 * rng.normal(size=(64, 64))}
    whole = kc.score(arrays, specs=["entropy:two-part@rd0.01"], scope="model").headline[0]
    assert "at 1% squared weight error of the whole" in whole
    assert whole.endswith("an error of the whole is that of its largest weights")
    each = kc.score(arrays, specs=["entropy:two-part@q8"]).headline[0]
    assert "% squared weight error in the worst tensor" in each


def test_a_code_that_no_tensor_has_at_the_error_asked_gives_no_size():
    arrays = {"a": np.random.default_rng(0).normal(size=(64, 64)), "b": np.ones((2, 2))}
    report = kc.score(arrays, specs=["mosaic:s=4:mse=0.3"])
    assert not any("squared weight error" in sentence for sentence in report.headline)


def test_a_network_that_diverged_is_not_told_as_a_simple_one():
    rng = np.random.default_rng(0)
    sound = {"a": rng.normal(size=(64, 64)), "b": rng.normal(size=(8, 8))}
    diverged = sound | {"a": np.full((64, 64), np.nan)}
    specs = ["zstd@bytes", "entropy:two-part@q8"]
    said = kc.score(diverged, specs=specs).headline
    lost = "no size at an error for 98.5% of the weights: 4,096 NaN and 0 infinite weights in a"
    assert lost in said
    assert not any("squared weight error" in text for text in said)
    assert any(
        "no size at an error" in text for text in kc.compare(sound, diverged, specs=specs).headline
    )
    assert not any("no size" in text for text in kc.score(sound, specs=specs).headline)


@pytest.mark.parametrize("name", ["missing/s.json", "s.foo"])
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(name, tmp_path):
    def measured(_: Progress) -> None:
        raise AssertionError("something was measured")

    with pytest.raises((OutputError, SpecError), match=r"no folder|output format"):
        score(
            {"w": np.zeros((64, 64), "f4")},
            specs=["zstd@bytes"],
            output=tmp_path / name,
            progress=measured,
        )
