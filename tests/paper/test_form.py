"""A form filled in by the system: long names wrap, rare characters are drawn, many rows go on to further pages."""

import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest
from parts import missing

from hub.errors import HubError, Unprocessable
from hub.paper import fonts
from hub.paper.form import Block, Form, form_in_child, form_sync
from hub.paper.mupdf import mupdf

NAME = "阿卜杜热西提·买买提伊敏·吐尔逊江·艾合买提·古丽娜扎尔·迪丽热巴·库尔班江·热依扎"
RARE = "陈䶮㛃𬭎𫖮"


def a_form(rows: tuple[tuple[str, str, str, str], ...], **other: object) -> Form:
    said = {
        "title_zh": "随迁子女积分制入学申请表", "title_en": "Application: school place by points",
        "office": "东莞市教育局", "item": "441900-edu-points-enrolment", "made_on": date(2026, 11, 23),
        "blocks": (Block("居民户口簿", "Household register", rows),),
    }  # fmt: skip
    return Form(**(said | other))  # type: ignore[arg-type]


def pages(data: bytes) -> list[str]:
    with mupdf.open("pdf", data) as document:
        return ["".join(page.get_text().split()) for page in document]


def test_long_names_and_rare_characters_are_all_there() -> None:
    rows = (("姓名", "Name", NAME, "东莞市公安局 登记 2026-01-01"), ("曾用名", "Former name", RARE, ""))
    data = form_sync(a_form(rows))
    text = "".join(pages(data))
    assert NAME in text
    for character in RARE:
        assert character in text
    with mupdf.open("pdf", data) as document:
        spans = document[0].get_texttrace()
    assert {span["font"] for span in spans} == {fonts.POSTSCRIPT_NAME}
    assert all(c[1] for span in spans for c in span["chars"]), "an empty box"
    assert all(span["bbox"][2] < 540 for span in spans), "nothing leaves the page"


def test_other_programs_read_it_too(tmp_path: Path) -> None:
    if shutil.which("pdftotext") is None:
        missing("pdftotext", "apt-get install poppler-utils")
    file = tmp_path / "form.pdf"
    file.write_bytes(form_sync(a_form((("姓名", "Name", RARE, ""),))))
    said = subprocess.run(["pdftotext", file, "-"], capture_output=True, text=True, check=True).stdout
    assert RARE in "".join(said.split())


def test_many_rows_go_on_to_further_pages_and_lose_nothing() -> None:
    rows = tuple((f"第{n}项", f"Row {n}", f"值{n}" * 20, f"部门{n}") for n in range(120))
    told = pages(form_sync(a_form(rows)))
    assert len(told) > 2
    text = "".join(told)
    assert all(f"值{n}" * 20 in text and f"第{n}项" in text for n in range(120))
    assert f"第{len(told)}页，共{len(told)}页" in told[-1]


def test_one_value_longer_than_half_a_page_is_kept_whole() -> None:
    told = "".join(pages(form_sync(a_form((("坐落", "Address", "东莞市" * 300, ""),)))))
    assert told.count("东莞市") >= 300


def test_the_same_form_gives_the_same_bytes() -> None:
    form = a_form((("姓名", "Name", "王小明", ""),))
    assert form_sync(form) == form_sync(Form.from_json(form.to_json()))


@pytest.mark.parametrize("text", ["a\u202eb", "\x00", "王\u200b", "x" * 1001])
def test_what_cannot_be_printed_honestly_is_refused(text: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        a_form((("姓名", "Name", text, ""),))
    assert refused.value.code == "paper.form_text"


def test_a_character_nobody_can_draw_is_named_and_too_long_a_form_refused() -> None:
    with pytest.raises(HubError) as refused:
        form_sync(a_form((("姓名", "Name", "王\U0003fffd", ""),)))
    assert refused.value.code == "paper.no_glyph"
    with pytest.raises(HubError) as refused:
        form_sync(a_form(tuple((f"{n}", "", "值" * 900, "") for n in range(60))))
    assert refused.value.code == "paper.form_long"


async def test_it_is_made_in_a_child_process() -> None:
    form = a_form((("姓名", "Name", RARE, ""),))
    assert await form_in_child(form) == form_sync(form)
