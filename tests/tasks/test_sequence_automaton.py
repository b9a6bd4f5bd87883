import contextlib
import itertools
import re

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from cnnlab.tasks.sequence_automaton import accepts, automaton

ALPHABET = tuple("012ab-")
PATTERNS = [
    *("[0-2]{4}", "(a|b)*-", "1?2+", "(01|10){2,3}", ".*a.{2}", "[^ab]{0,2}", "\\d{1,3}(-\\d)?", "a||b", "(a*)*b"),
    *("((a|b){2}){2}", "(a?){3}", "[0-1-]+", "(a?b?){2}", "", "\\-+", "[a\\-]{2,}", "(0(1(2)?)?)?"),
]


def coded(text):
    return [ALPHABET.index(character) for character in text]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_an_automaton_accepts_what_pythons_re_matches(pattern):
    allowed = automaton(ALPHABET, pattern=pattern)
    for n in range(5):
        for word in map("".join, itertools.product(ALPHABET, repeat=n)):
            assert accepts(allowed, coded(word)) == bool(re.fullmatch(pattern, word)), word


def test_the_steps_are_the_characters_that_are_missing():
    allowed = automaton(ALPHABET, pattern="a(b|012)")
    a = allowed.transitions[0, ALPHABET.index("a")]
    zero = allowed.transitions[a, ALPHABET.index("0")]
    assert allowed.steps[[0, a, zero]].tolist() == [2, 1, 2]


def test_no_character_leads_to_where_no_string_ends():
    allowed = automaton(ALPHABET, pattern="ab|ax")  # x is not in the alphabet
    assert (allowed.transitions >= 0).sum() == 2


def test_a_lexicon_accepts_its_words_and_with_a_pattern_those_that_match():
    words = ("a1", "b2", "ab", "ab0")
    allowed = automaton(ALPHABET, lexicon=words)
    assert all(accepts(allowed, coded(word)) for word in words)
    assert not any(accepts(allowed, coded(word)) for word in ("", "a", "b", "a12"))
    matching = automaton(ALPHABET, lexicon=words, pattern="a.*")
    assert [accepts(matching, coded(word)) for word in words] == [True, False, True, True]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(a", "a '\\(' without its '\\)' at character 3"),
        ("a)", "a '\\)' without its '\\('"),
        ("[a", "its end too early"),
        ("*a", "that repeats nothing"),
        ("a{2,1}", "out of order"),
        ("a{x}", "no numbers"),
        ("a{2000}", "above 1,000"),
        ("\\w", "not known"),
        ("[b-a]", "out of order"),
        ("x", "allows no string of the alphabet"),
        ("a" * 201, "at most 200 characters"),
        ("(" * 60 + ")" * 60, "more than 50 nested groups"),
        ("(a|b)*a(a|b){20}", "states|complex"),
        ("(((a*b*)*0*)*1*)*" * 5 + "((a?){900}b){900}", "states|complex"),
    ],
)
def test_what_is_no_pattern_or_too_large_is_refused(pattern, message):
    with pytest.raises(ValueError, match=message):
        automaton(ALPHABET, pattern=pattern)


def test_a_word_outside_the_alphabet_is_named():
    with pytest.raises(ValueError, match="the word '1x' of the lexicon has 'x'"):
        automaton(ALPHABET, lexicon=("1", "1x"))


def test_an_alphabet_needs_single_characters():
    with pytest.raises(ValueError, match="single characters, found 'ab'"):
        automaton(("ab", "c"), pattern="c")


def test_a_large_lexicon_is_compiled_whole():
    words = tuple(map(str, range(10_000, 20_000)))
    allowed = automaton(tuple("0123456789"), lexicon=words)
    assert len(allowed.steps) == 1 + 1 + 10 + 100 + 1000 + 10_000
    assert np.bincount(allowed.steps).tolist() == [10_000, 1000, 100, 10, 1, 1]


@hypothesis.given(strategies.text(alphabet="ab01()[]{}|*+?,-^\\.d", max_size=24))
@hypothesis.settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_any_text_is_a_pattern_or_refused_by_a_value_error(text):
    with contextlib.suppress(ValueError):
        allowed = automaton(ALPHABET, pattern=text)
        assert allowed.steps[0] >= 0
