"""RFC 8785: one value, one spelling."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import Malformed
from hub.formats import jcs
from hub.formats.jcs import MAX_INTEGER, canonical

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | text
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


def test_the_sorting_example_of_the_rfc() -> None:
    # RFC 8785 section 3.2.3: UTF-16 order puts the non-BMP smiley before the Hebrew presentation form.
    given_keys = {"\u20ac": "Euro Sign", "\r": "CR", "\ufb33": "Dalet", "1": "One", "\U0001f600": "Smiley"}
    given_keys |= {"\u0080": "Control", "\u00f6": "o umlaut"}
    written = list(json.loads(canonical(given_keys)))
    assert written == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


def test_strings_escape_only_what_the_rfc_asks() -> None:
    assert canonical('€$\x0f\nA\'B"\\\\"/\x7f𬭎') == '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/\x7f𬭎"'.encode()


def test_a_golden_object() -> None:
    value = {"v": 1, "commit": "ab", "b": [True, None, -5, {"z": "", "a": []}]}
    assert canonical(value) == b'{"b":[true,null,-5,{"a":[],"z":""}],"commit":"ab","v":1}'


@given(values)
def test_the_fast_writer_and_the_careful_one_agree(value: Any) -> None:
    careful: list[str] = []
    jcs._write(value, careful, 0)
    assert canonical(value) == "".join(careful).encode()


@given(values)
def test_reads_back_as_the_same_value(value: Any) -> None:
    assert json.loads(canonical(value)) == value


@given(st.dictionaries(text, scalars, min_size=2, max_size=6), st.randoms())
def test_the_order_of_members_does_not_matter(value: dict[str, Any], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert canonical(dict(items)) == canonical(value)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (1.5, "jcs.number"),
        (1.0, "jcs.number"),
        (float("nan"), "jcs.number"),
        (2**53, "jcs.integer_range"),
        (-(2**53), "jcs.integer_range"),
        ("\ud800", "jcs.surrogate"),
        ({"\udfff": 1}, "jcs.surrogate"),
        ({1: 2}, "jcs.key"),
        (b"x", "jcs.type"),
        ({"a": {1, 2}}, "jcs.type"),
    ],
)
def test_refuses_what_has_no_one_spelling(value: Any, code: str) -> None:
    with pytest.raises(Malformed) as caught:
        canonical(value)
    assert caught.value.code == code


def test_refuses_deep_nesting_instead_of_overflowing() -> None:
    value: Any = []
    for _ in range(5000):
        value = [value]
    with pytest.raises(Malformed, match=r"jcs\.depth"):
        canonical(value)
