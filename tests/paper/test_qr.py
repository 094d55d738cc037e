"""A code that is made can be read; nothing else comes out of a picture."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.errors import HubError
from hub.paper import qr
from hub.paper.mupdf import mupdf

URL = "https://yimen.dg.gov.cn/v/Zk3vT9aQ0mXc7Lr2PpN8sw"


def drawn(text: str, module: float = 3.0) -> list[str]:
    with mupdf.open(stream=qr.svg(text), filetype="svg") as picture:
        scale = module * (qr.modules(text) + 8) / picture[0].rect.width
        pixels = picture[0].get_pixmap(matrix=mupdf.Matrix(scale, scale), colorspace=mupdf.csGRAY)
    return qr.decode(pixels.samples, pixels.width, pixels.height)


@settings(max_examples=20)
@given(text=st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=120))
def test_what_is_drawn_is_what_is_read(text: str):
    assert drawn(text) == [text]


def test_the_same_text_gives_the_same_picture():
    assert qr.svg(URL) == qr.svg(URL)
    assert qr.svg(URL).startswith(b"<?xml")
    assert qr.modules(URL) == 33


def test_an_empty_picture_has_no_code():
    assert qr.decode(b"\xff" * 10_000, 100, 100) == []


def test_a_picture_of_another_size_is_refused():
    with pytest.raises(HubError, match=r"qr.picture"):
        qr.decode(b"\xff" * 10, 100, 100)


@pytest.mark.parametrize("text", ["", "x" * 2_001])
def test_what_would_not_be_readable_is_refused(text: str):
    with pytest.raises(HubError, match=r"qr.too_long"):
        qr.svg(text)


async def test_codes_are_read_from_a_page_in_a_child(printed: bytes):
    assert await qr.read_in_child(printed) == qr.read(printed) == [URL]
    assert await qr.read_in_child(b"not a picture") == []
