"""Every kind of figure, of few and many tensors, in every theme: nothing empty, cut or unnamed."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import kcomplexity as kc
from kcomplexity.errors import OutputError, ResultError, SpecError
from kcomplexity.inference import pareto_front
from kcomplexity.report import figures
from kcomplexity.report.figures import FIGURES, FigureKind, pictures, unmet
from kcomplexity.report.figures.base import missing
from kcomplexity.report.figures.canvas import (
    PICTURE_FORMATS,
    _compose,
    alternative,
    image_bytes,
    numbers_csv,
    page_svg,
    styled,
)
from kcomplexity.report.figures.files import save_figures
from kcomplexity.report.figures.names import slug
from kcomplexity.report.figures.themes import PAGE, PAGE_COLOURS, THEMES, theme
from kcomplexity.report.layers import KINDS, in_depth_order, kind_of_layer
from kcomplexity.samples import TRAINED
from tests.results import (
    HOSTILE,
    account_result,
    bound_result,
    compare_result,
    fit_result,
    score_result,
    sweep_result,
    tensor_names,
    tiles_result,
    trajectory_result,
)


@pytest.fixture(scope="module")
def sample():
    """The real score of a file that is there: what the histogram needs."""
    specs = ["entropy:two-part@rd0.01", "entropy:two-part@rd0.1", "zstd@bytes/planes"]
    return kc.score(TRAINED, specs=specs).to_dict()


MADE = {
    "bits": score_result,
    "controls": score_result,
    "streams": score_result,
    "rates": sweep_result,
    "accuracy": sweep_result,
    "account": account_result,
    "scatter": compare_result,
    "trajectory": trajectory_result,
    "budget": fit_result,
    "motifs": fit_result,
    "usage": fit_result,
    "tiles": tiles_result,
    "bound": bound_result,
}
BY_TENSOR = ("bits", "controls", "streams", "account", "scatter")
CASES = [(kind, None) for kind in MADE] + [(k, n) for k in BY_TENSOR for n in (60, 500)]


def record_of(kind, n=None, names=None):
    maker: Any = MADE[kind]
    return maker(n, names) if n else maker()


def first(kind, n=None, names=None):
    record = record_of(kind, n, names)
    return next(pictures(record, [kind]))


def drawn(picture, look):
    """The figure after it was laid out."""
    figure = _compose(picture.kind, picture.chart, look)
    figure.draw_without_rendering()
    return figure


# --- What is seen -----------------------------------------------------------------------------


def test_there_is_a_case_for_every_kind():
    assert {*MADE, "histogram"} == set(FIGURES)


# The dark theme differs from the light one in colours alone.
@pytest.mark.parametrize("look", ["light", "paper"])
@pytest.mark.parametrize(("kind", "n"), CASES)
def test_every_text_is_inside_the_picture_and_no_tick_is_under_another(kind, n, look):
    picture = first(kind, n)
    with styled(theme(look)):
        figure = drawn(picture, theme(look))
        edges = figure.bbox
        for text in shown_texts(figure):
            box = text.get_window_extent()
            inside = box.x0 >= -2 and box.x1 <= edges.x1 + 2
            inside &= box.y0 >= -2 and box.y1 <= edges.y1 + 2
            assert inside, (text.get_text(), box.extents, edges.extents)
        for ax in figure.axes:
            for axis in (ax.xaxis, ax.yaxis):
                boxes = [label.get_window_extent() for label in shown_ticks(axis)]
                across = axis is ax.xaxis
                spans = sorted(tuple(b.intervalx if across else b.intervaly) for b in boxes)
                assert all(a[1] <= b[0] + 1 for a, b in itertools.pairwise(spans)), spans


@pytest.mark.parametrize("n", [60, 502])
def test_a_long_name_of_blocks_is_inside_a_paper_column(n):
    names = [f"model.language_model.transformer.layers.{i}.q.weight" for i in range(n)]
    picture = first("bits", n, names)
    with styled(theme("paper")):
        figure = drawn(picture, theme("paper"))
        label = figure.axes[0].xaxis.label
        box = label.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert f"{n} tensors" in label.get_text().replace("\n", " ")
        legend = figure.axes[0].get_legend()
        assert legend.get_window_extent().y1 <= box.y0


def shown_ticks(axis):
    """The labels of the ticks within the axes: those beyond are not drawn."""
    low, high = sorted(axis.get_view_interval())
    ticks = axis.get_major_ticks()
    labels = [tick.label2 if tick.label2.get_visible() else tick.label1 for tick in ticks]
    return [
        label
        for label, at in zip(labels, axis.get_majorticklocs(), strict=True)
        if low <= at <= high and label.get_visible() and label.get_text()
    ]


def shown_texts(figure):
    found = list(figure.texts)
    for ax in figure.axes:
        found += [*ax.texts, ax.xaxis.label, ax.yaxis.label]
        found += [*shown_ticks(ax.xaxis), *shown_ticks(ax.yaxis)]
        found += ax.get_legend().get_texts() if ax.get_legend() else []
    return [text for text in found if text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize(("kind", "n"), CASES)
def test_a_figure_is_titled_labelled_and_not_empty(kind, n):
    picture = first(kind, n)
    chart = picture.chart
    look = theme("light")
    with styled(look):
        figure = drawn(picture, look)
        ax = figure.axes[0]
        marks = [*ax.collections, *ax.patches, *ax.lines, *ax.images]
        assert marks
        assert re.search(r"\d", chart.title), "a title says what is seen, in figures"
        words = [text.get_text().replace("\n", " ") for text in figure.texts]
        assert chart.title in words
        assert chart.subtitle in words
        if kind != "motifs":
            axes_words = f"{ax.get_xlabel()} {ax.get_ylabel()}".replace("\n", " ")
            assert chart.x in axes_words
            assert re.search(r"\((lower|higher) = ", axes_words) or kind in ("usage", "tiles")
    # More than the ground and the text: some mark has the colour of a series or of a map.
    image = Image.open(io.BytesIO(image_bytes(picture.kind, chart, look, "png"))).convert("RGB")
    pixels = np.asarray(image).astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    colours = {f"#{pixel:06x}" for pixel in np.flatnonzero(np.bincount(pixels.ravel()))}
    assert colours & set(look.series) or kind in ("motifs", "tiles")
    assert len(colours) > 20


@pytest.mark.parametrize("look", THEMES)
def test_the_ground_is_that_of_the_theme(look):
    picture = first("bits")
    image = Image.open(io.BytesIO(image_bytes(picture.kind, picture.chart, theme(look), "png")))
    assert "#" + np.asarray(image.convert("RGB"))[0, 0].tobytes().hex() == theme(look).ground


def test_the_histogram_shows_all_weights_of_the_largest_tensor(sample):
    (picture,) = pictures(sample, ["histogram"])
    chart = picture.chart
    with kc.open_checkpoint(TRAINED) as checkpoint:
        weights = checkpoint["layers.0.weight"].to_numpy()
    counts = [n for mark, n in zip(chart["mark"], chart["n_weights"], strict=True) if mark == "bar"]
    assert sum(counts) == weights.size
    levels = [v for mark, v in zip(chart["mark"], chart["from"], strict=True) if mark == "level"]
    row = next(r for r in sample["rows"] if r["tensor"] == "layers.0.weight")
    assert np.diff(levels) == pytest.approx(row["level_step"])
    assert min(levels) == pytest.approx(weights.min(), abs=row["level_step"])
    assert b"</svg>" in image_bytes(picture.kind, chart, theme("light"), "svg")


def test_the_histogram_is_left_out_when_the_file_is_another(sample, tmp_path):
    moved = json.loads(json.dumps(sample))
    moved["checkpoints"][0]["fingerprint"] = "0" * 64
    assert list(pictures(moved, ["histogram"])) == []
    moved["checkpoints"][0]["path"] = str(tmp_path / "gone.safetensors")
    for row in moved["rows"]:
        row["checkpoint"] = moved["checkpoints"][0]["path"]
    assert list(pictures(moved, ["histogram"])) == []
    assert "with the checkpoint where it was" in unmet(moved, ["histogram"])[0]


# --- The numbers ------------------------------------------------------------------------------


def test_the_bits_of_the_whole_are_those_of_all_tensors():
    record = score_result(12)
    chart = first("bits", 12).chart
    rows = [row for row in record["rows"] if row["spec"] == "entropy:two-part@rd0.01"]
    whole = sum(row["bits"] for row in rows) / sum(row["n_weights"] for row in rows)
    assert chart.levels == (("whole", pytest.approx(whole)),)
    assert sorted(chart["bits_per_weight"]) == sorted(row["bits_per_weight"] for row in rows)


def test_controls_tell_what_chance_gives():
    chart = first("controls", 40).chart
    below = sum(n == lower for n, lower in zip(chart["n"], chart["n_lower"], strict=True))
    assert f"{below} of 40 tensors" in chart.title
    assert "(by chance: up to 2)" in chart.title  # 40 tensors of 19 shuffles each: 40 / 20
    for low, high, ratio in zip(chart["lowest"], chart["highest"], chart["ratio"], strict=True):
        assert low <= 1 <= high
        assert 0.9 < ratio < 1.1


@pytest.mark.parametrize("n", [6, 60, 500])
@pytest.mark.parametrize("kind", ["streams", "bits"])
def test_a_counter_does_not_squeeze_the_network(kind, n):
    record = score_result(n)
    names = {row["tensor"] for row in record["rows"]}
    counter = sorted(names)[1]
    for row in record["rows"]:
        row["n_weights"] = 1000
        if row["tensor"] == counter:
            row |= {"n_weights": 1, "bits": 640.0, "bits_per_weight": 640.0}
            if parts := row.get("stream_bits"):
                row["stream_bits"] = dict.fromkeys(parts, 640 / len(parts))
        elif row.get("stream_bits"):
            row["stream_bits"] = {"sign": 1000, "exponent": 2500, "mantissa": 23_000}
    picture = next(pictures(record, [kind]))
    with styled(theme("light")):
        ax = drawn(picture, theme("light")).axes[0]
        along = ax.get_xlim() if n == 6 else ax.get_ylim()
        assert along[1] < 30
        words = [text.get_text() for text in ax.get_legend().get_texts()]
        assert "small tensors beyond" in words
    text = image_bytes(picture.kind, picture.chart, theme("light"), "svg").decode()
    assert f"<title>{counter}: 640, beyond the axis</title>" in text


def test_the_streams_of_a_tensor_add_up_to_its_bits():
    record = score_result(7)
    chart = next(pictures(record, ["streams"])).chart
    bits = {
        row["tensor"]: row["bits_per_weight"]
        for row in record["rows"]
        if row["spec"].endswith("/fields")
    }
    rows: Any = chart.rows
    assert {row[0] for row in rows} == set(bits)
    for row in rows:
        assert sum(row[2:]) == pytest.approx(bits[row[0]])


def test_the_account_is_in_percent_of_order_0():
    record = account_result(3)
    chart = first("account", 3).chart
    rows: Any = chart.rows
    assert len(rows) == 3
    for row in rows:
        ctx = next(r for r in record["rows"] if r["tensor"] == row[0])
        assert sum(row[2:5]) == pytest.approx(100 * (1 - ctx["bits"] / 1000))


def test_a_score_of_several_checkpoints_with_steps_is_a_trajectory():
    record = score_result(4)
    other = record["checkpoints"][0] | {"path": "later", "metadata": {"step": "700"}}
    record["checkpoints"][0]["metadata"] = {"step": "20"}
    record["checkpoints"].append(other)
    record["summary"] += [row | {"checkpoint": "later"} for row in record["summary"]]
    chart = next(pictures(record, ["trajectory"])).chart
    assert chart["step"] == [20, 700]
    assert "step 20 to 700" in chart.title


def test_of_a_trajectory_only_its_own_figure_shows_more_than_the_last_step():
    record = trajectory_result()
    shown = {picture.kind.name: picture.chart for picture in pictures(record)}
    assert list(shown) == ["bits", "controls", "trajectory", "streams"]
    assert shown["trajectory"]["step"][0] == 0
    last = {row["bits_per_weight"] for row in record["rows"] if row["step"] == 4500}
    assert set() < set(shown["bits"]["bits_per_weight"]) <= last
    assert all(
        chart.subtitle.startswith("step 4,500: ")
        for kind, chart in shown.items()
        if kind != "trajectory"
    )


def test_the_best_of_a_loss_is_the_least():
    record = sweep_result()
    for point in record["points"]:
        point["metric"] = 0.5 + point["relative_mse"]
    losses = {p["relative_mse"]: p["metric"] for p in record["points"]}
    for better, best, axis in (
        ("lower", losses[0.01], "(lower = better)"),
        ("higher", losses[0.3], "(higher = better)"),
    ):
        chart = next(pictures(record | {"eval_direction": better}, ["accuracy"])).chart
        assert chart.title.endswith(f"within 1% of the best, {best:.3g}")
        assert chart.y.endswith(axis)
    for unknown in ({}, {"eval_direction": None}):
        bare = {key: value for key, value in record.items() if key != "eval_direction"} | unknown
        chart = next(pictures(bare, ["accuracy"])).chart
        assert chart.title == "12 points whose evaluation gave 0.51 to 0.8"
        assert "best" not in chart.title
        assert "which end is better is unknown" in chart.y


def test_rates_of_a_score_are_of_codes_whose_error_is_that_of_every_tensor():
    record = score_result(4)
    total = next(row for row in record["summary"] if row["kind"] == "code")
    # Of levels a tensor a few large statistics have all the squares: the error says nothing.
    levels = total | {
        "spec": "zstd:9@q4",
        "target_mse": None,
        "relative_mse": 1e-4,
        "bits_per_weight": 0.1,
    }
    beaten = total | {"spec": "lowrank@rd0.01", "relative_mse": 0.00998, "bits_per_weight": 9.0}
    record["summary"] += [levels, beaten]
    chart = next(pictures(record, ["rates"])).chart
    assert [what for what in chart["what"] if what] == [total["spec"], beaten["spec"]]
    assert chart["on_front"][:2] == [1, 0]
    assert "nothing can be" not in chart.subtitle


def test_a_comparison_is_no_point_among_rates():
    assert list(pictures(compare_result(), ["rates"])) == []


def test_a_code_that_is_longer_is_not_chosen_and_loses_nothing():
    record = account_result(3)
    record["rows"][1]["bits"] = 5000.0  # low rank of the first tensor, whose order-0 is 1000
    picture = next(pictures(record, ["account"]))
    assert picture.chart["low rank"][0] == 0
    with styled(theme("light")):
        low, high = drawn(picture, theme("light")).axes[0].get_xlim()
    assert -40 < low < 0 < high < 40


def test_the_account_has_the_title_of_the_headline():
    rng = np.random.default_rng(7)
    smooth = np.cumsum(rng.normal(size=(96, 64)), axis=1).astype("f4")
    low = (rng.normal(size=(96, 1)) @ rng.normal(size=(1, 64))).astype("f4")
    weights = {"h.0.w": smooth, "h.1.w": low, "h.0.b": rng.normal(size=9).astype("f4")}
    weights["h.2.copy"] = smooth
    report = kc.score(weights, specs=["ctx@rd0.1", "lowrank@rd0.1"])
    told = next(text for text in report.headline if text.startswith("structure: "))
    chart = next(pictures(report.to_dict(), ["account"])).chart
    share = re.search(r"saves ([0-9.]+%)", told)
    assert share
    assert chart.title.startswith(f"Structure saves {share[1]} of the bits")
    # A header as long as that of the code is no loss by low rank.
    assert chart["low rank"][chart["tensor"].index("h.0.b")] == 0


def test_the_nominal_size_of_a_mosaic_adds_up():
    record = fit_result()
    chart = first("budget").chart
    parts = {(size, part): bits for size, part, bits in chart.rows}
    assert sum(bits for (size, _), bits in parts.items() if size == "nominal") == 106_000
    assert parts["nominal", "indices, fixed"] == record["bits"]["indices_fixed"]
    assert sum(bits for (size, _), bits in parts.items() if size == "coded") == 81_000


def test_tiles_that_chance_explains_are_pale():
    record = tiles_result()
    record["rows"][0]["tiles"]["ratios"] = [[1.02, 0.99, 0.9], [0.985, 1.0, None]]
    picture = next(pictures(record, ["tiles"]))
    assert picture.chart.title.endswith("0.900 in the lowest; 1 of 5 tiles beyond the scatter")
    with styled(theme("light")):
        _, veil = drawn(picture, theme("light")).axes[0].images
    assert np.asarray(veil.get_array())[..., 3].round(1).tolist() == [[0.7, 0.7, 0], [0.7] * 3]


def test_motifs_that_are_not_listed_are_counted():
    record = fit_result(40)
    shown = {"n_sets": 3, "n_motifs": 5000, "n_used": 4000, "n_blocks": 10**6}
    record["motifs"] |= shown
    motifs, usage = (picture.chart for picture in pictures(record, ["motifs", "usage"]))
    assert motifs.title.startswith("The 40 most used of 5,000 motifs stand for 0% of the blocks")
    assert usage.title == (
        "More than 37 of 5,000 motifs stand for half of the blocks (largest of 3 sets); "
        "1,000 are not used"
    )


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9).map(lambda n: n / 9)), min_size=1))
def test_the_front_is_what_no_other_point_beats(points):
    beaten = {p for p in points for q in points if q[0] <= p[0] and q[1] <= p[1] and q != p}
    assert [points[i] for i in pareto_front(points)] == sorted(set(points) - beaten)


@given(st.lists(st.text(alphabet="ab.0129_", max_size=9)))
def test_depth_order_holds_every_tensor_once(names):
    assert sorted(in_depth_order(names)) == list(range(len(names)))


def test_depth_order_sorts_blocks_by_number_between_what_stands_alone():
    names = tensor_names(60)
    ordered = [names[i] for i in in_depth_order(names)]
    assert ordered[0] == "model.embed_tokens.weight"
    numbers = [int(name.split(".")[2]) for name in ordered[1:]]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("n", [5, 60])
def test_without_numbers_in_names_the_order_is_the_files_and_is_called_so(n):
    letters = [chr(97 + i // 26) + chr(97 + i % 26) for i in range(n - 1)]
    names = [*reversed(letters), "embed.weight"]
    assert in_depth_order(names) == list(range(n))
    for given_names, word in ((names, "file"), (None, "depth")):
        picture = first("bits", n, given_names)
        with styled(theme("light")):
            ax = drawn(picture, theme("light")).axes[0]
        words = f"{ax.get_xlabel()} {ax.get_ylabel()}".replace("\n", " ")
        assert re.search(rf"tensor,? in {word} order", words)


def test_resnet_stages_are_in_order():
    names = ["conv1.weight", "fc.weight", "layer10.0.conv1.weight", "layer2.1.w", "layer2.0.w"]
    ordered = [names[i] for i in in_depth_order(names)]
    assert ordered == [
        "conv1.weight",
        "layer2.0.w",
        "layer2.1.w",
        "layer10.0.conv1.weight",
        "fc.weight",
    ]


@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [
        ("h.0.attn.c_attn.weight", (4, 4), "attention"),
        ("layers.0.self_attn.k_proj.bias", (4,), "bias"),
        ("h.0.ln_1.bias", (4,), "norm"),
        ("wte.weight", (9, 4), "embedding"),
        ("layers.3.mlp.gate_proj.weight", (9, 4), "feed-forward"),
        ("features.0.weight", (8, 3, 3, 3), "convolution"),
        ("w", (4, 4), "matrix"),
        ("scale", (), "other"),
    ],
)
def test_layers_are_told_by_name_and_shape(name, shape, kind):
    assert kind_of_layer(name, shape) == kind
    assert kind in KINDS


def test_the_figures_of_the_readme_say_what_the_sample_scores():
    scored = kc.score(TRAINED, specs=["ctx@rd0.1"], controls=["shuffle:19"]).to_dict()
    folder = Path(__file__).parents[1] / "docs" / "figures"
    found = {
        picture.name: alternative(picture.chart)
        for picture in pictures(scored, ["account", "controls", "histogram"])
    }
    kept = sorted(folder.iterdir())
    assert [path.stem for path in kept] == [
        "account-ctx-rd0.1",
        "controls-ctx-rd0.1-shuffle",
        "histogram",
    ]
    for path in kept:
        root = ElementTree.fromstring(path.read_text("utf-8"))
        assert root.get("aria-label") == found[path.stem]
        assert path.stat().st_size < 30_000


@pytest.mark.slow
def test_all_figures_of_a_thousand_tensors_take_less_than_twenty_seconds(tmp_path):
    # Of the processor: what else runs beside the tests is no fault of a figure.
    started = time.process_time()
    for maker in (score_result, account_result, compare_result):
        save_figures(maker(1000), tmp_path, forms=PICTURE_FORMATS)
    assert time.process_time() - started < 20


# --- Files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", PICTURE_FORMATS)
@pytest.mark.parametrize("kind", ["bits", "controls", "motifs"])
def test_bytes_are_the_same_each_time(kind, form):
    picture = first(kind)
    again = first(kind)
    look = theme("paper")
    assert image_bytes(picture.kind, picture.chart, look, form) == image_bytes(
        again.kind, again.chart, look, form
    )


def test_a_users_own_settings_change_nothing():
    import matplotlib as mpl

    picture = first("bits")
    before = image_bytes(picture.kind, picture.chart, theme("light"), "svg")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "text.usetex": True}):
        assert image_bytes(picture.kind, picture.chart, theme("light"), "svg") == before
        assert mpl.rcParams["font.size"] == 30


@pytest.mark.parametrize("kind", MADE)
def test_an_svg_is_well_formed_and_speaks(kind):
    picture = first(kind)
    text = image_bytes(picture.kind, picture.chart, theme("light"), "svg").decode()
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img"
    assert root.get("aria-label") == alternative(picture.chart)
    assert picture.chart.title in root.get("aria-label", "")
    assert 'xlink:href="tip:' not in text


@pytest.mark.parametrize("kind", ["bits", "controls", "account", "scatter"])
@pytest.mark.parametrize("n", [5, 60])
def test_every_tensor_can_be_pointed_at(kind, n):
    picture = first(kind, n)
    text = page_svg(picture.kind, picture.chart, "k", {})
    titles = re.findall(r"<title>([^<]*)</title>", text)
    assert len(picture.chart["tensor"]) > 2
    for name in picture.chart["tensor"]:
        assert any(title.startswith(f"{name}: ") for title in titles)


@pytest.mark.parametrize("kind", ["bits", "controls", "streams", "account"])
def test_of_many_tensors_a_page_says_each_name_once(kind):
    names = {"another": 0}
    picture = first(kind, 300)
    text = page_svg(picture.kind, picture.chart, "k", names)
    area = next(e for e in ElementTree.fromstring(text).iter() if "data-at" in e.attrib)
    listed = list(names)
    places = [int(at) for at in area.attrib["data-at"].split()]
    assert [listed[at] for at in places] == picture.chart["tensor"]
    assert listed[0] == "another"
    assert "_proj" not in text.partition("<path")[2]
    values = {"bits": "bits_per_weight", "controls": "ratio", "streams": "mantissa"}.get(kind)
    # An attribute's newlines are spaces to this reader of XML; a browser keeps them.
    raw = re.search(r'data-tips="([^"]*)"', text)
    tips = raw[1].split("\n") if raw else []
    assert len(tips) == 300
    for tip, value in zip(tips, picture.chart[values or "scale"], strict=True):
        assert f"{value:.4f}" in tip or f"{value:.4g}" in tip
    # A file of its own has no such list: there every mark has its name.
    alone = image_bytes(picture.kind, picture.chart, theme("light"), "svg").decode()
    assert alone.count("<title>") >= 300


def test_a_page_figure_has_the_pages_colours_and_ids_of_its_own():
    picture = first("bits")
    text = page_svg(picture.kind, picture.chart, "k7", {})
    assert not any(colour in text for colour in PAGE_COLOURS)
    assert "var(--ink)" in text
    ids = re.findall(r' id="([^"]*)"', text)
    assert ids
    assert len(ids) == len(set(ids))
    assert all(found.startswith("k7-") for found in ids)
    assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', text)) <= set(ids)
    assert len(PAGE.series) == len(THEMES["light"].series)


@pytest.mark.parametrize("kind", BY_TENSOR)
def test_a_name_is_never_markup(kind):
    names = [HOSTILE, "a" * 300, *tensor_names(4)]
    picture = first(kind, 6, names)
    for look in (theme("light"), PAGE):
        text = image_bytes(picture.kind, picture.chart, look, "svg").decode()
        root = ElementTree.fromstring(text)
        assert not [e for e in root.iter() if e.tag.endswith("script")]
    image_bytes(picture.kind, picture.chart, theme("light"), "png")  # no box is a warning


def test_what_the_typeface_lacks_is_escaped_in_pixels_and_kept_in_text():
    import warnings

    from kcomplexity.report.figures.canvas import _in_typeface

    picture = first("bits", 3, ["漢字.weight", "größe.weight", "c.weight"])
    chart = _in_typeface(picture.chart)
    assert chart["tensor"] == [r"\u6f22\u5b57.weight", "größe.weight", "c.weight"]
    with styled(theme("light")), warnings.catch_warnings():
        warnings.simplefilter("error")
        _compose(picture.kind, chart, theme("light")).draw_without_rendering()
    assert chart["bits_per_weight"] == picture.chart["bits_per_weight"]
    for form, escaped in (("png", True), ("svg", False)):
        data = image_bytes(picture.kind, picture.chart, theme("light"), form)
        assert (data == image_bytes(picture.kind, chart, theme("light"), form)) == escaped
    assert "漢字.weight" in numbers_csv(picture.chart).decode()


def test_other_text_from_a_file_is_no_markup_either():
    record = score_result(3)
    for row in (*record["rows"], *record["summary"]):
        row["spec"] += HOSTILE
        row["stream_bits"] = {HOSTILE: 5.0, "\ud800": 7.0}
        for control in row["controls"]:
            control["kind"] = HOSTILE
    fit = fit_result() | {"metric": HOSTILE}
    sweep = sweep_result()
    sweep["points"][0] |= {"coding": HOSTILE, "setting": {HOSTILE: HOSTILE}}
    bound = bound_result()
    bound["bounds"][0]["method"] = HOSTILE
    for found in (record, fit, sweep, bound):
        for picture in pictures(found):
            text = image_bytes(picture.kind, picture.chart, theme("light"), "svg").decode()
            root = ElementTree.fromstring(text)
            assert not [e for e in root.iter() if e.tag.endswith("script")]
            numbers_csv(picture.chart)


def test_a_csv_holds_what_is_drawn():
    chart = first("controls", 9).chart
    rows = list(csv.reader(io.StringIO(numbers_csv(chart).decode())))
    assert tuple(rows[0]) == chart.columns
    assert [row[0] for row in rows[1:]] == chart["tensor"]
    assert [float(row[1]) for row in rows[1:]] == chart["ratio"]


def test_each_picture_is_saved_with_its_numbers(tmp_path):
    paths = save_figures(score_result(5), tmp_path / "a" / "b", forms=("png", "svg"))
    names = {path.name for path in (tmp_path / "a" / "b").iterdir()}
    assert {path.name for path in paths} < names
    assert {"bits.png", "bits.svg", "bits.csv", "controls-bdm2d-sign-shuffle.png"} <= names
    assert len(names) == len(paths) / 2 * 3


def test_pictures_whose_names_are_alike_do_not_overwrite_each_other():
    record = score_result(3)
    twin = [row | {"spec": "bdm2d-sign"} for row in record["rows"] if row["controls"]]
    record["rows"] += twin
    names = [picture.name for picture in pictures(record, ["controls"])]
    assert len(names) == len(set(names)) == 2


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_file_name_has_no_odd_character(a, b):
    name = slug("bits", a, b)
    assert re.fullmatch(r"bits[A-Za-z0-9.-]*", name)
    assert len(name) <= 80


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make"):
        save_figures(score_result(2), tmp_path / "file" / "figures")


# --- What is missing --------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_a_kind_tells_every_field_that_it_needs(name):
    (line,) = unmet({"schema_version": 1}, [name])
    kind = FIGURES[name]
    assert line.startswith(f"{name} needs ")
    for need in kind.needs:
        assert need.replace("|", " or ") in line
    assert kind.made_by in line


@pytest.mark.parametrize("kind", MADE)
def test_a_record_without_a_needed_field_is_not_drawn(kind):
    record = record_of(kind)
    assert unmet(record, [kind]) == []
    assert missing(record, FIGURES[kind].needs) == []
    for need in FIGURES[kind].needs:
        bare = json.loads(json.dumps(record))
        for path in need.split("|"):
            _without(bare, path)
        assert need in missing(bare, FIGURES[kind].needs)
        assert list(pictures(bare, [kind])) == []


def _without(value, path):
    step, _, rest = path.partition(".")
    name = step.removesuffix("[]")
    if not isinstance(value, dict) or name not in value:
        return
    if not rest:
        del value[name]
        return
    for item in value[name] if step.endswith("[]") else [value[name]]:
        _without(item, rest)


@pytest.mark.parametrize("value", ["many", [1], {"a": 1}, -1e400])
@pytest.mark.parametrize(
    "field", ["bits", "n_weights", "controls", "stream_bits", "bits_per_weight"]
)
def test_a_field_of_another_type_is_an_error_of_the_result_or_drawn(field, value):
    record = score_result(3)
    for row in record["rows"]:
        row[field] = value
    with contextlib.suppress(ResultError):
        for picture in pictures(record):
            numbers_csv(picture.chart)


def test_motifs_whose_values_were_cut_are_told():
    cut = fit_result()
    cut["motifs"]["values"][3] = cut["motifs"]["values"][3][:2]
    short = fit_result()
    short["motifs"]["values"] = short["motifs"]["values"][:5]
    for record in (cut, short):
        with pytest.raises(ResultError, match=r"motifs\.values were cut"):
            list(pictures(record, ["motifs"]))


def test_what_is_wrong_with_a_result_is_told():
    record = score_result(3)
    for row in record["rows"]:
        row["bits_per_weight"] = "many"
    with pytest.raises(ResultError, match="figure bits: a field is not what its schema says"):
        list(pictures(record))


def test_nothing_to_draw_is_one_line_that_names_every_kind():
    with pytest.raises(ResultError) as caught:
        save_figures({"schema_version": 1, "rows": []}, "nowhere")
    assert "\n" not in str(caught.value)
    assert all(f"{name} needs" in str(caught.value) for name in FIGURES)


def test_a_result_in_which_nothing_was_measured_is_not_drawn():
    record = score_result(3)
    for row in record["rows"]:
        row |= {"status": "skipped", "reason": "holds NaN"}
    assert list(pictures(record, ["bits", "controls", "streams"])) == []


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"kinds": ["bit"]}, "unknown figure 'bit': did you mean bits"),
        ({"forms": ["gif"]}, "unknown picture format 'gif': expected one of png, svg, pdf"),
        ({"look": "pink"}, "unknown theme 'pink': expected one of light, dark, paper"),
    ],
)
def test_what_is_not_known_is_told(how, message, tmp_path):
    with pytest.raises(SpecError, match=message):
        save_figures(score_result(2), tmp_path, **how)


# --- The registry and Python ------------------------------------------------------------------


def test_every_kind_of_the_package_is_registered():
    import importlib
    import pkgutil

    found = {
        thing.name
        for module in pkgutil.iter_modules(figures.__path__)
        for thing in vars(importlib.import_module(f"{figures.__name__}.{module.name}")).values()
        if isinstance(thing, FigureKind)
    }
    assert found == set(FIGURES)
    assert all(FIGURES[name].name == name for name in FIGURES)


def test_a_report_draws_on_the_axes_it_is_given():
    from matplotlib.figure import Figure

    report = kc.score({"a.w": np.eye(20, dtype="f4"), "$b$": np.ones((4, 5))}, panel="fast")
    ax = Figure().add_subplot()
    assert report.plot("bits", ax=ax) is ax
    assert ax.collections
    assert "bits/weight" in ax.get_title(loc="left")
    from matplotlib import pyplot

    with pyplot.rc_context():
        new = report.plot("bits")
        assert new.get_xlabel() == "bits per weight (lower = simpler)"
        pyplot.close("all")
    with pytest.raises(ResultError, match="controls needs"):
        report.plot("controls", ax=ax)
    with pytest.raises(SpecError, match="unknown figure"):
        report.plot("nothing", ax=ax)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["plot", "--help"], ["report", "--help"], ["score", "--help"]]
)
def test_help_imports_no_matplotlib(arguments):
    script = (
        "import sys; from click.testing import CliRunner; from kcomplexity_cli.main import cli;"
        f"assert CliRunner().invoke(cli, {arguments}).exit_code == 0;"
        "print(sorted({'matplotlib', 'jinja2', 'numpy.ma'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "matplotlib" not in done.stdout
    assert "jinja2" not in done.stdout


def test_figures_can_be_listed_without_matplotlib():
    script = (
        "import sys; from kcomplexity.report.figures import FIGURES, unmet; unmet({}); "
        "print(len(FIGURES), 'matplotlib' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(len(FIGURES)), "False"]
