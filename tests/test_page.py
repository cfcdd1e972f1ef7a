"""The page: whole in itself, the same each time, safe, readable by machine, ear and phone."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kcomplexity.errors import ResultError
from kcomplexity.report.figures import pictures
from kcomplexity.report.glossary import definitions
from kcomplexity.report.page import page_bytes
from kcomplexity.report.remarks import cautions, problems, sentences
from kcomplexity.report.tables import page_tables, whole_tables
from tests.browser import browser, executable
from tests.results import (
    HOSTILE,
    bound_result,
    compare_result,
    default_result,
    fit_result,
    score_result,
    sweep_result,
    tensor_names,
    trajectory_result,
)

VOID = {"meta", "link", "br", "input", "img", "hr"}


class Tree(HTMLParser):
    """Every element with its attributes; checks that all are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page():
    return page_bytes([("scores.json", score_result(12))]).decode()


@pytest.fixture(scope="module")
def tree(page):
    return Tree(page)


# --- The file -----------------------------------------------------------------------------------


def test_the_bytes_are_the_same_each_time(page):
    assert page_bytes([("scores.json", score_result(12))]).decode() == page


def test_the_page_asks_for_nothing_from_outside(page, tree):
    addresses = {
        address
        for _, attributes in tree.elements
        for name, address in attributes.items()
        if name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset")
    }
    assert addresses
    assert all(address.startswith("#") for address in addresses)
    assert "@import" not in page
    assert not re.findall(r"url\((?!#)", page)
    assert "default-src 'none'" in page


def test_a_thousand_tensors_are_below_three_megabytes():
    record = default_result(1000)
    assert {len(row["tensor"]) for row in record["rows"]} == {90}
    page = page_bytes([("scores.json", record)])
    assert len(page) < 3_000_000
    assert page.count(b"<figure>") == 1 + 4 + 1 + 1 + 2  # bits, controls, account, rates, streams
    assert page.count(b'<th scope="row">') == 1000 + 11  # and one for each spec of the whole
    # In the tables, in the list that the figures share, and in their titles.
    assert page.count(b"language_model.layers.7.") == 2


def test_a_name_is_never_markup():
    record = score_result(4, [HOSTILE, *tensor_names(3)])
    record["checkpoints"][0]["path"] = HOSTILE
    record["headline"] = [HOSTILE]
    record["provenance"]["command"] = HOSTILE
    record["provenance"]["libraries"] = {HOSTILE: HOSTILE}
    record["rows"].append(record["rows"][0] | {"status": "skipped", "reason": HOSTILE})
    page = page_bytes([(HOSTILE, record)]).decode()
    tree = Tree(page)
    assert len(tree.of("script")) == 1
    assert "<script>alert" not in page
    assert any("<script>alert('x')</script>" in text for text in tree.text)
    assert "\x1b" not in page


def test_other_results_are_shown_as_what_they_list():
    results = {
        "compare": compare_result(4),
        "sweep": sweep_result(),
        "fit": fit_result(),
        "trajectory": trajectory_result(),
        "bound": bound_result(),
    }
    tree = Tree(page_bytes(list(results.items())).decode())
    headings = "".join(tree.text)
    for name in results:
        assert name in headings
    assert len(tree.of("figure")) == 1 + 2 + 3 + 4 + 1


def test_a_missing_field_is_named():
    record = score_result(3)
    for row in record["rows"]:
        del row["bits_per_weight"]
    with pytest.raises(ResultError, match=r"r\.json: the field 'bits_per_weight' is missing"):
        page_bytes([("r.json", record)])


def test_a_result_with_nothing_to_show_is_told():
    with pytest.raises(ResultError, match=r"empty.json: nothing to show: bits needs rows\[\]"):
        page_bytes([("empty.json", {"schema_version": 1, "rows": []})])


# --- For those who do not see it ---------------------------------------------------------------


def test_every_figure_and_field_has_a_text(tree):
    figures = [found for found in tree.of("svg") if found.get("role") == "img"]
    assert len(figures) == len(tree.of("figure")) == len(tree.of("svg"))
    assert all(re.search(r"\d", found["aria-label"] or "") for found in figures)
    labelled = {found["for"] for found in tree.of("label")}
    assert {found["id"] for found in tree.of("input")} == labelled
    assert tree.of("html")[0]["lang"] == "en"
    assert len(tree.of("h1")) == len(tree.of("main")) == 1


