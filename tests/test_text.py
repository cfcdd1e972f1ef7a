"""Names out of files are printed without what a terminal would act on."""

import pytest

from kcomplexity.text import printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param("layers.0.weight", "layers.0.weight", id="plain"),
        pytest.param("a\nb\r\tc", r"a\nb\r\tc", id="newlines"),
        pytest.param("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m", id="terminal codes"),
        pytest.param("\x9b31m\x00\x7f", r"\x9b31m\x00\x7f", id="eight-bit controls"),
        pytest.param("a\u202eb\u2028", r"a\u202eb\u2028", id="direction marks"),
        pytest.param("\ud800", r"\ud800", id="lone surrogate"),
        pytest.param("größe 权重", "größe 权重", id="other scripts"),
    ],
)
def test_what_cannot_be_seen_is_escaped(name, shown):
    assert printable(name) == shown
