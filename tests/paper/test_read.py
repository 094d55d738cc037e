"""Whatever is handed in gets one answer from a closed list, and only our own untouched files are read."""

import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.paper import read
from hub.paper.model import ATTACHMENT, WORDS, Inspection, Outcome
from hub.paper.mupdf import mupdf

URL = "https://yimen.dg.gov.cn/v/Zk3vT9aQ0mXc7Lr2PpN8sw"
Pdf = Callable[..., bytes]


def told(data: bytes) -> tuple[str, str]:
    found = read.inspect(data)
    return found.outcome.value, found.reason


def changed(data: bytes, change: Callable[[Any], object], **options: Any) -> bytes:
    """The document after `change`, written anew."""
    with mupdf.open("pdf", data) as document:
        change(document)
        return bytes(document.tobytes(**options))


def photo(data: bytes, kind: str = "jpeg", dpi: int = 110, turn: float = 0) -> bytes:
    with mupdf.open("pdf", data) as document:
        scale = dpi / 72
        return bytes(document[0].get_pixmap(matrix=mupdf.Matrix(scale, scale).prerotate(turn)).tobytes(kind))


# --- what is ours ---------------------------------------------------------------------------------------------


async def test_our_own_face_is_read_whole(a_face: Any, printed: bytes):
    found = await read.inspect_in_child(printed)
    assert (found.kind, found.outcome, found.reason) == ("pdf", Outcome.FOUND, "")
    assert found.sd_jwt == a_face().sd_jwt
    assert found.qr == (URL,)
    assert "欧阳䶮𬭎㛃·𠮷" in found.text
    assert (found.pages, found.sealed) == (1, False)
    assert found == read.inspect(printed)


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_photo_of_the_page_gives_the_address(printed: bytes, kind: str):
    found = read.inspect(photo(printed, kind, turn=3))
    assert (found.kind, found.outcome, found.qr, found.sd_jwt) == ("image", Outcome.FOUND, (URL,), None)


def test_a_scan_saved_as_pdf_gives_the_address(printed: bytes):
    with mupdf.open() as document:
        document.new_page().insert_image((0, 0, 595, 842), stream=photo(printed))
        found = read.inspect(document.tobytes())
    assert (found.kind, found.outcome, found.qr, found.sd_jwt) == ("pdf", Outcome.FOUND, (URL,), None)


def test_a_bare_sd_jwt_is_taken_as_text(a_face: Any):
    found = read.inspect(b"\n" + a_face().sd_jwt.encode() + b"\r\n")
    assert (found.kind, found.outcome, found.sd_jwt) == ("sd_jwt", Outcome.FOUND, a_face().sd_jwt)


token_part = st.text("abcXYZ019-_", min_size=1, max_size=30)


@given(parts=st.lists(token_part, min_size=3, max_size=3), disclosures=st.lists(token_part, max_size=5))
def test_every_sd_jwt_shape_is_taken(parts: list[str], disclosures: list[str]):
    token = ".".join(parts) + "~" + "".join(f"{d}~" for d in disclosures)
    assert read.inspect(token.encode()).sd_jwt == token
    assert read.inspect((token + ".".join(parts)).encode()).sd_jwt == token + ".".join(parts)


# --- what is not ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "outcome", "reason"),
    [
        (b"", "not_our_document", "empty"),
        (b"hello", "not_our_document", "format"),
        (b"a.b.c", "not_our_document", "format"),
        (b"a.b.c~\xe9~", "not_our_document", "format"),
        (b"a.b.c~" + b"x" * 600_000 + b"~", "too_large", "sd_jwt"),
        (b"%PDF-1.7\n", "not_our_document", "unreadable"),
        (b"%PDF-1.7\n%%EOF", "not_our_document", "unreadable"),
        (b"\x89PNG\r\n\x1a\nxxxx", "unreadable_photo", "unreadable"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 99, "unreadable_photo", "unreadable"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "unreadable_photo", "format"),
        (b"\0" * (read.MAX_PDF + 1), "too_large", "bytes"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * read.MAX_PHOTO, "too_large", "bytes"),
    ],
)
def test_what_is_not_a_certificate_is_told_so(data: bytes, outcome: str, reason: str):
    assert told(data) == (outcome, reason)