def test_tables_have_captions_and_heads_that_sort(tree):
    assert len(tree.of("caption")) == len(tree.of("table")) == 3  # codes, estimates, tensors
    heads = [found for found in tree.of("th") if found.get("scope") == "col"]
    assert len(heads) + 1 == len(tree.of("button"))  # and the one for the colours
    assert all(found["aria-sort"] == "none" for found in heads)
    assert all(found.get("scope") in ("col", "row") for found in tree.of("th"))


def test_ids_are_unique_and_what_is_named_is_there(tree):
    ids = [found["id"] for _, found in tree.elements if "id" in found]
    assert len(ids) == len(set(ids))
    named = {
        found[key].lstrip("#")
        for _, found in tree.elements
        for key in ("href", "xlink:href", "for", "aria-labelledby", "data-table")
        if found.get(key)
    }
    assert named <= set(ids)


# --- What it says ------------------------------------------------------------------------------


def test_the_table_has_one_row_a_tensor_with_its_numbers():
    record = score_result(6)
    codes, estimates, by_tensor = page_tables(record)
    assert (len(codes.rows), len(estimates.rows)) == (2, 1)
    assert "raw/comp" in codes.names
    assert "raw/comp" not in whole_tables(record)[0].names  # the page alone has room for it
    assert len(by_tensor.rows) == 6
    names = [column.name for column in by_tensor.columns]
    row = next(row for row in record["rows"] if row["spec"] == "bdm2d@sign")
    shown = dict(zip(names, next(r for r in by_tensor.rows if r[0] == row["tensor"]), strict=True))
    assert shown["weights"] == f"{row['n_weights']:,}"
    assert shown["bdm2d@sign"] == f"{row['bits_per_weight']:.4f}"
    assert shown["bdm2d@sign vs shuffle"] == f"{row['controls'][0]['ratio']:.4f}"


def test_what_was_not_measured_is_one_line_for_each_reason():
    record = score_result(3)
    for i, row in enumerate(record["rows"][:6]):
        row |= {"status": "skipped", "reason": f"{i + 3} of 40 weights are NaN", "value": None}
    (line,) = problems(record)
    assert line.startswith("skipped: 2 tensors (")
    assert ") by entropy:two-part@rd0.01, " in line
    assert line.endswith(": e.g. 3 of 40 weights are NaN")
    cells = {row[0]: row for row in page_tables(record)[-1].rows}
    assert "skipped" in cells[record["rows"][0]["tensor"]]


def test_the_figure_of_a_sentence_is_its_first_size_or_share():
    texts = ["14.7 kB of 127 kB needed", "zstd:9@q4: 8.5% below its own shuffles", "nothing found"]
    found = sentences({"headline": texts})
    assert [sentence.figure for sentence in found] == ["14.7 kB", "8.5%", ""]
    assert [sentence.text for sentence in found] == texts


def test_what_is_no_effect_is_not_set_large():
    texts = [
        "structure: no structure found above 0.1% at rd0.1 (19 shuffles)",
        "the largest tensor, model.embed, holds 0% of the weights",
        "left out of structure: 1 tensor (a: a copy of b, 99%)",
    ]
    effect = "structure: arrangement saves 17.3% of the bits at rd0.1"
    record = score_result(3) | {"headline": [*texts, effect]}
    assert [found.figure for found in sentences(record)] == ["", "", "", "17.3%"]
    page = page_bytes([("scores.json", record)]).decode()
    cards, said = (
        re.findall(rf'<ul class="{name}">(.*?)</ul>', page, re.DOTALL) for name in ("cards", "said")
    )
    assert len(cards) == len(said) == 1
    assert effect in cards[0]
    assert cards[0].count("<li>") == 1
    assert all(text in said[0] for text in texts)


def test_the_figure_of_a_sentence_keeps_its_sign():
    text = "zstd:9@q4: -46.4% (-1.867 bits/weight) in all; no change of the histogram above 0.1%"
    (found,) = sentences({"headline": [text]})
    assert found.figure == "-46.4%"


def test_a_comparison_has_one_row_a_tensor_and_its_parts():
    whole, by_tensor = page_tables(compare_result(5))
    assert dict(zip(whole.names, whole.rows[0], strict=True)) == {
        "spec": "entropy:two-part@rd0.01",
        "reference": "3.500",
        "other": "3.100",
        "total": "-11.4%",
        "histogram": "",
        "arrangement": "",
        "agree": "",
        "range": "",
        "what it is": "code",
    }
    assert len(by_tensor.rows) == 5
    assert by_tensor.rows[0][5:] == ("-10.00", "-4.00")


