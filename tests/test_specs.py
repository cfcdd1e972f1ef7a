"""The grammar of specs: one canonical text for each definition, and errors that say what to do."""

from __future__ import annotations

import string
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcomplexity.errors import SpecError
from kcomplexity.estimators import ESTIMATORS, Estimator
from kcomplexity.scoring.panels import PANELS, panel
from kcomplexity.scoring.specs import Spec, parameters, parse_spec, parse_specs
from kcomplexity.views import VIEWS, View

# --- canonical text --------------------------------------------------------------------------

CANONICAL = {
    "zstd": "zstd@bytes",
    "ZSTD:3@bytes/planes": "zstd@bytes/planes",
    " zstd:19@bytes/planes ": "zstd:19@bytes/planes",
    "zstd:level=19@bytes": "zstd:19@bytes",
    "zstd:frame=0:level=19@bytes": "zstd:19:frame=0@bytes",
    "zstd:frame=4194304": "zstd@bytes",
    "gzip:9@bytes": "gzip@bytes",
    "gzip:09@bytes": "gzip@bytes",
    "entropy": "entropy@q8",
    "entropy:plug-in": "entropy@q8",
    "entropy:form=two-part@rd0.010": "entropy:two-part@rd0.01",
    "entropy@rd1e-2": "entropy@rd0.01",
    "entropy@rd1.0e-5": "entropy@rd1e-05",
    "entropy@rd:error=0.01": "entropy@rd0.01",
    "entropy@q:8": "entropy@q8",
    "entropy@q8:clip=100.0": "entropy@q8:clip=100",
    "zstd@q8:clip=99.90/bits": "zstd@q8:clip=99.9/bits",
    "block-entropy:2@q4": "block-entropy@q4",
    "block-entropy:size=3": "block-entropy:3@q4",
    "nonzero": "nonzero",
    "L2": "l2",
    "entropy@l4": "entropy@l4",
    "bdm2d:tile=512@q8:clip=99.9/bits": "bdm2d:tile=512@q8:clip=99.9/bits",
}


@pytest.mark.parametrize(("given", "expected"), CANONICAL.items(), ids=list(CANONICAL))
def test_a_spec_has_one_canonical_text(given, expected):
    spec = parse_spec(given)
    assert str(spec) == expected
    assert parse_spec(expected) == spec
    assert spec.view_text == (expected.partition("@")[2] or None)


FRAMES = st.sampled_from([0, 1 << 16, 1 << 22, 3 << 16])
#: Values of each parameter, by name; the first may be written without its own.
ESTIMATOR_VALUES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "gzip": {"level": st.integers(1, 9), "frame": FRAMES},
    "igzip": {"level": st.integers(1, 3), "frame": FRAMES},
    "zstd": {"level": st.integers(1, 22), "frame": FRAMES},
    "brotli": {"level": st.integers(0, 11), "frame": FRAMES},
    "bz2": {"level": st.integers(1, 9), "frame": FRAMES},
    "xz": {"level": st.integers(0, 9), "frame": FRAMES},
    "entropy": {"form": st.sampled_from(["plug-in", "two-part"])},
    "block-entropy": {"size": st.integers(2, 32)},
    "bdm1d": {},
    "lz76": {},
}
VIEW_VALUES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "bytes": {},
    "words": {},
    "f32": {},
    "sign": {},
    "sign-byte": {},
    "q": {"bits": st.integers(2, 16), "clip": st.floats(0.001, 100) | st.just(99.9)},
    "l": {"levels": st.integers(2, 65536)},
    "rd": {"error": st.floats(1e-9, 0.999999)},
}


@st.composite
def things(
    draw: st.DrawFn, table: dict[str, dict[str, st.SearchStrategy[Any]]], glued: tuple[str, ...]
) -> tuple[str, str, dict[str, Any]]:
    """A text of an estimator or view, its name, and the parameters that the text sets."""
    name = draw(st.sampled_from(list(table)))
    values = {
        key: draw(choice)
        for position, (key, choice) in enumerate(table[name].items())
        if draw(st.booleans()) or (position == 0 and name in glued)
    }
    text, named = name, []
    for key, value in values.items():
        if key != next(iter(table[name])):
            named.append(f"{key}={value}")
        elif name in glued:
            text += str(value)
        elif draw(st.booleans()):
            text += f":{value}"
        else:
            named.append(f"{key}={value}")
    return ":".join([text, *draw(st.permutations(named))]), name, values


@settings(max_examples=300, deadline=None)
@given(things(ESTIMATOR_VALUES, ()), things(VIEW_VALUES, ("q", "l", "rd")), st.data())
def test_canonical_text_reads_back_as_the_same_spec(estimator, view, data):
    (left, name, given_values), (right, view_name, view_values) = estimator, view
    split = data.draw(st.sampled_from([None, *VIEWS[view_name].splits]))
    built = ESTIMATORS[name](**given_values)
    seen = VIEWS[view_name](**view_values, split=split)
    text = f"{left}@{right}" + (f"/{split}" if split else "")
    if data.draw(st.booleans()):
        text = text.upper()
    spec = parse_spec(text)
    assert spec == Spec(built, seen)
    canonical = str(spec)
    assert canonical == canonical.lower()
    assert parse_spec(canonical) == spec
    assert str(parse_spec(canonical)) == canonical


