"""Tables for people: what stands beside a figure, and that it fits a terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import kcomplexity as kc
from kcomplexity.estimators import ESTIMATORS
from kcomplexity.estimators.statistics import L2
from kcomplexity.report.figures import pictures
from kcomplexity.report.markup import markdown_bytes, summary_html
from kcomplexity.report.rows import main_spec
from kcomplexity.report.score_tables import extremes
from kcomplexity.report.table import Table
from kcomplexity_cli import terminal
from tests.results import score_result


def cells(table: Table) -> dict[str, dict[str, str]]:
    """The cells by the spec of their row."""
    at = table.names.index("spec")
    return {row[at]: dict(zip(table.names, row, strict=True)) for row in table.rows}


@pytest.fixture(scope="module")
def report() -> kc.Report:
    rng = np.random.default_rng(0)
    odd = rng.normal(size=(20, 50)).astype(np.float32)
    odd[0, 0] = np.inf
    arrays = {
        "large.weight": rng.normal(size=(60, 50)).astype(np.float32),
        "small.weight": rng.normal(size=(20, 50)).astype(np.float32),
        "odd.weight": odd,
    }
    return kc.score(arrays, panel="default")


def test_codes_estimates_and_statistics_stand_apart(report):
    codes, estimates, statistics = report.whole_tables()
    assert "decodable" in codes.title
    assert "lower = simpler" in codes.title
    assert "nothing decodes" in estimates.title
    kinds = {row.spec: row.kind for row in report.rows}
    for table, kind in ((codes, "code"), (estimates, "estimate"), (statistics, "statistic")):
        assert {kinds[spec] for spec in cells(table)} == {kind}
    assert "bits/weight" not in statistics.names
    assert cells(statistics)["l2"]["unit"] == "norm, lower = smaller weights"
    assert "ratio" not in " ".join(codes.names + estimates.names)


def test_the_largest_tensors_share_stands_beside_every_figure_of_the_whole(report):
    for table in report.whole_tables():
        for spec, row in cells(table).items():
            # The odd tensor, a fifth of the weights, has no levels and no norm.
            without = spec == "l2" or ("@bytes" not in spec and spec != "nonzero")
            assert row["largest"] == ("75%" if without else "60%")
            assert row.get("note", "").startswith("80% of weights") == without


def test_error_control_and_bits_are_those_of_the_summary(report):
    codes, _, _ = report.whole_tables()
    by_spec = {row.spec: row for row in report.summary}
    for spec, row in cells(codes).items():
        total = by_spec[spec]
        assert float(row["bits/weight"]) == pytest.approx(total.bits_per_weight, abs=5e-5)
        if total.decodes == "weights":
            assert row["error"] == "none"
        else:
            assert row["error"] == f"{100 * total.relative_mse:.2g}%"
    control = by_spec["zstd:9@q4"].controls[0]
    assert cells(codes)["zstd:9@q4"]["of shuffle"] == f"{control.ratio:.3f} {control.n_lower}/19"
    assert cells(codes)["zstd@bytes"]["of shuffle"] == ""


def test_shares_of_the_extremes_are_of_all_weights(report):
    simplest, most_complex = extremes(report.to_dict())
    found = {row[0]: row[3] for table in (simplest, most_complex) for row in table.rows}
    assert found == {"large.weight": "60.0%", "small.weight": "20.0%"}


def test_skipped_tensors_are_counted_with_the_reason(report):
    assert any(
        line.startswith("skipped: 1 tensor of 4.00 kB (odd.weight) by ")
        and "0 NaN and 1 infinite" in line
        for line in report.remarks()
    )


def test_checkpoints_are_distinguished_by_where_their_paths_part(tmp_path: Path):
    folder = tmp_path / ("a-long-folder-name-" * 4)
    for name in ("first", "second"):
        (folder / name).mkdir(parents=True)
        save_file({"w": np.ones((4, 4), np.float32)}, folder / name / "model.safetensors")
    found = kc.score([folder / n / "model.safetensors" for n in ("first", "second")], panel="fast")
    table = found.whole_tables()[0]
    assert [row[0] for row in table.rows][::2] == [
        "first/model.safetensors",
        "second/model.safetensors",
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_tables_of_the_default_panel_fit_a_terminal(report, monkeypatch, width):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stdout", drawn := Terminal())
    for table in (*report.whole_tables(), *extremes(report.to_dict())):
        terminal.print_table(table)
    lines = re.sub("\x1b\\[[0-9;]*m", "", drawn.getvalue()).splitlines()
    assert max(map(len, lines)) <= width
    for row in report.summary:
        # No figure is broken over two lines.
        value = row.value if row.kind == "statistic" else row.bits_per_weight
        assert any(f"{value:.4f}" in line for line in lines)
    if width == 120:
        assert all(any(row.spec in line for line in lines) for row in report.summary)


def test_every_renderer_shows_every_figure_of_the_whole(report):
    page, html = markdown_bytes(report).decode(), summary_html(report.to_dict())
    for table in report.whole_tables():
        for row in table.rows:
            assert "| " + " | ".join(row) + " |" in page
            assert "".join(f"<td>{cell}</td>" for cell in row) in html
        assert all(line in page for line in table.caption.splitlines())


def test_a_statistic_without_a_value_of_the_whole_shows_its_tensors(monkeypatch):
    class Alone(L2):
        """A statistic whose values do not combine."""

        def whole(self, values, n_weights):
            return None

    monkeypatch.setitem(ESTIMATORS._entries, "alone", Alone)
    arrays = {"a.w": np.full((2, 2), 1.5, np.float32), "b.w": np.full(4, np.inf, np.float32)}
    report = kc.score(arrays, specs=["l2", "alone"])
    (shown,) = [table for table in report.tables() if "tensor by tensor" in table.title]
    assert shown.title.startswith("alone,")
    rows = {row[0]: dict(zip(shown.names, row, strict=True)) for row in shown.rows}
    assert (rows["a.w"]["value"], rows["a.w"]["unit"]) == (
        "3.0000",
        "norm, lower = smaller weights",
    )
    assert rows["b.w"]["value"] == ""
    assert rows["b.w"]["note"].startswith("skipped: ")
    page = markdown_bytes(report).decode()
    assert "| a.w | 2x2 | F32 | 3.0000 |" in page

    both = kc.score([arrays, arrays], specs=["alone"])
    shown = next(table for table in both.tables() if "tensor by tensor" in table.title)
    assert shown.names[:2] == ("checkpoint", "tensor")
    assert len({row[0] for row in shown.rows}) == 2


def test_a_report_of_nothing_has_no_tables():
    assert kc.score({}, panel="fast").whole_tables() == []


def test_the_extremes_are_by_a_code_that_takes_most_of_the_weights():
    rng = np.random.default_rng(0)
    integers = {f"w{i}": rng.integers(0, 2 + 9 * i, (40, 40)).astype(np.int8) for i in range(3)}
    scales = {f"s{i}": rng.normal(size=40).astype(np.float32) for i in range(3)}
    found = extremes(kc.score(integers | scales, panel="default").to_dict())
    assert [table.title for table in found] == [
        "simplest for their size (zstd@bytes)",
        "most complex for their size (zstd@bytes)",
    ]
    assert found[0].rows[0][0] == "w0"
    assert {row[0] for row in found[1].rows} == set(scales)


@pytest.mark.parametrize("scope", ["tensor", "group", "model"])
def test_the_largest_tensor_is_a_tensor_in_every_scope(scope):
    rng = np.random.default_rng(0)
    sizes = {"layers.0.w": 30, "layers.1.w": 20, "head": 40, "norm": 10}
    arrays = {name: rng.normal(size=(n, 10)).astype(np.float32) for name, n in sizes.items()}
    report = kc.score(arrays, specs=["entropy@q8", "nonzero"], scope=scope)
    for table in report.whole_tables():
        assert {row["largest"] for row in cells(table).values()} == {"40%"}
    assert "the largest tensor, head, holds 40% of the weights" in report.headline


def test_one_tensor_alone_has_no_largest():
    report = kc.score({"w": np.ones((4, 4), np.float32)}, panel="fast")
    assert not any("largest" in sentence for sentence in report.headline)


def test_a_code_of_another_package_can_speak_for_the_network_and_be_drawn():
    document = score_result(4)
    for row in (*document["rows"], *document["summary"]):
        if row["spec"] == "entropy:two-part@rd0.01":
            row |= {"spec": "theirs@view", "estimator": "theirs", "target_mse": 0.01}
    assert main_spec(document["rows"]) == "theirs@view"
    charts = {picture.kind.name: picture.chart for picture in pictures(document)}
    assert charts["bits"].subtitle.startswith("theirs@view, a code of the view at 1% error")
    assert "theirs" in charts["rates"]["method"]
