import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.board.format import (
    decimal,
    estimate,
    fitting,
    interval,
    plural,
    printable,
    sentence,
    shortened,
    significant,
)
from bench.metrics.results import Estimate
from bench.publish.exports import bibtex
from bench.publish.templates import code_spans, environment, http_only, site_sources
from tests.publish.boards import HOSTILE, loaded_board


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.8415, "0.842"), (-0.36, "−0.360"), (-0.0001, "0.000"), (None, "n/a"), (1.0, "1.000")],
)
def test_decimals(value, words):
    assert decimal(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (5.8679, "5.87"),
        (31.04, "31.0"),
        (1234.6, "1,230"),
        (0.012345, "0.0123"),
        (0.27, "0.270"),
        (999.96, "1,000"),
        (0.99999, "1.00"),
        (0, "0"),
        (None, "n/a"),
    ],
)
def test_significant_digits(value, words):
    assert significant(value) == words


@given(st.floats(1e-6, 1e9))
def test_significant_digits_keep_the_value(value):
    assert float(significant(value).replace(",", "")) == pytest.approx(value, rel=0.006)


def test_intervals_and_estimates():
    assert interval(0.7, 0.8) == "0.700–0.800"
    assert interval(-0.1, 0.1) == "−0.100 to 0.100"
    assert interval(None, 0.1) == ""
    assert estimate(Estimate(value=0.8, low=0.7, high=0.9)) == "0.800 (0.700–0.900)"
    assert estimate(Estimate(value=None, reason="x")) == "n/a"
    assert estimate(Estimate(value=0.5)) == "0.500"


def test_words():
    assert plural(1, "entry", "entries") == "1 entry"
    assert plural(1200, "bin") == "1,200 bins"
    assert sentence("one class only") == "One class only."
    assert sentence("p99 needs 368 runs.") == "p99 needs 368 runs."
    assert sentence("") == ""
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"
    assert printable("a\x00b\u202e") == "a\ufffdb\ufffd"


def test_links_lead_to_http_only():
    assert http_only("https://example.org") == "https://example.org"
    for link in ("javascript:alert(1)", "data:text/html,x", "//example.org", " https://x", "HTTPS://x"):
        assert http_only(link) == ""


def test_code_spans_are_escaped():
    assert code_spans("run `bench <x>` & see") == "run <code>bench &lt;x&gt;</code> &amp; see"


def test_templates_escape_and_refuse_unknown_names():
    import jinja2

    env = environment(site_sources())
    assert env.from_string("{{ x }}").render(x="<b>\x00") == "&lt;b&gt;\ufffd"
    with pytest.raises(jinja2.UndefinedError):
        env.from_string("{{ y }}").render()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ResNet-50", "ResNet-50"),
        ("a" * 20, "a" * 20),
        ("a" * 21, "a" * 19 + "…"),
        ("W" * 20, "W" * 11 + "…"),
        ("模" * 20, "模" * 9 + "…"),
        ("نموذج الأشعة", "نموذج الأشعة"),
        ("", ""),
    ],
)
def test_a_label_is_cut_by_its_width_and_not_by_its_letters(text, shown):
    assert fitting(text, 20) == shown


def test_bibtex_fields_cannot_be_left():
    board = loaded_board(10, names=HOSTILE)
    for entry in board.entries.values():
        lines = bibtex(entry, board.spec).splitlines()
        assert lines[0] == f"@misc{{demo-{entry.slug},"
        assert len(lines) == 7
        for line in lines[1:6]:
            plain = line.replace("\\{", "").replace("\\}", "").replace("{}", "")
            assert plain.count("{") == plain.count("}") == 1
