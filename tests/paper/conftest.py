"""A face to print, and PDFs written by hand for what no library would write."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from hub.paper.model import Face

SD_JWT = (
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL3lpbWVuLnRlc3QifQ.c2lnbmF0dXJl~WyJzYWx0IiwibmFtZSIsIuadjiJd~"
)
URL = "https://yimen.dg.gov.cn/v/Zk3vT9aQ0mXc7Lr2PpN8sw"

FACE = Face(
    title_zh="学位证书",
    title_en="Degree Certificate",
    issuer_zh="东莞理工学院",
    issuer_en="Dongguan University of Technology",
    rows=(
        ("持证人", "Holder", "欧阳䶮𬭎㛃·𠮷"),
        ("证件号码", "Identity number", "4419**********0023"),
        ("学位级别", "Degree level", "硕士  Master"),
        ("授予日期", "Date of award", "二〇一六年六月三十日"),
    ),
    number="1144190000007294821",
    issued_on=date(2016, 6, 30),
    valid_until=None,
    verify_url=URL,
    short_code="K7QM-4XRD",
    sd_jwt=SD_JWT,
)


@pytest.fixture
def a_face() -> Callable[..., Face]:
    """A face that prints, with any of its fields replaced."""
    return lambda **fields: replace(FACE, **fields)


@pytest.fixture(scope="session")
def printed() -> bytes:
    """The PDF of the usual face, made once."""
    from hub.paper.render import face_sync

    return face_sync(FACE)


@pytest.fixture
def pdf() -> Callable[..., bytes]:
    """A PDF from the sources of its objects (1 = catalog), with a correct cross-reference table."""

    def write(*objects: bytes, extra: str = "") -> bytes:
        out = bytearray(b"%PDF-1.7\n")
        places = []
        for number, source in enumerate(objects, 1):
            places.append(len(out))
            out += b"%d 0 obj\n%b\nendobj\n" % (number, source)
        table = len(out)
        out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
        out += b"".join(b"%010d 00000 n \n" % place for place in places)
        trailer = f"trailer\n<</Size {len(objects) + 1}/Root 1 0 R{extra}>>\nstartxref\n{table}\n%%EOF\n"
        return bytes(out) + trailer.encode()

    return write


@pytest.fixture
def stream() -> Callable[..., bytes]:
    """The source of a stream object: its bytes, and more of its dictionary."""

    def write(data: bytes, more: str = "") -> bytes:
        return f"<</Length {len(data)}{more}>>\nstream\n".encode() + data + b"\nendstream"

    return write


@pytest.fixture
def open_pdf() -> Callable[[bytes], Any]:
    """MuPDF's view of a PDF."""
    from hub.paper.mupdf import mupdf

    return lambda data: mupdf.open("pdf", data)
