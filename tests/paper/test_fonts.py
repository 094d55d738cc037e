"""A name is printed right or not at all."""

import io
from pathlib import Path

import pytest
from fontTools.pens.svgPathPen import SVGPathPen
from fontTools.ttLib import TTFont
from parts import missing

from hub.errors import Unprocessable
from hub.paper import fonts
from hub.paper.fonts.__main__ import build, gb2312, rare_names
from hub.paper.mupdf import mupdf
from hub.paper.typeset import Sheet

NOWHERE = "\ue863\U00031350"  # a private-use code of old systems, and a character of extension H
IN_NOTO_ONLY = "㐂"


def system() -> Path:
    found = fonts.system_font()
    if found is None:
        missing("Noto Serif CJK", fonts.INSTALL_LINE)
    return found


def test_every_character_of_the_national_tables_is_shipped():
    assert fonts.missing("".join(gb2312() | rare_names()), system=None) == []
    assert len(rare_names() - gb2312()) > 1_400


@pytest.mark.parametrize(
    "name", ["陈小莞", "欧阳䶮", "𬭎𬭚", "㛃㑇", "𠮷田", "买买提·吐尔逊", "二〇一六年", "Zoë Müller"]
)
def test_names_print_without_any_system_font(name: str):
    cuts = fonts.cuts(name, system=None)
    assert set(name) == set().union(*(cut.characters for cut in cuts))


def test_each_character_lives_in_exactly_one_cut():
    cuts = fonts.cuts("陈䶮陈𬭎·a", system=None)
    assert sum(len(cut.characters) for cut in cuts) == 5
    for cut in cuts:
        with TTFont(io.BytesIO(cut.data)) as font:
            assert {ord(c) for c in cut.characters} <= set(font.getBestCmap())


def test_what_no_font_has_is_refused_by_name():
    with pytest.raises(Unprocessable) as refused:
        fonts.cuts(f"李{NOWHERE}李", system=None)
    assert refused.value.code == "paper.no_glyph"
    assert refused.value.facts["characters"] == list(NOWHERE)
    assert "U+E863" in refused.value.zh
    assert "U+31350" in refused.value.en
    assert fonts.INSTALL_LINE in refused.value.next_zh


def test_without_the_system_font_a_rarer_character_is_refused_with_the_line_that_brings_it():
    assert fonts.missing(IN_NOTO_ONLY, system=None) == [IN_NOTO_ONLY]
    with pytest.raises(Unprocessable, match=r"paper.no_glyph"):
        fonts.cuts(IN_NOTO_ONLY, system=None)


def test_with_the_system_font_a_rarer_character_is_cut_from_it():
    (cut,) = fonts.cuts(IN_NOTO_ONLY, system=system())
    assert cut.characters == {IN_NOTO_ONLY}
    assert len(cut.data) < 10_000


def test_the_system_font_has_limits_too():
    with pytest.raises(Unprocessable, match=r"paper.no_glyph"):
        fonts.cuts(NOWHERE, system=system())


def test_the_same_cut_gives_the_same_bytes():
    first, second = (fonts.cut(fonts.SHIPPED[0], "学位证书") for _ in range(2))
    assert first == second
    assert len(first) < 5_000


def test_shipped_fonts_are_small_and_carry_their_licence():
    assert fonts.SHIPPED[0].stat().st_size < 3_000_000
    assert "SIL OPEN FONT LICENSE" in (fonts.HERE / "OFL.txt").read_text()
    for path in fonts.SHIPPED:
        with TTFont(path) as font:
            assert "SIL Open Font License" in font["name"].getDebugName(13)
            assert font["name"].getDebugName(6) == fonts.POSTSCRIPT_NAME


def test_the_build_writes_both_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hub.paper.fonts.__main__.gb2312", lambda: set("学位证书"))
    made = build(system(), tmp_path)
    assert [path.name for path in made] == [path.name for path in fonts.SHIPPED]
    assert made[1].read_bytes()[:4] == b"OTTO"


def test_the_page_shows_the_shapes_that_the_font_draws_for_these_characters():
    """Text extraction cannot tell: a font whose CIDs differ from its glyph indices extracts right and shows others."""
    text = "欧阳䶮𬭎㛃·𠮷学位证书Ab1"
    cuts = fonts.cuts(text, system=None)
    with mupdf.open() as document:
        page = document.new_page(width=700, height=80)
        sheet = Sheet(page, cuts)
        sheet.text((10, 55), text, 40, (0, 0, 0))
        sheet.print()
        shown = page.get_pixmap(colorspace=mupdf.csGRAY).samples
    with mupdf.open(stream=outlines(text, 10, 55, 40), filetype="svg") as picture:
        expected = picture[0].get_pixmap(colorspace=mupdf.csGRAY).samples
    assert len(shown) == len(expected)
    ink = sum(value < 128 for value in expected)
    wrong = sum(abs(a - b) > 100 for a, b in zip(shown, expected, strict=True))
    assert ink > 2_000
    assert wrong < ink * 0.03


def outlines(text: str, x: float, y: float, size: float) -> bytes:
    """The outlines of `text`, straight from the shipped fonts by fontTools, as a picture."""
    shipped = [TTFont(path) for path in fonts.SHIPPED]
    paths = []
    for character in text:
        font = next(font for font in shipped if ord(character) in font.getBestCmap())
        name, glyphs = font.getBestCmap()[ord(character)], font.getGlyphSet()
        pen = SVGPathPen(glyphs)
        glyphs[name].draw(pen)
        scale = size / font["head"].unitsPerEm
        paths.append(
            f'<path transform="translate({x} {y}) scale({scale} {-scale})" d="{pen.getCommands()}"/>'
        )
        x += glyphs[name].width * scale
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="700" height="80">{"".join(paths)}</svg>'.encode()
