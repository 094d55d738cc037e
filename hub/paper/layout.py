"""Where everything stands on the page of a face. Measures are points from the top left corner.

Type sizes are fixed (the table has two settings, see `table`); what still does not fit is refused.
"""

from datetime import date
from typing import Any

from hub.errors import Unprocessable
from hub.paper import ornament, qr
from hub.paper.model import Face
from hub.paper.mupdf import mupdf
from hub.paper.table import GREY, HAIR, INK, LINE, draw_table
from hub.paper.typeset import Sheet

TEMPLATE = "1"
"""Version of the layout; changing anything below that moves ink changes it."""

MM = 72 / 25.4
A4 = mupdf.Rect(0, 0, 595.276, 841.89)
QR_MM = 36.0
"""Side of the QR code without its quiet zone; 35 mm is the least that office scanners read at 72 dpi."""
SEAL_BOX = (368, 596, 508, 706)
"""Where a visible seal goes (left, top, right, bottom in points from the top left corner)."""

_LEFT, _RIGHT, _MIDDLE = 76.0, 519.276, 297.638
_TABLE_TOP, _TABLE_END = 208.0, 584.0

_HEAD = ("电子证照", "ELECTRONIC CERTIFICATE")
_NOTE_ZH = "本证照由发证部门电子签名，签名文件附于本 PDF 内。请扫码或上传本文件核验；纸面内容以核验结果为准。"
_NOTE_EN = (
    "Signed electronically by the issuer; the signed record is attached to this PDF. "
    "Scan the code or upload the file: that check decides, not the paper."
)


def fixed_texts(face: Face) -> list[str]:
    """Every string a face prints of its own accord: labels, dates, the notes."""
    labels = [text for pair in _particulars(face) for text in pair]
    return [*_HEAD, _NOTE_ZH, _NOTE_EN, *labels, " —"]


def _particulars(face: Face) -> list[tuple[str, str, str]]:
    until = face.valid_until
    return [
        ("证照编号", "Certificate number", face.number),
        ("签发日期", "Date of issue", _day(face.issued_on)),
        ("有效期至", "Valid until", "长期  No expiry date" if until is None else _day(until)),
        ("核验码", "Short code", face.short_code),
        ("核验地址", "Verify at", face.verify_url),
    ]


def _day(day: date) -> str:
    return f"{day.year}年{day.month}月{day.day}日  {day.isoformat()}"


def draw(page: Any, sheet: Sheet, face: Face) -> None:
    """Draw `face` on an empty A4 page. Raises Unprocessable `paper.overfull` when it does not fit."""
    centre = (_MIDDLE, (_TABLE_TOP + _TABLE_END) / 2)
    ornament.rosette(
        sheet.shape, centre, radius=168, petals=36, squash=0.42, colour=ornament.PALE_GOLD, width=0.5
    )
    ornament.frame(sheet.shape, mupdf.Rect(26, 26, A4.x1 - 26, A4.y1 - 26))
    _draw_head(sheet, face)
    bottom = _TABLE_END - (34 if face.purpose_line else 0)
    if not draw_table(sheet, face.rows, left=_LEFT, right=_RIGHT, top=_TABLE_TOP, bottom=bottom):
        raise _overfull("证照内容", "the content")
    _draw_issuer(sheet, face)
    _draw_check(page, sheet, face)
    sheet.print()


def _draw_head(sheet: Sheet, face: Face) -> None:
    sheet.text((_MIDDLE, 84), "  ".join(_HEAD), 8.5, ornament.GOLD, align=0.5)
    size = next((s for s in (32.0, 26.0, 21.0, 17.0) if sheet.width(face.title_zh, s) <= _RIGHT - _LEFT), 0.0)
    if not size:
        raise _overfull("标题", "the title")
    sheet.text((_MIDDLE, 130), face.title_zh, size, ornament.CINNABAR, align=0.5, bold=True)
    for number, line in enumerate(_within(sheet, face.title_en, 12, _RIGHT - _LEFT, 2, "the English title")):
        sheet.text((_MIDDLE, 154 + 15 * number), line, 12, GREY, align=0.5)
    ornament.rule(sheet.shape, (_MIDDLE, 190), 130)


