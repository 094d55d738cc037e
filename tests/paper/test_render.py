"""The printed face says what the certificate says, and machines and people can both read it."""

import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import missing

from hub.errors import HubError
from hub.paper import fonts, layout, qr, render
from hub.paper.model import ATTACHMENT, Face
from hub.paper.mupdf import mupdf

MakeFace = Callable[..., Face]
Open = Callable[[bytes], Any]


def text_of(data: bytes) -> str:
    with mupdf.open("pdf", data) as document:
        return str(document[0].get_text())


def test_every_value_can_be_read_back_from_the_page(a_face: MakeFace, printed: bytes):
    text, face = text_of(printed), a_face()
    for value in [
        face.title_zh,
        face.title_en,
        face.issuer_zh,
        face.number,
        face.verify_url,
        face.short_code,
    ]:
        assert value in text
    for row in face.rows:
        assert all(part in text for part in row)
    assert "2016年6月30日" in text
    assert "长期" in text


def test_another_reader_sees_the_same_name(printed: bytes, tmp_path: Path):
    tool = shutil.which("pdftotext") or missing("pdftotext", "apt-get install poppler-utils")
    (tmp_path / "face.pdf").write_bytes(printed)
    text = subprocess.run([tool, tmp_path / "face.pdf", "-"], capture_output=True, check=True).stdout.decode()
    assert "欧阳䶮𬭎㛃·𠮷" in text


def test_characters_beyond_the_bmp_are_written_as_surrogates(a_face: MakeFace, open_pdf: Open):
    name = "𬭎𬭚𠮷"
    data = render.face_sync(a_face(rows=(("姓名", "Name", name),)))
    assert name in text_of(data)
    with open_pdf(data) as document:
        maps = [
            document.xref_stream(x)
            for x in range(1, document.xref_length())
            if document.xref_is_stream(x) and b"beginbf" in document.xref_stream(x)
        ]
    assert any(b"<d872df4e>" in found for found in maps)
    assert not any(re.search(rb"<[0-9a-f]{5,6}>", found) for found in maps)


@pytest.mark.parametrize("dpi", [72, 150, 200])
def test_the_code_decodes_from_a_picture_of_the_page(
    a_face: MakeFace, printed: bytes, open_pdf: Open, dpi: int
):
    with open_pdf(printed) as document:
        pixels = document[0].get_pixmap(dpi=dpi, colorspace=mupdf.csGRAY)
    assert qr.decode(pixels.samples, pixels.width, pixels.height) == [a_face().verify_url]


def test_an_independent_reader_decodes_the_code_too(
    a_face: MakeFace, printed: bytes, open_pdf: Open, tmp_path: Path
):
    tool = shutil.which("zbarimg") or missing("zbarimg", "apt-get install zbar-tools")
    with open_pdf(printed) as document:
        document[0].get_pixmap(dpi=100).save(tmp_path / "face.png")
    found = subprocess.run(
        [tool, "-q", "--raw", tmp_path / "face.png"], capture_output=True, check=True
    ).stdout
    assert found.decode().strip() == a_face().verify_url


def test_the_code_is_at_least_35_mm_wide_and_a_vector(printed: bytes, open_pdf: Open):
    with open_pdf(printed) as document:
        page = document[0]
        assert page.get_images() == []
        black = [d["rect"] for d in page.get_drawings() if d["fill"] == (0.0, 0.0, 0.0)]
        assert max(rect.width for rect in black) / layout.MM >= 35


def test_the_sd_jwt_is_attached_and_announced(a_face: MakeFace, printed: bytes, open_pdf: Open):
    with open_pdf(printed) as document:
        assert document.embfile_names() == [ATTACHMENT]
        assert document.embfile_get(ATTACHMENT).decode() == a_face().sd_jwt
        assert document.xref_get_key(document.pdf_catalog(), "AF")[0] == "array"
        assert len(document) == 1
        assert document.metadata["title"] == "学位证书 Degree Certificate"
        assert document.metadata["creationDate"] == "D:20160630000000+08'00'"
        assert document.xref_get_key(document.pdf_catalog(), "Lang") == ("string", "zh-CN")


def test_the_same_face_gives_the_same_bytes_and_the_same_key(a_face: MakeFace, printed: bytes):
    assert render.face_sync(a_face()) == printed
    assert render.cache_key(a_face()) == render.cache_key(a_face())
    assert render.cache_key(a_face(number="1")) != render.cache_key(a_face())
    assert len(printed) < 100_000


async def test_the_child_makes_the_same_bytes(a_face: MakeFace, printed: bytes):
    assert await render.face_in_child(a_face()) == printed


