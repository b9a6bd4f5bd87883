"""Text of others is quoted for a terminal, a CSV file and a Markdown page."""

import csv
import io

import pytest

from cnnlab.quoting import for_csv, for_markdown, for_terminal


@pytest.mark.parametrize("letter", ["\x00", "\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\u2028", "\udc80", "\ufeff"])
def test_characters_that_a_terminal_obeys_become_escapes(letter):
    quoted = for_terminal(f"a{letter}b")
    assert letter not in quoted
    assert quoted.isascii()
    assert (quoted[0], quoted[1], quoted[-1]) == ("a", "\\", "b")


def test_ordinary_letters_of_any_script_stay():
    assert for_terminal("Häuser 家 \N{GRINNING FACE} 1|2 [red]") == "Häuser 家 \N{GRINNING FACE} 1|2 [red]"


@pytest.mark.parametrize("cell", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_cell_that_begins_like_a_formula_begins_with_an_apostrophe(cell):
    out = io.StringIO()
    csv.writer(out).writerow([for_csv(cell)])
    assert next(csv.reader(io.StringIO(out.getvalue())))[0].startswith("'")


@pytest.mark.parametrize("cell", ["-1.5", "+2e3", "-inf", 3, None, -0.5])
def test_numbers_stay_numbers(cell):
    assert for_csv(cell) == cell


def test_markdown_keeps_no_html_no_markup_and_no_new_line():
    quoted = for_markdown("<b>*x*|`y`\n[z](u)")
    assert quoted == "&lt;b&gt;\\*x\\*\\|\\`y\\`\\\\n\\[z\\](u)"