def _draw_issuer(sheet: Sheet, face: Face) -> None:
    """Right of the code, where a seal goes over it: the issuer and the day, centred on the seal box."""
    left, top, right, bottom = SEAL_BOX
    middle = (left + right) / 2
    y = (top + bottom) / 2 - 14
    for text, size, colour in ((face.issuer_zh, 12.5, INK), (face.issuer_en, 8.0, GREY)):
        for line in _within(sheet, text, size, right - left + 20, 3, "the issuer") if text else []:
            sheet.text((middle, y), line, size, colour, align=0.5)
            y += size * LINE
    sheet.text((middle, y + 6), _day(face.issued_on).split("  ")[0], 10.5, INK, align=0.5)


def _draw_check(page: Any, sheet: Sheet, face: Face) -> None:
    """The QR code, what to type when it cannot be scanned, the purpose of a copy, and how to rely on the page."""
    _draw_purpose(sheet, face)
    box = _place_code(page, face.verify_url)
    x, y = box.x1 + 10, box.y0 + 18
    for zh, en, value in _particulars(face)[1:4]:
        sheet.text((x, y), f"{zh}  {en}", 7.0, GREY)
        sheet.text((x, y + 13.5), value, 10, INK)
        y += 33
    y = box.y1 + 8
    for zh, en, value in (_particulars(face)[0], _particulars(face)[4]):
        label = f"{zh}  {en}"
        start = _LEFT + sheet.width(label, 7.5) + 8
        sheet.text((_LEFT, y), label, 7.5, GREY)
        for line in _within(sheet, value, 8.5, _RIGHT - start, 2, "the number or the address"):
            sheet.text((start, y), line, 8.5, INK)
            y += 11.5
        y += 1.5
    _draw_note(sheet)


def _draw_purpose(sheet: Sheet, face: Face) -> None:
    if not face.purpose_line:
        return
    lines = _within(sheet, face.purpose_line, 9.5, _RIGHT - _LEFT - 20, 2, "the purpose line")
    bottom = _TABLE_END + 6
    top = bottom - 13 * len(lines) - 8
    sheet.shape.draw_rect(mupdf.Rect(_LEFT, top, _RIGHT, bottom))
    sheet.shape.finish(color=ornament.CINNABAR, width=0.6)
    for number, line in enumerate(lines):
        sheet.text((_MIDDLE, top + 13.5 + 13 * number), line, 9.5, ornament.CINNABAR, align=0.5)


def _draw_note(sheet: Sheet) -> None:
    sheet.shape.draw_line((_LEFT, 763), (_RIGHT, 763))
    sheet.shape.finish(color=HAIR, width=0.5)
    sheet.text((_MIDDLE, 774), _NOTE_ZH, 7.5, GREY, align=0.5)
    for number, line in enumerate(sheet.lines(_NOTE_EN, 6.0, _RIGHT - _LEFT)):
        sheet.text((_MIDDLE, 783 + 8 * number), line, 6.0, GREY, align=0.5)


def _place_code(page: Any, url: str) -> Any:
    side = qr.modules(url)
    quiet = QR_MM * MM * qr.QUIET_MODULES / side
    whole = QR_MM * MM + 2 * quiet
    rect = mupdf.Rect(_LEFT - quiet, 596, _LEFT - quiet + whole, 596 + whole)
    with (
        mupdf.open(stream=qr.svg(url), filetype="svg") as picture,
        mupdf.open("pdf", picture.convert_to_pdf()) as pdf,
    ):
        page.show_pdf_page(rect, pdf, 0)
    return rect


def _within(sheet: Sheet, text: str, size: float, measure: float, most: int, what: str) -> list[str]:
    lines = sheet.lines(text, size, measure)
    if len(lines) > most:
        raise _overfull("文字", what)
    return lines


def _overfull(zh: str, en: str) -> Unprocessable:
    return Unprocessable(
        "paper.overfull",
        f"{zh}过长，一页 A4 放不下；不会缩小字号。",
        f"There is no room on one A4 page for {en}; type is never shrunk to fit.",
        next_zh="请缩短内容，或减少证面栏目。",
        next_en="Shorten the content, or print fewer rows.",
    )