def test_a_trajectory_has_its_trends_and_the_tensors_of_its_last_step():
    steps, trends, *_, by_tensor = page_tables(trajectory_result())
    assert [row[0] for row in steps.rows] == ["0", "4500"]
    assert trends.rows[0][trends.names.index("tau")] == "-1.00"
    assert len(by_tensor.rows) == 4


def test_a_point_of_a_sweep_has_its_setting():
    points = page_tables(sweep_result())[0]
    at = [column.name for column in points.columns].index("setting")
    assert {row[at] for row in points.rows} == {
        f"target={e}" for e in ("0.3", "0.1", "0.03", "0.01")
    }


def test_what_a_result_warns_of_is_told():
    record = {"warnings": ["runs differ"], "notes": [], "assumptions": ["independent samples"]}
    assert cautions(record) == ["runs differ", "independent samples"]
    page = page_bytes([("bound", bound_result() | record)]).decode()
    assert "<li>independent samples</li>" in page


def test_a_spec_that_is_not_known_here_has_no_definition():
    found = definitions(["bdm2d@sign", "from:another@package"])
    assert list(found) == ["bdm2d@sign"]
    assert "estimate, lower = simpler" in found["bdm2d@sign"]


# --- In a browser ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    if executable() is None:
        pytest.skip("no Chromium: on Debian, apt-get install chromium")
    folder = tmp_path_factory.mktemp("browser")
    record = score_result(60, [HOSTILE, *tensor_names(59)])
    results = [
        ("scores.json", record),
        ("fit.json", fit_result()),
        ("sweep.json", sweep_result()),
        ("compare.json", compare_result(5)),
        ("trajectory.json", trajectory_result()),
        ("bound.json", bound_result()),
    ]
    path = folder / "report.html"
    path.write_bytes(page_bytes(results))
    with browser(folder / "profile") as page:
        page.resize(1200)
        page.open(path)
        yield page


TABLE = "document.querySelectorAll('table')[2]"


def column(tab, index):
    script = f"JSON.stringify([...{TABLE}.tBodies[0].rows].map(r => r.cells[{index}].textContent))"
    return json.loads(tab.evaluate(script))


def test_the_browser_finds_no_fault_and_asks_for_nothing(tab):
    tab.evaluate("0")
    requests = [found["request"]["url"] for found in tab.of("Network.requestWillBeSent")]
    assert [url for url in requests if not url.startswith("data:")] == requests[:1]
    assert requests[0].startswith("file:")
    for what in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
        assert tab.of(what) == []
    assert tab.evaluate("document.querySelectorAll('script').length") == 1


def test_a_click_sorts_by_number_and_a_third_restores(tab):
    before = column(tab, 4)
    press = f"{TABLE}.tHead.rows[0].cells[4].querySelector('button').click()"
    state = f"{TABLE}.tHead.rows[0].cells[4].getAttribute('aria-sort')"
    numbers = [int(text.replace(",", "")) for text in before]
    tab.evaluate(press)
    assert tab.evaluate(state) == "ascending"
    assert [int(text.replace(",", "")) for text in column(tab, 4)] == sorted(numbers)
    tab.evaluate(press)
    assert tab.evaluate(state) == "descending"
    found = [int(text.replace(",", "")) for text in column(tab, 4)]
    assert found == sorted(numbers, reverse=True)
    tab.evaluate(press)
    assert tab.evaluate(state) == "none"
    assert column(tab, 4) == before


def test_a_filter_hides_rows_and_counts_the_others(tab):
    field = "document.querySelectorAll('input')[2]"
    write = "{0}.value = '{1}'; {0}.dispatchEvent(new Event('input'))"
    visible = f"[...{TABLE}.tBodies[0].rows].filter(r => r.offsetHeight).length"
    expected = sum("up_proj" in name for name in column(tab, 0))
    assert 0 < expected < 60
    tab.evaluate(write.format(field, "UP_PROJ  feed"))
    assert tab.evaluate(visible) == expected
    told = "document.getElementById('table-1-3-count').textContent"
    assert tab.evaluate(told) == f"{expected} of 60 rows"
    tab.evaluate(write.format(field, ""))
    assert tab.evaluate(visible) == 60
    assert tab.evaluate(told) == "60 rows"


