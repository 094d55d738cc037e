"""An application form filled in by the system (表单自动套打): as many A4 pages as it takes; nothing is shrunk or cut.

Pure: no clock, no network. Fonts as for faces (`hub.paper.fonts`): a character that nobody can print is named, never
drawn as an empty box; after drawing, every page is read back and compared with what was meant.
"""

import base64
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from hub.errors import Internal, Unprocessable
from hub.paper import child, fonts, qr
from hub.paper.layout import A4
from hub.paper.model import MAX_VALUE
from hub.paper.mupdf import lock, mupdf
from hub.paper.render import repair_to_unicode
from hub.paper.table import GREY, HAIR, INK, LINE
from hub.paper.typeset import Colour, Sheet

FORM_LIMITS = child.Limits(cpu_seconds=20, wall_seconds=30.0)
MAX_PAGES = 20

_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 533.276, 70.0, 770.0
_LABEL, _SOURCE = 138.0, 128.0
_CODE = 100.0
_RULE: Colour = (0.25, 0.25, 0.27)
_SIGN = (
    "以上内容由系统按已登记的证照填写，我已逐项核对，属实。",
    "Filled in from registered certificates; I have checked every line.",
)
_BLANKS = ("申请人（签名）：", "日期：        年     月     日")


@dataclass(frozen=True)
class Block:
    """One part of a form: a heading, and rows of (label_zh, label_en, value, source); no value makes a blank line."""

    zh: str
    en: str
    rows: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True)
class Form:
    """A whole form. `made_on` is a civil day in Asia/Shanghai and becomes the document's date. `signed`: it ends with
    a place for the applicant's signature (a record of what is over has none). `code`: what a QR code in the upper
    right corner says, by which a scan is known again."""

    title_zh: str
    title_en: str
    office: str
    item: str
    made_on: date
    blocks: tuple[Block, ...]
    signed: bool = True
    code: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be printed honestly: invisible characters (Unprocessable `paper.form_text`)."""
        for text in self.texts():
            if (
                any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text)
                or len(text) > MAX_VALUE
            ):
                raise Unprocessable(
                    "paper.form_text",
                    "表格里有不可见字符或过长的文字，无法打印。",
                    "The form contains invisible characters or too long a text and cannot be printed.",
                    next_zh="请联系出具这份证照的部门更正后再下载。",
                    next_en="Ask the department that issued the certificate to correct it.",
                )

    def texts(self) -> list[str]:
        """Every string of the caller's that will be drawn."""
        parts = [self.title_zh, self.title_en, self.office, self.item]
        for block in self.blocks:
            parts += [block.zh, block.en, *(text for row in block.rows for text in row)]
        return parts

    def to_json(self) -> bytes:
        """The form as one JSON object."""
        return json.dumps(asdict(self), ensure_ascii=False, default=date.isoformat).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Form":
        """A form written by `to_json`, by our own parent process."""
        told: dict[str, Any] = json.loads(data)
        told["made_on"] = date.fromisoformat(told["made_on"])
        told["blocks"] = tuple(
            Block(one["zh"], one["en"], tuple(tuple(row) for row in one["rows"])) for one in told["blocks"]
        )
        return cls(**told)


async def form_in_child(form: Form, limits: child.Limits = FORM_LIMITS) -> bytes:
    """The PDF of `form`, made in a limited child process. Errors as `form_sync`, and those of `child.run`."""
    answer = await child.run("form", form.to_json(), limits)
    try:
        return base64.b64decode(answer, validate=True)
    except (TypeError, ValueError):
        raise Internal("paper.child_failed", "表格生成进程出错。", "The rendering process failed.") from None


def job(data: bytes) -> str:
    """The child's side of `form_in_child`."""
    return base64.b64encode(form_sync(Form.from_json(data))).decode()


def form_sync(form: Form) -> bytes:
    """The PDF of `form`: equal forms give equal bytes.

    Raises Unprocessable `paper.no_glyph` (characters named) or `paper.form_long` (more than 20 pages).
    """
    fixed = [*_SIGN, *_BLANKS, "0123456789/—第页共Page of ", "来源 Source", form.made_on.isoformat(), "编号 "]
    cuts = fonts.cuts("".join([*form.texts(), *fixed]), system=fonts.system_font())
    with lock, mupdf.open() as document:
        press = _Press(document, cuts)
        _draw(press, form)
        press.finish(form)
        if form.code:
            _place_code(document[0], form.code)
        moment = f"D:{form.made_on:%Y%m%d}000000+08'00'"
        document.set_metadata(
            {
                "title": f"{form.title_zh} {form.title_en}".strip(),
                "author": form.office,
                "producer": "Yimen",
                "creationDate": moment,
                "modDate": moment,
            }
        )
        document.xref_set_key(document.pdf_catalog(), "Lang", mupdf.get_pdf_str("zh-CN"))
        repair_to_unicode(document)
        data = bytes(document.tobytes(garbage=3, deflate=True, no_new_id=True))
    _read_back(data, press.drawn)
    return data


