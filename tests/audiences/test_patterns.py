"""Patterns mean the same on every engine, or are refused with the place where they would not."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiences import RuleError
from audiences.patterns import is_found, portable

Ask = Callable[[str, str], bool]

WRITTEN = [
    ("abc", "abc"),
    (".", r"[^\n]"),
    ("a(b)c(?:d)", "abcd"),
    ("a(b|c)d", "a(?:b|c)d"),
    ("(ab)+", "(?:ab)+"),
    ("(a{2}){3}", "(?:a{2}){3}"),
    (r"\d\w\s", r"[0-9][0-9A-Z_a-z][\t-\r ]"),
    (r"\D[\W\d]", r"[^0-9][^A-Z_a-z]"),
    (r"[\s\S]", r"(?:[^\n]|\n)"),
    (r"[^\D]", "[0-9]"),
    ("[c-aa-]".replace("c-a", "a-c"), r"[\-a-c]"),
    (r"[]^]".replace("[]", r"[\]"), r"[\]\^]"),
    ("a\tb\n", r"a\tb\n"),
    (r"\.\-\@", r"\.-@"),
    ("^a$", "^a$"),
    ("a{3}b{2,}c{0,1}d{1}", "a{3}b{2,}c?d"),
    ("(ab){256}", "(?:ab){255}ab"),
    ("(ab){1}", "ab"),
    ("(a{1})*", "a*"),
    ("a{1000}", "(?:a{255}){3}a{235}"),
    ("a{300,}", "a{255}a{45}a*"),
    ("a{256,600}", "a{255}aa{0,255}a{0,89}"),
    ("é[à-ü]", "é[à-ü]"),
]


@pytest.mark.parametrize(("pattern", "text"), WRITTEN, ids=[pattern for pattern, _ in WRITTEN])
def test_a_pattern_is_written_in_the_language_that_engines_share(pattern: str, text: str) -> None:
    """And what is written so stays as it is."""
    assert portable(pattern, "x") == text
    assert portable(text, "x") == text


REFUSED = [
    ("", "an empty pattern", None),
    ("a*?", "a lazy repetition", 3),
    ("a{2}?", "a lazy repetition", 5),
    ("a++", "a possessive repetition", 3),
    ("a**", "a repetition of a repetition", 3),
    ("(?=a)", "looking ahead", 1),
    ("a(?!b)", "looking ahead", 2),
    ("(?<=a)b", "looking back", 1),
    ("(?<!a)b", "looking back", 1),
    ("(?P<n>a)", "a named group", 1),
    ("(?<n>a)", "a named group", 1),
    ("(?>a)", "an atomic group", 1),
    ("(?#a)", "a comment", 1),
    ("(?i)a", "flags", 1),
    ("(?i:a)", "flags", 1),
    (r"(a)\1", "a reference to a group", 4),
    (r"\bword", "a word boundary", 1),
    (r"\Aa", "write ^", 1),
    (r"a\Z", "write $", 2),
    (r"\p{L}", "a class of Unicode", 1),
    (r"\x41", "write the character itself", 1),
    (r"\é", "means nothing here", 1),
    ("a\\", r"a \ at its end", 2),
    ("*a", "nothing before it to repeat", 1),
    ("a|*b", "nothing before it to repeat", 3),
    ("^*", "a repetition of ^ or $", 2),
    ("(^)+", "a repetition of ^ or $", 4),
    ("a||b", "nothing in it", 3),
    ("a|", "nothing in it", 3),
    ("()", "nothing in it", 2),
    ("(a", "a ( without its )", 1),
    ("a)", "a ) without its (", 2),
    ("[a", "a [ without its ]", 1),
    ("[]", "an empty [ ]", 1),
    ("[^]", "an empty [ ]", 1),
    (r"[^\s\S]", "no character is in", 1),
    ("[b-a]", "ends before it starts", 3),
    (r"[a-\d]", "starts or ends with a class", 3),
    ("[[:alpha:]]", "a named class", 2),
    ("a{", "no {m}", 2),
    ("a{,3}", "no {m}", 2),
    ("{2}", "a { that repeats nothing", 1),
    ("a{3,2}", "ends before it starts", 2),
    ("a{1001}", "more than 1,000 repetitions", 2),
    ("(a{100}){11}", "more than 1,000 repetitions", 9),
    ("(" * 60 + "a" + ")" * 60, "groups inside each other", 52),
]


@pytest.mark.parametrize(("pattern", "what", "at"), REFUSED, ids=[pattern[:12] for pattern, _, _ in REFUSED])
def test_what_engines_see_differently_is_refused_with_its_place(
    pattern: str, what: str, at: int | None
) -> None:
    """The character counts from 1."""
    with pytest.raises(RuleError, match=re.escape(what)) as caught:
        portable(pattern, "trait('a').matches(…)")
    assert at is None or f"(at character {at})" in str(caught.value)


def test_a_pattern_that_grows_too_large_is_refused() -> None:
    """Engines would refuse it themselves, or spend long on it."""
    with pytest.raises(RuleError, match=r"grows to 6,000 characters"):
        portable(".{1000}" * 6, "x")
    with pytest.raises(RuleError, match="NUL"):
        portable("\0", "x")


def test_the_end_is_the_end_of_the_text() -> None:
    """Also before a last line feed, where Python's own `$` sees an end."""
    assert is_found("a$", "a")
    assert not is_found("a$", "a\n")
    assert is_found(r"[$]\$$", "$$")
    assert not is_found("^b", "a\nb")


# --------------------------------------------------------------------------------------- against the engines