async def test_a_refusal_comes_out_of_the_child_as_itself(a_face: MakeFace):
    with pytest.raises(HubError) as refused:
        await render.face_in_child(a_face(rows=(("姓名", "Name", "李\U00031350"),)))
    assert refused.value.code == "paper.no_glyph"
    assert refused.value.kind == "unprocessable"
    assert refused.value.facts["characters"] == ["\U00031350"]
    assert "U+31350" in refused.value.zh


def test_a_rarer_name_is_cut_from_the_system_font(a_face: MakeFace):
    if fonts.system_font() is None:
        missing("Noto Serif CJK", fonts.INSTALL_LINE)
    assert "㐂田" in text_of(render.face_sync(a_face(rows=(("姓名", "Name", "㐂田"),))))


def test_only_our_font_is_on_the_page(printed: bytes, open_pdf: Open):
    with open_pdf(printed) as document:
        spans = document[0].get_texttrace()
    assert {span["font"] for span in spans} == {fonts.POSTSCRIPT_NAME}
    assert all(glyph for span in spans for _, glyph, *_ in span["chars"])


def sizes_of(values: str, document: Any) -> set[float]:
    """Type sizes of the spans that hold any of these characters."""
    spans = document[0].get_texttrace()
    return {round(s["size"], 1) for s in spans if any(chr(c[0]) in values for c in s["chars"])}


@pytest.mark.parametrize(("rows", "size"), [(1, 12.5), (8, 12.5), (13, 10.5), (16, 10.5)])
def test_values_wrap_and_all_have_one_of_two_sizes(a_face: MakeFace, open_pdf: Open, rows: int, size: float):
    long = "甲乙丙丁戊己庚辛壬癸" * 6
    table = tuple((f"栏目{n}", f"Row {n}", long if n == 0 else "甲乙") for n in range(rows))
    with open_pdf(render.face_sync(a_face(rows=table))) as document:
        assert sizes_of("甲乙癸", document) == {size}
        assert long in document[0].get_text().replace("\n", "")


def test_what_one_page_cannot_hold_is_refused(a_face: MakeFace):
    too_much = tuple((f"栏目{n}", f"Row {n}", "学位" * 120) for n in range(5))
    for face in (a_face(rows=too_much), a_face(title_zh="学" * 40), a_face(purpose_line="仅供办理" * 60)):
        with pytest.raises(HubError, match=r"paper.overfull"):
            render.face_sync(face)


def test_a_copy_carries_its_purpose(a_face: MakeFace):
    line = "此件由东莞市教育局提供，仅供办理政务服务事项时使用，有效期至2026年12月31日"
    assert line in text_of(render.face_sync(a_face(purpose_line=line, valid_until=date(2026, 12, 31))))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"issuer_zh": "东莞\u202e局"}, "paper.face_text"),
        ({"number": "1\u200b2"}, "paper.face_text"),
        ({"title_zh": "证\n书"}, "paper.face_text"),
        ({"title_zh": ""}, "paper.face_incomplete"),
        ({"verify_url": "javascript:alert(1)"}, "paper.face_address"),
        ({"verify_url": "https://例子.cn/v/1"}, "paper.face_address"),
        ({"sd_jwt": ""}, "paper.face_sd_jwt"),
    ],
)
def test_what_cannot_be_printed_honestly_is_refused(a_face: MakeFace, fields: dict[str, Any], code: str):
    with pytest.raises(HubError, match=code):
        a_face(**fields)


def test_a_face_survives_the_way_to_the_child(a_face: MakeFace):
    for face in (a_face(), a_face(valid_until=date(2030, 1, 1), purpose_line="仅供办理")):
        assert Face.from_json(face.to_json()) == face


@settings(max_examples=15)
@given(value=st.text("学位证书陈莞䶮𬭎，。（）·Az09 -", min_size=1, max_size=90))
def test_any_value_reads_back_as_it_was_given(value: str):
    face = Face(
        "证书", "Certificate", "局", "Bureau", (("值", "Value", value),), "1", date(2026, 1, 1), None,
        "https://a.cn/v/1", "AAAA", "a.b.c~",
    )  # fmt: skip
    assert "".join(value.split()) in "".join(text_of(render.face_sync(face)).split())


@pytest.mark.parametrize(
    "fields",
    [
        {"title_en": "", "issuer_en": "", "short_code": ""},
        {"rows": ()},
        {"rows": (("姓名", "", ""),)},
        {"verify_url": "https://yimen.dg.gov.cn/v/" + "x" * 94},
        {"number": "1" * 100},
        {"issuer_zh": "东莞市不动产登记中心松山湖高新技术产业开发区分中心"},
        {"title_zh": "广东省居住证持有人义务教育阶段随迁子女入学资格证明"},
    ],
)
def test_the_edges_of_what_fits_are_printed(a_face: MakeFace, fields: dict[str, Any]):
    text = "".join(text_of(render.face_sync(a_face(**fields))).split())
    assert all(value in text for value in fields.values() if isinstance(value, str))