def test_a_pdf_without_attachment_and_code_is_not_ours():
    with mupdf.open() as document:
        document.new_page().insert_text((72, 72), "hello")
        found = read.inspect(document.tobytes())
    assert (found.outcome, found.reason, found.text) == (Outcome.NOT_OURS, "no_attachment", "hello\n")


def test_a_picture_without_a_code_is_an_unreadable_photo():
    with mupdf.open() as document:
        picture = document.new_page(width=100, height=100).get_pixmap().tobytes("png")
    assert told(picture) == ("unreadable_photo", "no_code")


def test_a_picture_with_too_many_pixels_is_refused_by_its_header():
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )
    assert told(png) == ("too_large", "pixels")


# --- what was ours ----------------------------------------------------------------------------------------------


def test_bytes_around_the_file_are_seen(printed: bytes):
    assert told(b"<html></html>" + printed) == ("altered_after_sealing", "leading_bytes")
    assert told(printed + b"PK\x03\x04") == ("altered_after_sealing", "trailing_bytes")
    assert told(printed.rstrip() + b"\n\n") == ("altered_after_sealing", "trailing_bytes")
    assert told(printed.rstrip() + b"\r\n") == ("found", "")


def test_a_truncated_file_is_seen(printed: bytes):
    assert told(printed[: len(printed) // 2]) == ("altered_after_sealing", "truncated")
    assert told(printed[:-200] + b"\n%%EOF") == ("altered_after_sealing", "repaired")


@pytest.mark.parametrize("passwords", [{"user_pw": "secret", "owner_pw": "owner"}, {"owner_pw": "owner"}])
def test_a_password_is_named(printed: bytes, passwords: dict[str, str]):
    locked = changed(printed, lambda d: None, encryption=mupdf.PDF_ENCRYPT_AES_256, **passwords)
    assert told(locked) == ("password_protected", "encrypted")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("OpenAction", "<</S/JavaScript/JS(app.alert(1))>>", "active_content:javascript"),
        ("AA", "<</WC<</S/Named/N/Print>>>>", "active_content:aa"),
        ("Names/JavaScript", "<</Names[(a)<</S/J#61vaScript/J#53(1)>>]>>", "active_content:javascript"),
        ("OpenAction", "<</S/Launch/F(cmd.exe)>>", "active_content:launch"),
        ("AcroForm", "<</XFA(x)/Fields[]>>", "active_content:xfa"),
    ],
)
def test_a_face_that_runs_something_is_altered(printed: bytes, key: str, value: str, reason: str):
    data = changed(printed, lambda d: d.xref_set_key(d.pdf_catalog(), key, value))
    outcome, told_reason = told(data)
    assert outcome == "altered_after_sealing"
    assert told_reason in (reason, "active_content:openaction", "active_content:js")


def test_words_in_a_title_are_not_code(printed: bytes):
    data = changed(printed, lambda d: d.set_metadata({"title": "how /JavaScript and /EF (and \\) /AA) work"}))
    assert told(data) == ("found", "")


def test_a_second_attachment_is_seen(printed: bytes):
    assert told(changed(printed, lambda d: d.embfile_add("other.txt", b"x"))) == (
        "altered_after_sealing",
        "attachments",
    )


def test_an_attachment_hidden_in_an_annotation_is_seen(printed: bytes):
    data = changed(printed, lambda d: d[0].add_file_annot((50, 50), b"x", ATTACHMENT))
    assert told(data) == ("altered_after_sealing", "attachments")