@given(st.floats(1e-9, 0.999), st.floats(1e-9, 0.999))
def test_equal_text_means_an_equal_definition(a, b):
    texts = [str(parse_spec(f"entropy@rd{error!r}")) for error in (a, b)]
    assert (texts[0] == texts[1]) == (a == b)


@given(st.text(alphabet=string.ascii_lowercase + string.digits + ":=@/.-+ ", max_size=25))
def test_any_text_is_a_spec_or_a_spec_error(text):
    try:
        spec = parse_spec(text)
    except SpecError as error:
        message = str(error)
    else:
        message = "fine"
        assert parse_spec(str(spec)) == spec
    assert message
    assert "\n" not in message


def test_specs_are_taken_once_in_their_order():
    specs = parse_specs(["l2", "zstd:3", "gzip", "zstd@bytes", "L2"])
    assert [str(spec) for spec in specs] == ["l2", "zstd@bytes", "gzip@bytes"]


# --- errors ----------------------------------------------------------------------------------

REFUSED = {
    "no estimator": ("", "unknown estimator ''"),
    "an unknown estimator": (
        "zstandard@bytes",
        "unknown estimator 'zstandard': did you mean zstd?",
    ),
    "an estimator like no other": ("qqqqq", "unknown estimator 'qqqqq': known: gzip, igzip"),
    "a level glued to an estimator": (
        "zstd19@bytes",
        "unknown estimator 'zstd19': did you mean zstd",
    ),
    "an unknown view": ("entropy@wrods", "unknown view 'wrods': did you mean words or codes?"),
    "two views": ("entropy@q8@q4", "unknown view 'q8@q4'"),
    "no view after @": ("entropy@", "a view is missing after @; known: bytes, words"),
    "a view where none is looked through": (
        "l2@q8",
        "l2 sees the weights themselves; leave out @q8",
    ),
    "an unknown split": ("zstd@q8/planes", "q8 has no split 'planes'; its splits: bits"),
    "a split of a view without": ("zstd@sign/bits", "sign has no split 'bits'; its splits: none"),
    "an empty split": ("zstd@bytes/", "bytes has no split ''; its splits: planes, fields, bits"),
    "a view without its number": ("zstd@q", "q needs a value for bits right after it, as in q8"),
    "another view without it": ("entropy@rd", "rd needs a value for error right after it"),
    "an unknown parameter": (
        "zstd:speed=3",
        "'speed' is no parameter of zstd: its parameters: level",
    ),
    "a parameter given twice": ("zstd:3:level=4", "'level' is given twice of zstd"),
    "a second bare value": ("zstd:3:4", "'4' needs a name: its parameters: level, frame"),
    "a value where none is taken": ("nonzero:3", "'3' needs a name: its parameters: none"),
    "a word for a number": ("zstd:fast", "level='fast' is not a whole number"),
    "a fraction for a whole number": ("entropy@q8.5", "bits='8.5' is not a whole number"),
    "no number": ("entropy@q8:clip=x", "clip='x' is not a number"),
    "an empty value": ("zstd:", "level='' is not a whole number"),
    "a level out of range": ("zstd:23", "zstd:23: expected a level from 1 to 22"),
    "an unknown form": ("entropy:exact", "entropy:exact: expected plug-in"),
    "a frame that is none": ("zstd:frame=3", "frame=3: expected 0 (one stream) or a multiple of"),
    "an error that is none": ("entropy@rd1", "rd1: expected a relative error from 1e-9 to 1"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=list(REFUSED))
def test_a_spec_is_refused_when_it_has(text, message):
    with pytest.raises(SpecError) as refusal:
        parse_spec(text)
    assert message in str(refusal.value)


# --- panels ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(PANELS))
def test_a_panel_holds_canonical_specs_each_once(name):
    chosen = panel(name)
    assert chosen.name == name
    assert chosen.summary
    assert [str(spec) for spec in parse_specs(chosen.specs)] == list(chosen.specs)
    assert set(chosen.controls) <= set(chosen.specs)


def test_the_panels_of_the_grammar_are_there():
    assert set(PANELS) >= {"fast", "default", "lossless", "momos", "qubd", "all"}
    assert set(panel("all").specs) >= {*panel("default").specs, *panel("lossless").specs}


def test_an_unknown_panel_is_refused_with_those_there_are():
    with pytest.raises(SpecError, match="unknown panel 'quick': expected one of fast, default"):
        panel("quick")


# --- what is registered ----------------------------------------------------------------------


@pytest.mark.parametrize("cls", [*ESTIMATORS.values(), *VIEWS.values()])
def test_the_parameters_of_what_is_registered_can_be_written(cls):
    assert cls.__dataclass_params__.frozen
    assert issubclass(cls, View | Estimator)
    for field in fields(cls):
        assert field.name == field.name.lower()
    first = parameters(cls)[:1]
    assert all(f.name != "split" for f in first)