def test_the_colours_follow_the_reader_and_the_button(tab):
    ground = "getComputedStyle(document.body).backgroundColor"
    axis = "getComputedStyle(document.querySelector('svg text')).fill"
    press = "document.getElementById('look').click()"
    tab.prefer("light")
    light = tab.evaluate(ground), tab.evaluate(axis)
    tab.prefer("dark")
    dark = tab.evaluate(ground), tab.evaluate(axis)
    assert light[0] == "rgb(255, 255, 255)"
    assert dark[0] != light[0]
    assert dark[1] != light[1]
    tab.evaluate(press)
    assert tab.evaluate(ground) == light[0]
    tab.evaluate(press)
    assert tab.evaluate(ground) == dark[0]
    tab.prefer("light")
    assert tab.evaluate(ground) == dark[0]
    tab.evaluate(press)
    assert tab.evaluate(ground) == light[0]


def test_nothing_is_wider_than_a_phone(tab):
    tab.resize(390, 844)
    # What scrolls in a frame of its own may be wider than the frame.
    wide = """JSON.stringify([...document.body.querySelectorAll('*')]
        .filter(e => !e.closest('.scroll > *, .drawing > *, svg > *, .skip'))
        .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
        .map(e => e.tagName + '.' + e.className))"""
    assert json.loads(tab.evaluate(wide)) == []
    assert tab.evaluate("document.documentElement.scrollWidth <= 390")
    sizes = """JSON.stringify([...document.querySelectorAll('svg')].flatMap(svg =>
        [...svg.querySelectorAll('text')].map(text =>
            parseFloat(getComputedStyle(text).fontSize) * svg.getScreenCTM().a)))"""
    assert min(json.loads(tab.evaluate(sizes))) >= 11
    tab.resize(1200)


def test_pointing_at_a_tensor_of_many_tells_its_name(tab, tmp_path):
    opened = tab.evaluate("location.pathname")
    path = tmp_path / "many.html"
    path.write_bytes(page_bytes([("scores.json", score_result(300))]))
    tab.open(path)
    told = json.loads(
        tab.evaluate("""(() => {
        const area = document.querySelector('[data-tips]');
        const box = area.getBoundingClientRect();
        return JSON.stringify([0, 7, 299].map(at => {
            const clientX = box.left + (at + 0.5) / 300 * box.width;
            area.dispatchEvent(new PointerEvent('pointermove', {clientX, clientY: box.top + 5}));
            return area.closest('figure').querySelector('.tip').textContent;
        }));
    })()""")
    )
    chart = next(pictures(score_result(300), ["bits"])).chart
    for at, text in zip((0, 7, 299), told, strict=True):
        bits = f"{chart['bits_per_weight'][at]:.4g}"
        assert text.startswith(f"{chart['tensor'][at]}: {bits} bits/weight")
    tab.open(Path(opened))


def test_a_printed_page_is_light_and_cuts_nothing_off(tab):
    tab.resize(720, 900)
    tab.print_view(True)
    assert tab.evaluate("document.documentElement.scrollWidth <= 720")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    sizes = "[...document.querySelectorAll('th, td, thead button')].map(e => getComputedStyle(e))"
    least = f"Math.min(...{sizes}.map(style => parseFloat(style.fontSize)))"
    assert tab.evaluate(least) >= 7 * 96 / 72 - 0.01
    assert tab.evaluate("document.querySelector('.scroll').scrollHeight") == tab.evaluate(
        "document.querySelector('.scroll').clientHeight"
    )
    tab.print_view(False)
    tab.resize(1200)


def test_what_can_be_pressed_can_be_reached_by_key(tab):
    reach = """JSON.stringify([...document.querySelectorAll(
        'a, button, input, .scroll, .drawing, pre')]
        .filter(e => e.tabIndex < 0).map(e => e.outerHTML))"""
    assert json.loads(tab.evaluate(reach)) == []


def test_the_page_of_a_fit_holds_its_motif_gain():
    gain = {"kind": "shuffle", "n": 2, "relative_mse": 0.21, "bits": [90.0, 110.0], "ratio": 0.75}
    (table,) = (
        t for t in page_tables(fit_result() | {"controls": [gain]}) if t.title == "Controls"
    )
    assert [column.name for column in table.columns] == ["kind", "n", "relative mse", "ratio"]
    assert table.rows == (("shuffle", "2", "0.2100", "0.7500"),)
