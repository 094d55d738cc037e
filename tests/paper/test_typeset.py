"""Lines break where a Chinese reader expects, and letters keep their size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.paper import fonts
from hub.paper.mupdf import mupdf
from hub.paper.typeset import Sheet

ALPHABET = "学位证书陈莞，。、；（）《》“” abcXYZ019.-@/䶮𬭎"


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    document = mupdf.open()
    sheet = Sheet(document.new_page(), fonts.cuts(ALPHABET, system=None))
    sheet.keep = document
    return sheet


@given(text=st.text(ALPHABET, max_size=120), measure=st.floats(40, 400))
def test_no_line_is_wider_than_its_measure_and_nothing_is_lost(sheet: Sheet, text: str, measure: float):
    lines = sheet.lines(text, 12.5, measure)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(sheet.width(line, 12.5) <= measure for line in lines)


def test_a_line_does_not_begin_with_a_comma_nor_end_with_an_opening_bracket(sheet: Sheet):
    for count in range(4, 12):
        lines = sheet.lines("学" * count + "，（位" + "证" * 10 + "）。书", 10, 80)
        assert not any(line[0] in "，）。" or line[-1] == "（" for line in lines)


def test_words_stay_whole_where_there_is_room_and_break_where_there_is_none(sheet: Sheet):
    assert sheet.lines("abc XYZ abc", 10, sheet.width("abc XYZ", 10) + 1) == ["abc XYZ", "abc"]
    assert sheet.lines("a" * 9, 10, sheet.width("aaaa", 10) + 0.1) == ["aaaa", "aaaa", "a"]


def test_an_empty_text_is_one_empty_line(sheet: Sheet):
    assert sheet.lines("", 10, 100) == [""]
