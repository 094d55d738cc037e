"""The claims on a face, as a table of bilingual labels and values.

There are two settings, chosen for the whole table: a roomy one at 12.5 points, and a close one at 10.5 points (五号, as
in official documents) with both labels on one line. White space gives way first; no single value is ever shrunk.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hub.paper.typeset import Colour, Sheet

INK: Colour = (0.10, 0.10, 0.11)
GREY: Colour = (0.38, 0.38, 0.40)
HAIR: Colour = (0.82, 0.77, 0.68)
LINE = 1.42  # line distance, times the size


@dataclass(frozen=True)
class _Setting:
    labels: float  # width of the label column
    value: float
    zh: float
    en: float
    beside: bool  # the English label stands right of the Chinese one, where both fit
    least_gap: float
    most_gap: float


_SETTINGS = (
    _Setting(labels=128, value=12.5, zh=10.5, en=7.5, beside=False, least_gap=6, most_gap=20),
    _Setting(labels=150, value=10.5, zh=9.5, en=7, beside=True, least_gap=4, most_gap=14),
)


@dataclass(frozen=True)
class _Row:
    zh: list[str]
    en: list[str]
    value: list[str]
    together: bool
    height: float


def draw_table(
    sheet: Sheet,
    rows: Sequence[tuple[str, str, str]],
    *,
    left: float,
    right: float,
    top: float,
    bottom: float,
) -> bool:
    """Draw (label_zh, label_en, value) rows between `top` and `bottom` points; False when they do not fit."""
    for setting in _SETTINGS:
        made = [_made(sheet, setting, row, right - left - setting.labels) for row in rows]
        gap = min(setting.most_gap, (bottom - top - sum(row.height for row in made)) / max(1, len(made)))
        if gap >= setting.least_gap:
            _draw(sheet, setting, made, gap, left, right, top)
            return True
    return False


def _made(sheet: Sheet, setting: _Setting, row: tuple[str, str, str], measure: float) -> _Row:
    label_zh, label_en, text = row
    room = setting.labels - 12
    zh = sheet.lines(label_zh, setting.zh, room)
    en = sheet.lines(label_en, setting.en, room) if label_en else []
    value = sheet.lines(text or "—", setting.value, measure)
    both = sheet.width(label_zh, setting.zh) + 6 + sheet.width(label_en, setting.en)
    together = setting.beside and both <= room
    labels = setting.zh * LINE if together else (len(zh) * setting.zh + len(en) * setting.en) * LINE
    return _Row(zh, en, value, together, max(labels, len(value) * setting.value * LINE))


def _draw(
    sheet: Sheet, setting: _Setting, rows: list[_Row], gap: float, left: float, right: float, top: float
) -> None:
    y = top
    for row in rows:
        _draw_labels(sheet, setting, row, left + 4, y + gap / 2)
        for number, line in enumerate(row.value):
            base = y + gap / 2 + setting.value + number * setting.value * LINE
            sheet.text((left + setting.labels, base), line, setting.value, INK)
        y += row.height + gap
        sheet.shape.draw_line((left, y), (right, y))
        sheet.shape.finish(color=HAIR, width=0.5)


def _draw_labels(sheet: Sheet, setting: _Setting, row: _Row, x: float, y: float) -> None:
    if row.together:
        sheet.text((x, y + setting.value), row.zh[0], setting.zh, INK)
        beside = x + sheet.width(row.zh[0], setting.zh) + 6
        for line in row.en:
            sheet.text((beside, y + setting.value), line, setting.en, GREY)
        return
    for size, colour, labels in ((setting.zh, INK, row.zh), (setting.en, GREY, row.en)):
        for label in labels:
            sheet.text((x, y + size), label, size, colour)
            y += size * LINE