def test_a_swapped_attachment_is_seen(printed: bytes):
    def swap(document: Any) -> None:
        document.embfile_del(ATTACHMENT)
        document.embfile_add(ATTACHMENT, b"a.b.c~")

    assert told(changed(printed, swap)) == ("altered_after_sealing", "attachments")
    assert told(changed(printed, swap, garbage=3)) == ("altered_after_sealing", "attachments")


def test_somebody_elses_document_with_somebody_elses_attachment_is_not_ours():
    with mupdf.open() as document:
        document.new_page()
        document.embfile_add("invoice.xml", b"<x/>")
        assert told(document.tobytes()) == ("not_our_document", "attachments")


def carrier(pdf: Pdf, *attached: bytes, names: str = "/F 5 0 R/UF 5 0 R") -> bytes:
    """A PDF made by hand that carries `attached` as objects 5 and following."""
    spec = f"<</Type/Filespec/F({ATTACHMENT})/UF({ATTACHMENT})/EF<<{names}>>>>".encode()
    return pdf(
        b"<</Type/Catalog/Pages 2 0 R/Names<</EmbeddedFiles<</Names[(%b) 4 0 R]>>>>>>" % ATTACHMENT.encode(),
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>",
        spec,
        *attached,
    )


def test_two_streams_under_one_name_are_seen(pdf: Pdf, stream: Pdf):
    assert told(carrier(pdf, stream(b"a.b.c~"))) == ("found", "")
    two = carrier(pdf, stream(b"a.b.c~"), stream(b"d.e.f~"), names="/F 5 0 R/UF 6 0 R")
    assert told(two) == ("altered_after_sealing", "attachment_format")


def test_an_attachment_that_is_no_sd_jwt_is_seen(pdf: Pdf, stream: Pdf):
    assert told(carrier(pdf, stream(b"<html>"))) == ("altered_after_sealing", "attachment_format")


def test_an_attachment_is_unpacked_with_a_bound(pdf: Pdf, stream: Pdf):
    bomb = zlib.compress(b"a" * 50_000_000, 9)
    assert told(carrier(pdf, stream(bomb, "/Filter/FlateDecode"))) == ("too_large", "attachment")
    twice = stream(zlib.compress(bomb), "/Filter[/FlateDecode/FlateDecode]")
    assert told(carrier(pdf, twice)) == ("altered_after_sealing", "attachment_filter")


def test_too_many_pages_are_refused():
    with mupdf.open() as document:
        for _ in range(read.MAX_PAGES + 1):
            document.new_page()
        assert told(document.tobytes()) == ("too_large", "pages")


@settings(max_examples=40)
@given(data=st.data())
def test_any_change_of_a_byte_still_gives_one_answer(printed: bytes, data: st.DataObject):
    place = data.draw(st.integers(0, len(printed) - 1))
    broken = bytearray(printed)
    broken[place] ^= data.draw(st.integers(1, 255))
    assert read.inspect(bytes(broken)).outcome in Outcome


# --- the answer itself --------------------------------------------------------------------------------------------


def test_every_outcome_has_words_in_both_languages():
    assert set(WORDS) == set(Outcome)
    for outcome, words in WORDS.items():
        assert words.zh
        assert words.en
        assert bool(words.next_zh) == bool(words.next_en) == (outcome is not Outcome.FOUND)


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "fine"},
        {"qr": "x"},
        {"sd_jwt": 1},
        {"pages": "1"},
        {"kind": "exe"},
        {"sealed": 1},
        {"more": 1},
    ],
)
def test_the_word_of_a_child_is_checked(change: dict[str, Any]):
    good = Inspection("pdf", Outcome.FOUND, sd_jwt="a.b.c~", qr=("u",)).to_json() | {"qr": ["u"]}
    assert Inspection.from_json(good).sd_jwt == "a.b.c~"
    with pytest.raises(ValueError, match=r"."):
        Inspection.from_json(good | change)