class _Press:
    """Pages one after the other; `y` is where the next line begins. A page is printed before the next one begins,
    since MuPDF forgets the page objects it gave out whenever a page is added."""

    def __init__(self, document: Any, cuts: Sequence[fonts.Cut]) -> None:
        self._document, self._cuts = document, cuts
        self.drawn: list[list[str]] = []
        self.sheet = self._begin()
        self.y = _TOP

    def _begin(self) -> Sheet:
        return Sheet(self._document.new_page(width=A4.width, height=A4.height), self._cuts)

    def turn(self) -> None:
        """Print this page and begin a new one."""
        self._print(self.sheet)
        if len(self.drawn) >= MAX_PAGES:
            raise Unprocessable(
                "paper.form_long",
                "表格超过 20 页，无法打印。",
                "The form has more than 20 pages and is not printed.",
            )
        self.sheet, self.y = self._begin(), _TOP

    def _print(self, sheet: Sheet) -> None:
        sheet.print()
        self.drawn.append(sheet.drawn)

    def room(self, height: float) -> None:
        """Go on to a new page unless `height` points are left on this one."""
        if self.y + height > _BOTTOM:
            self.turn()

    def text(
        self, x: float, text: str, size: float, colour: Colour = INK, *, align: float = 0, bold: bool = False
    ) -> None:
        self.sheet.text((x, self.y + size), text, size, colour, align=align, bold=bold)

    def rule(self, colour: Colour = HAIR, width: float = 0.5) -> None:
        self.sheet.shape.draw_line((_LEFT, self.y), (_RIGHT, self.y))
        self.sheet.shape.finish(color=colour, width=width)

    def finish(self, form: Form) -> None:
        """Print the last page, then page numbers at the foot of every one."""
        self._print(self.sheet)
        for number, drawn in enumerate(self.drawn, start=1):
            sheet = Sheet(self._document[number - 1], self._cuts)
            foot = f"第 {number} 页，共 {len(self.drawn)} 页  Page {number} of {len(self.drawn)}"
            sheet.text((_RIGHT, 806), foot, 8, GREY, align=1)
            sheet.text((_LEFT, 806), f"编号 {form.item}  {form.made_on.isoformat()}", 8, GREY)
            sheet.print()
            drawn += sheet.drawn


def _draw(press: _Press, form: Form) -> None:
    for text, size, bold in (
        (form.title_zh, 20.0, True),
        (form.title_en, 10.5, False),
        (form.office, 10.5, False),
    ):
        for line in press.sheet.lines(text, size, _RIGHT - _LEFT) if text else []:
            press.text((_LEFT + _RIGHT) / 2, line, size, INK if bold else GREY, align=0.5, bold=bold)
            press.y += size * LINE
    press.y += 6
    for block in form.blocks:
        _heading(press, block)
        for row in block.rows:
            _row(press, row)
        press.y += 12
    if not form.signed:
        return
    press.room(96)
    for text, size in zip(_SIGN, (10.5, 8.0), strict=True):
        press.text(_LEFT, text, size, INK if size > 9 else GREY)
        press.y += size * LINE
    press.y += 22
    press.text(_LEFT, _BLANKS[0], 10.5)
    press.text(_LEFT + 270, _BLANKS[1], 10.5)


def _place_code(page: Any, text: str) -> None:
    """A QR code in the upper right corner of the first page, by which a scan of the paper is known again."""
    with (
        mupdf.open(stream=qr.svg(text), filetype="svg") as picture,
        mupdf.open("pdf", picture.convert_to_pdf()) as pdf,
    ):
        page.show_pdf_page(mupdf.Rect(_RIGHT - _CODE, 34, _RIGHT, 34 + _CODE), pdf, 0)


def _heading(press: _Press, block: Block) -> None:
    press.room(60)
    press.text(_LEFT, block.zh, 12.5, INK, bold=True)
    press.text(_LEFT + press.sheet.width(block.zh, 12.5) + 8, block.en, 8, GREY)
    press.y += 20
    press.rule(_RULE, 0.9)


def _row(press: _Press, row: tuple[str, str, str, str]) -> None:
    """Label, value, source side by side; a row is never torn unless it is longer than a page."""
    zh, en, value, source = row
    sheet = press.sheet
    room = _RIGHT - _LEFT - _LABEL - (_SOURCE if source else 0) - 8
    said = sheet.lines(source, 7.5, _SOURCE - 8) if source else []
    columns = [
        (_LEFT + 2, [(line, 10.0, INK) for line in sheet.lines(zh, 10, _LABEL - 10)]
         + [(line, 7.0, GREY) for line in (sheet.lines(en, 7, _LABEL - 10) if en else [])]),
        (_LEFT + _LABEL, [(line, 11.0, INK) for line in (sheet.lines(value, 11, room) if value else [""])]),
        (_RIGHT - _SOURCE + 6, [(line, 7.5, GREY) for line in said]),
    ]  # fmt: skip
    tallest = max(sum(size * LINE for _, size, _ in lines) for _, lines in columns) + 9
    press.room(min(tallest, 600.0))
    top, deepest = press.y + 4, press.y
    for x, lines in columns:
        press.y = top
        for line, size, colour in lines:
            press.text(x, line, size, colour)
            press.y += size * LINE
        deepest = max(deepest, press.y)
    press.y = deepest + 5
    press.rule()


def _read_back(data: bytes, drawn: list[list[str]]) -> None:
    with mupdf.open("pdf", data) as document:
        for number, meant in enumerate(drawn):
            spans = document[number].get_texttrace()
            said = "".join(chr(c[0]) for span in spans if span["type"] == 0 for c in span["chars"])
            boxes = [c for span in spans for c in span["chars"] if c[1] == 0]
            foreign = {span["font"] for span in spans} - {fonts.POSTSCRIPT_NAME}
            if boxes or foreign or sorted(_solid(said)) != sorted(_solid("".join(meant))):
                raise Internal(
                    "paper.not_as_drawn",
                    "表格读回的内容与应打印的内容不一致，未生成。",
                    "The form does not read back as it was drawn, so it was not made.",
                    boxes=len(boxes),
                    fonts=sorted(foreign),
                )


def _solid(text: str) -> str:
    return "".join(text.split())