_SIGNS = st.sampled_from([*"ab1_ é.", "\n", *r"\. \n \$ \d \W \s \S".split()])
_MEMBERS = st.sampled_from([*"ab1_ é&~|[.$", *r"\n a-b 0-9 à-ü \d \D \w \W \s \S \] \^ \\".split()])
_CLASSES = st.builds(
    lambda negated, members: f"[{negated}{''.join(members)}]",
    st.sampled_from(["", "^"]),
    st.lists(_MEMBERS, min_size=1, max_size=3),
)
_TIMES = st.sampled_from(["", "", *"* + ? {2} {1,2} {0,3} {2,} {0} {1}".split()])


def _branches(atoms: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeated = st.builds(lambda atom, times: atom + times, atoms, _TIMES) | st.sampled_from("^$")
    branch = st.lists(repeated, min_size=1, max_size=3).map("".join)
    return st.lists(branch, min_size=1, max_size=2).map("|".join)


PATTERNS = st.recursive(
    _branches(_SIGNS | _CLASSES),
    lambda inner: _branches(_SIGNS | _CLASSES | inner.map(lambda text: f"({text})")),
    max_leaves=3,
)
TEXTS = st.lists(st.text("ab1_ \n\té-.]^$\\", max_size=6), min_size=1, max_size=6)
# Python would try every way to share a text among hundreds of optional repetitions, so long ones stand alone
LONG = st.builds(
    lambda atom, least, more: f"^{atom}{{{least},{least + more}}}b?$",
    st.sampled_from(["a", ".", "[^b]", "(a)", "(aa)"]),
    st.integers(0, 500),
    st.integers(0, 500),
)
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


@pytest.fixture(scope="module")
def duck() -> Iterator[Ask]:
    """DuckDB's answer."""
    connection = duckdb.connect()

    def ask(pattern: str, text: str) -> bool:
        found = connection.execute("SELECT regexp_matches(?, ?)", [text, pattern]).fetchone()
        assert found is not None
        return bool(found[0])

    yield ask
    connection.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Ask]:
    """PostgreSQL's answer, of the newest version that is here."""
    servers = pytest.importorskip("tests.postgres_server")
    if not servers.installations():
        pytest.skip("no PostgreSQL on this machine")
    import psycopg

    with (
        servers.server(list(servers.installations().values())[-1]) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):

        def ask(pattern: str, text: str) -> bool:
            found = connection.execute("SELECT %s ~ %s", [text, pattern]).fetchone()
            assert found is not None
            return bool(found[0])

        yield ask


def _agree_at_length(ask: Ask, pattern: str) -> None:
    _agree(
        ask, pattern, ["a" * times + end for times in (0, 255, 256, 499, 500, 999) for end in ("", "b", "\n")]
    )


def _agree(ask: Ask, pattern: str, texts: list[str]) -> None:
    try:
        written = portable(pattern, "x")
    except RuleError:
        return
    for text in texts:
        assert ask(written, text) == is_found(written, text), (pattern, written, text)


@settings(max_examples=300, deadline=None)
@given(pattern=PATTERNS, texts=TEXTS)
def test_duckdb_and_python_find_the_same(duck: Ask, pattern: str, texts: list[str]) -> None:
    """Line feeds, other scripts and long repetitions included."""
    _agree(duck, pattern, texts)


@settings(max_examples=100, deadline=None)
@given(pattern=LONG)
def test_duckdb_and_python_count_the_same(duck: Ask, pattern: str) -> None:
    """Up to a thousand."""
    _agree_at_length(duck, pattern)


@settings(max_examples=30, deadline=None)
@given(pattern=LONG)
def test_postgresql_and_python_count_the_same(postgres: Ask, pattern: str) -> None:
    """Up to a thousand, although it counts to 255."""
    _agree_at_length(postgres, pattern)


@settings(max_examples=150, deadline=None)
@given(pattern=PATTERNS, texts=TEXTS)
def test_postgresql_and_python_find_the_same(postgres: Ask, pattern: str, texts: list[str]) -> None:
    """Line feeds, other scripts and long repetitions included."""
    _agree(postgres, pattern, texts)


@settings(max_examples=300, deadline=None)
@given(pattern=PATTERNS | LONG)
def test_a_portable_pattern_is_portable(pattern: str) -> None:
    """Writing it again changes nothing."""
    try:
        written = portable(pattern, "x")
    except RuleError:
        return
    assert portable(written, "x") == written


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
)
def test_escaped_characters_mean_themselves(duck: Ask, text: str) -> None:
    """Whatever they are: a text between escapes is found in itself, at both ends."""
    escaped = "".join(f"\\{sign}" if sign in r"\^$.|?*+()[]{}" else sign for sign in text)
    written = portable(f"^{escaped}$", "x")
    assert duck(written, text)
    assert is_found(written, text)
    assert not is_found(written, text + "\n")


@settings(max_examples=200, deadline=None)
@given(
    low=st.integers(1, sys.maxunicode),
    length=st.integers(0, 300),
    sign=CHARACTERS,
    negated=st.booleans(),
)
def test_ranges_go_by_code_point(duck: Ask, low: int, length: int, sign: str, negated: bool) -> None:
    """In any script, and the other way round."""
    high = min(low + length, sys.maxunicode)
    if any(0xD800 <= end <= 0xDFFF for end in (low, high)):
        return
    ends = [f"\\{chr(end)}" if chr(end) in r"\]^-[" else chr(end) for end in (low, high)]
    written = portable(f"^[{'^' * negated}{ends[0]}-{ends[1]}]$", "x")
    assert duck(written, sign) == is_found(written, sign) == ((low <= ord(sign) <= high) != negated)
