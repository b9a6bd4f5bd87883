"""Compiles what strings are allowed, a pattern or a lexicon, to an automaton over the characters of an alphabet.

A pattern is a regular expression of these parts: characters, `.` (any character), `[0-9a-f]` and `[^x]`, `\\d` (a
digit), `\\` before a character that has another meaning, groups `( )`, alternatives `|`, and the repetitions `*`, `+`,
`?`, `{4}`, `{1,3}` and `{2,}`. It matches whole strings. States are the derivatives of the expression (Brzozowski,
Derivatives of Regular Expressions, 1964), so nothing is evaluated or backtracked.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

MAX_STATES = {"lexicon": 200_000, "pattern": 10_000}
MAX_PATTERN = 200  # characters
MAX_COUNT = 1000  # of a repetition
_MAX_PARTS = 1_000_000  # of all derivatives together, which bounds the time


class Automaton(NamedTuple):
    """A deterministic automaton that accepts the allowed strings; state 0 is the start.

    Attributes:
      transitions: state after each character, `[S, K]` int32; -1 if no allowed string continues so.
      steps: number of characters from each state to the end of the nearest allowed string, `[S]` int32.
    """

    transitions: np.ndarray
    steps: np.ndarray


@functools.lru_cache(maxsize=8)
def automaton(alphabet: tuple[str, ...], *, pattern: str | None = None, lexicon: tuple[str, ...] = ()) -> Automaton:
    """Compiles a pattern, a lexicon, or the words of a lexicon that match a pattern.

    Args:
      alphabet: the characters, in order.
      pattern: regular expression of whole strings, in the syntax of this module.
      lexicon: allowed strings.

    Raises:
      ValueError: the pattern is no such expression, a word has a character outside the alphabet, no string is allowed,
        or the automaton has more states than `MAX_STATES`.

    >>> automaton(tuple("0123456789"), pattern="19[0-9]{2}").steps.tolist()
    [4, 3, 2, 1, 0]
    """
    if wrong := [name for name in alphabet if len(name) != 1]:
        raise ValueError(f"a pattern or lexicon needs an alphabet of single characters, found {wrong[0]!r}")
    by_pattern = None if pattern is None else _trimmed(*_of_pattern(pattern, alphabet), f"pattern {pattern!r}")
    if not lexicon:
        return by_pattern
    words = lexicon
    number = {character: i for i, character in enumerate(alphabet)}
    for word in words:
        if unknown := [character for character in word if character not in number]:
            raise ValueError(
                f"the word {word!r} of the lexicon has {unknown[0]!r}, which is not in the alphabet "
                f"{''.join(alphabet)!r}; remove the word"
            )
    coded = [[number[character] for character in word] for word in words]
    if by_pattern is not None:
        coded = [word for word in coded if accepts(by_pattern, word)]
    return _trimmed(*_trie(coded, len(alphabet)), "lexicon" if pattern is None else f"lexicon and pattern {pattern!r}")


def accepts(allowed: Automaton, text: Iterable[int]) -> bool:
    """Returns whether a string of character indices is allowed."""
    state = 0
    for character in text:
        state = int(allowed.transitions[state, character])
        if state < 0:
            return False
    return bool(allowed.steps[state] == 0)


def _trie(words: Iterable[Sequence[int]], k: int) -> tuple[list[list[int]], list[bool]]:
    """Returns transitions and ends of the tree of words."""
    table, ends = [[-1] * k], [False]
    for word in words:
        state = 0
        for character in word:
            if table[state][character] < 0:
                _check_states(len(table), "lexicon", "the lexicon")
                table[state][character] = len(table)
                table.append([-1] * k)
                ends.append(False)
            state = table[state][character]
        ends[state] = True
    return table, ends


def _of_pattern(pattern: str, alphabet: Sequence[str]) -> tuple[list[list[int]], list[bool]]:
    """Returns transitions and ends of a pattern: one state for each derivative."""
    first = _Parser(pattern, alphabet).parse()
    number, table, queue, parts = {first: 0}, [], deque([first]), 0
    while queue:
        node, row = queue.popleft(), []
        for character in alphabet:
            after = _derive(node, character)
            parts += _size(after)
            if parts > _MAX_PARTS:
                raise ValueError(f"the pattern {pattern!r} is too complex; write fewer nested repetitions")
            if after == _NOTHING:
                row.append(-1)
                continue
            if after not in number:
                _check_states(len(number), "pattern", f"the pattern {pattern!r}")
                number[after] = len(number)
                queue.append(after)
            row.append(number[after])
        table.append(row)
    return table, [_can_end(node) for node in number]


def _trimmed(table: list[list[int]], ends: list[bool], name: str) -> Automaton:
    """Removes the states from which no allowed string ends, and counts the steps to the nearest end."""
    transitions = np.asarray(table, np.int32)
    before: list[list[int]] = [[] for _ in table]
    for state, after in np.argwhere(transitions >= 0).tolist():
        before[transitions[state, after]].append(state)
    steps = np.full(len(table), -1, np.int32)
    queue = deque(state for state, end in enumerate(ends) if end)
    steps[list(queue)] = 0
    while queue:
        state = queue.popleft()
        for earlier in before[state]:
            if steps[earlier] < 0:
                steps[earlier] = steps[state] + 1
                queue.append(earlier)
    if steps[0] < 0:
        raise ValueError(f"the {name} allows no string of the alphabet; check its characters")
    dead = (transitions >= 0) & (steps[np.maximum(transitions, 0)] < 0)
    transitions[dead] = -1
    return Automaton(transitions, np.maximum(steps, 0))


def _check_states(states: int, kind: str, name: str) -> None:
    if states >= MAX_STATES[kind]:
        raise ValueError(f"{name} needs more than {MAX_STATES[kind]:,} states; make it shorter")


# An expression is a tuple: ("chars", set), ("then", first, rest), ("either", set of expressions) or
# ("repeat", expression, least, most or None).
_NOTHING = ("chars", frozenset())
_EMPTY = ("repeat", _NOTHING, 0, 0)


def _then(first: tuple, rest: tuple) -> tuple:
    if _NOTHING in (first, rest):
        return _NOTHING
    if first == _EMPTY:
        return rest
    return first if rest == _EMPTY else ("then", first, rest)


def _either(parts: Iterable[tuple]) -> tuple:
    flat = set()
    for part in parts:
        flat |= part[1] if part[0] == "either" else {part}
    flat.discard(_NOTHING)
    if not flat:
        return _NOTHING
    return flat.pop() if len(flat) == 1 else ("either", frozenset(flat))


def _repeat(part: tuple, least: int, most: int | None) -> tuple:
    if most == 0 or part == _EMPTY or (part == _NOTHING and least == 0):
        return _EMPTY
    return part if (least, most) == (1, 1) else ("repeat", part, least, most)


@functools.lru_cache(maxsize=100_000)
def _can_end(node: tuple) -> bool:
    """Returns whether an expression matches the empty string."""
    match node:
        case ("chars", _):
            return False
        case ("then", first, rest):
            return _can_end(first) and _can_end(rest)
        case ("either", parts):
            return any(map(_can_end, parts))
    _, part, least, _ = node
    return least == 0 or _can_end(part)


def _derive(node: tuple, character: str) -> tuple:
    """Returns the expression of what may follow a character."""
    match node:
        case ("chars", characters):
            return _EMPTY if character in characters else _NOTHING
        case ("then", first, rest):
            after = _then(_derive(first, character), rest)
            return _either([after, _derive(rest, character)]) if _can_end(first) else after
        case ("either", parts):
            return _either(_derive(part, character) for part in parts)
    _, part, least, most = node
    left = None if most is None else most - 1
    if left is not None and left < 0:
        return _NOTHING
    return _then(_derive(part, character), _repeat(part, max(least - 1, 0), left))


def _size(node: tuple) -> int:
    match node:
        case ("then", first, rest):
            return 1 + _size(first) + _size(rest)
        case ("either", parts):
            return 1 + sum(map(_size, parts))
        case ("repeat", part, _, _):
            return 1 + _size(part)
    return 1


class _Parser:
    """Reads a pattern from left to right; its position is the only state."""

    def __init__(self, pattern: str, alphabet: Sequence[str]):
        if len(pattern) > MAX_PATTERN:
            raise ValueError(f"a pattern has at most {MAX_PATTERN:,} characters, found {len(pattern):,}")
        self.pattern, self.place, self.alphabet, self.depth = pattern, 0, frozenset(alphabet), 0

    def parse(self) -> tuple:
        node = self._alternatives()
        if self.place < len(self.pattern):
            raise self._error("a ')' without its '('")
        return node

    def _error(self, what: str) -> ValueError:
        return ValueError(
            f"the pattern {self.pattern!r} has {what} at character {self.place + 1}; it may have characters, ., [...], "
            "\\d, (...), |, *, +, ?, {m} and {m,n}"
        )

    def _peek(self) -> str:
        return self.pattern[self.place : self.place + 1]

    def _take(self) -> str:
        if not (character := self._peek()):
            raise self._error("its end too early")
        self.place += 1
        return character

    def _alternatives(self) -> tuple:
        parts = [self._sequence()]
        while self._peek() == "|":
            self.place += 1
            parts.append(self._sequence())
        return _either(parts)

    def _sequence(self) -> tuple:
        parts = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated())
        return functools.reduce(lambda rest, part: _then(part, rest), reversed(parts), _EMPTY)

    def _repeated(self) -> tuple:
        node = self._atom()
        while (sign := self._peek()) and sign in "*+?{":
            self.place += 1
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(sign) or self._counts()
            node = _repeat(node, least, most)
        return node

    def _counts(self) -> tuple[int, int | None]:
        """Reads the counts of a repetition after its brace."""
        text = ""
        while (character := self._take()) != "}":
            text += character
        low, comma, high = text.partition(",")
        if not low.isdecimal() or (high and not high.isdecimal()):
            raise self._error(f"counts {{{text}}} that are no numbers")
        least = int(low)
        most = (int(high) if high else None) if comma else least
        if max(least, most or 0) > MAX_COUNT or (most is not None and most < least):
            raise self._error(f"counts {{{text}}} out of order or above {MAX_COUNT:,}")
        return least, most

    def _atom(self) -> tuple:
        character = self._take()
        if character == "(":
            self.depth += 1
            if self.depth > 50:
                raise self._error("more than 50 nested groups")
            node = self._alternatives()
            if self._peek() != ")":
                raise self._error("a '(' without its ')'")
            self.place += 1
            self.depth -= 1
            return node
        if character == "[":
            return ("chars", self._set())
        if character == ".":
            return ("chars", self.alphabet)
        if character in "*+?{":
            raise self._error(f"a {character!r} that repeats nothing")
        return ("chars", self._escaped() if character == "\\" else frozenset(character))

    def _escaped(self) -> frozenset[str]:
        character = self._take()
        if character == "d":
            return frozenset("0123456789")
        if character.isalnum():
            raise self._error(f"\\{character}, which is not known")
        return frozenset(character)

    def _set(self) -> frozenset[str]:
        """Reads a set of characters after its bracket."""
        inverted = self._peek() == "^"
        self.place += inverted
        chosen: set[str] = set()
        while (character := self._take()) != "]":
            one = self._escaped() if character == "\\" else frozenset(character)
            if self._peek() == "-" and self.pattern[self.place + 1 : self.place + 2] not in ("", "]") and len(one) == 1:
                self.place += 1
                last = self._take()
                if last < character:
                    raise self._error(f"a range {character}-{last} out of order")
                one = frozenset(each for each in self.alphabet if character <= each <= last)
            chosen |= one
        return self.alphabet - chosen if inverted else frozenset(chosen)
