"""The catalogue as a table, one service item a line: how it ships, and how an office hands it in (CSV or Excel).

Every fault is told with its line. A line becomes the same document that a published item is (`hub.catalogue.items`).

`materials` reads `identity; premises | lease; degree?`: semicolons between requirements, `|` between alternatives of
which one is enough, `?` after what is only needed "if there is one". `limit` is in working days, `60d` in calendar
days, `0` on the spot. An item whose `materials` is empty is a skeleton.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, NamedTuple

from hub.catalogue.items import CLASSES, LEVELS
from hub.catalogue.materials import Entry, bases, offices, two
from hub.errors import Malformed

MAX_BYTES = 8 << 20
COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "code": "事项编码", "class": "类别", "department": "部门", "level": "层级", "subject": "服务对象",
        "zh": "事项名称", "en": "英文名称", "version": "版本", "valid_from": "生效日期", "limit": "法定时限",
        "limit_basis": "时限依据", "materials": "材料", "intro_zh": "说明", "intro_en": "英文说明",
        "unconfirmed": "未核实",
    }
)  # fmt: skip
"""Column -> its Chinese heading; either may stand in the first line."""

_HEADINGS = {name: name for name in COLUMNS} | {zh: name for name, zh in COLUMNS.items()}
_CODED = {
    "class": {zh: code for code, (zh, _) in CLASSES.items()},
    "level": {zh: code for code, (zh, _) in LEVELS.items()},
    "subject": {"自然人": "natural", "法人": "legal"},
}
_CODE = re.compile(r"[0-9]{6}-[a-z0-9]+(?:-[a-z0-9]+)*")
_LIMIT = re.compile(r"([0-9]{1,3})(d?)")
_MAY_BE_UNCONFIRMED = frozenset({"name", "level", "limit", "valid_from", "materials", "department"})


class Line(NamedTuple):
    """One line of the table, trimmed, with coded cells as codes."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong with one line (the heading is line 1), and in which column."""

    line: int
    column: str
    zh: str
    en: str


class Fault(ValueError):
    """A cell that cannot be; carries its column and both texts."""

    def __init__(self, column: str, zh: str, en: str) -> None:
        super().__init__(en)
        self.column, self.zh, self.en = column, zh, en


def read_lines(data: bytes) -> list[Line]:
    """The lines of a CSV (UTF-8 or GB 18030) or of the first sheet of an Excel workbook.

    Raises Malformed `catalogue.file` when the file as a whole cannot be read.
    """
    if len(data) > MAX_BYTES:
        raise _bad_file()
    rows = iter(_excel(data) if data.startswith(b"PK\x03\x04") else _csv(data))
    _, first = next(rows, (0, []))
    headings = [_HEADINGS.get(cell.strip().casefold(), "") for cell in first]
    if sorted(h for h in headings if h) != sorted(COLUMNS):
        raise _bad_file()
    found = []
    for number, row in rows:
        if any(cell.strip() for cell in row):
            given = dict(zip(headings, (cell.strip() for cell in row), strict=False))
            cells = {name: given.get(name, "") for name in COLUMNS}
            found.append(Line(number, cells | {c: m.get(cells[c], cells[c]) for c, m in _CODED.items()}))
    return found


def documents(
    lines: Iterable[Line], materials: Mapping[str, Entry]
) -> tuple[list[dict[str, Any]], list[RowError]]:
    """The documents of the lines, and every line that cannot be one, told with its column."""
    made: list[dict[str, Any]] = []
    errors: list[RowError] = []
    seen: dict[str, int] = {}
    for line in lines:
        code = line.cells["code"]
        try:
            if code in seen:
                said = f"{seen[code]}"
                raise Fault("code", f"与第 {said} 行的编码相同", f"the same code as line {said}")
            made.append(document(line.cells, materials))
            seen[code] = line.line
        except Fault as fault:
            errors.append(RowError(line.line, fault.column, fault.zh, fault.en))
    return made, errors


def document(cells: Mapping[str, str], materials: Mapping[str, Entry]) -> dict[str, Any]:
    """The document of one line; raises Fault naming the column."""
    _check_coded(cells)
    made: dict[str, Any] = {
        "code": cells["code"],
        "version": _version(cells["version"]),
        "valid_from": _day(cells["valid_from"]),
        "department": cells["department"],
        "subject": cells["subject"],
        "level": cells["level"],
        "class": cells["class"],
        "display": two(cells["zh"], cells["en"]),
        "intro": two(
            cells["intro_zh"] or "尚未编目，请咨询窗口。",
            cells["intro_en"] or "Not yet catalogued: ask the counter.",
        ),
        "unconfirmed": _unconfirmed(cells["unconfirmed"]),
        "statutory_days": {"total": None, "unconfirmed": True, "groups": []},
        "materials": _materials(cells["materials"], materials),
        "caps": {"max_uses": 1, "valid_days": 30, "purposes": [purpose(cells["code"])]},
        "purposes": [{"code": purpose(cells["code"]), "display": two(cells["zh"], cells["en"])}],
    }
    if cells["limit"]:
        made["limit"] = _limit(cells)
    if made["materials"] and not (cells["intro_zh"] and cells["intro_en"] and cells["limit"]):
        raise Fault(
            "intro_zh",
            "编目完整的事项须有说明和法定时限",
            "a catalogued item needs an intro and a time limit",
        )
    return made


def purpose(code: str) -> str:
    """The one purpose of an item that came from the table: its code without the area."""
    return code.partition("-")[2]


def _check_coded(cells: Mapping[str, str]) -> None:
    if not _CODE.fullmatch(cells["code"]) or len(cells["code"]) > 64:
        raise Fault("code", "编码应如 441900-civil-marriage", "a code reads like 441900-civil-marriage")
    for column, allowed in (("class", CLASSES), ("level", LEVELS), ("subject", ("natural", "legal"))):
        if cells[column] not in allowed:
            raise Fault(column, f"应为 {'、'.join(allowed)} 之一", f"must be one of {', '.join(allowed)}")
    if cells["department"] not in offices():
        raise Fault("department", "没有这个部门代号", "there is no office with this slug")
    for column in ("zh", "en"):
        if not cells[column] or len(cells[column]) > 120:
            raise Fault(column, "名称不能为空，最多 120 字", "a name is needed, of at most 120 characters")


def _version(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text):
        raise Fault("version", "版本应为正整数", "a version is a whole number from 1")
    return int(text)


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise Fault("valid_from", "日期应如 2016-04-01", "a date reads like 2016-04-01") from None


def _unconfirmed(text: str) -> list[str]:
    words = text.split()
    if not set(words) <= _MAY_BE_UNCONFIRMED:
        raise Fault("unconfirmed", "只能写列出的项目", f"may name {', '.join(sorted(_MAY_BE_UNCONFIRMED))}")
    return words


def _limit(cells: Mapping[str, str]) -> dict[str, Any]:
    found = _LIMIT.fullmatch(cells["limit"])
    if found is None:
        raise Fault(
            "limit", "时限应如 20（工作日）或 60d（日）", "a limit reads like 20 (working days) or 60d (days)"
        )
    made: dict[str, Any] = {"days": int(found[1]), "working": not found[2]}
    if cells["limit_basis"]:
        if cells["limit_basis"] not in bases():
            raise Fault("limit_basis", "没有这个依据代号", "there is no legal basis with this code")
        made["basis"] = two(*bases()[cells["limit_basis"]])
    elif "limit" not in cells["unconfirmed"].split():
        raise Fault(
            "limit_basis", "没有依据的时限须标明未核实", "a limit without a basis must be marked unconfirmed"
        )
    return made


def _materials(text: str, known: Mapping[str, Entry]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for requirement in (part.strip() for part in text.split(";") if part.strip()):
        required = not requirement.endswith("?")
        codes = [code.strip() for code in requirement.removesuffix("?").split("|")]
        for code in codes:
            if code not in known:
                raise Fault("materials", f"材料清单里没有 {code}", f"there is no material {code}")
            if not known[code].why_zh:
                raise Fault(
                    "materials",
                    f"材料 {code} 没有写明用途",
                    f"the register does not say why {code} is needed",
                )
            made.append(known[code].document(required=required, either=codes[0] if len(codes) > 1 else None))
    if len({one["code"] for one in made}) != len(made):
        raise Fault("materials", "同一材料写了两次", "a material is named twice")
    return made


def _csv(data: bytes) -> Iterator[tuple[int, Sequence[str]]]:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            start = 1
            for row in reader:
                yield start, row
                start = reader.line_num + 1
        except csv.Error as error:
            raise _bad_file() from error
        return
    raise _bad_file()


def _excel(data: bytes) -> Iterator[tuple[int, Sequence[str]]]:
    import openpyxl  # a quarter of a second, and only an import of Excel needs it

    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        for number, row in enumerate(book.worksheets[0].iter_rows(values_only=True), start=1):
            yield number, [_cell(value) for value in row]
    except Exception as error:  # openpyxl raises whatever a broken archive or sheet makes it raise
        raise _bad_file() from error


def _cell(value: object) -> str:
    """An Excel cell as its reader sees it: whole numbers without a point, days without midnight."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, date):
        return value.isoformat()[:10]
    return str(value)


def _bad_file() -> Malformed:
    return Malformed(
        "catalogue.file",
        "文件须为 CSV 或 Excel，首行含事项目录的全部列名。",
        "The file must be CSV or Excel whose first line has all column names of the catalogue.",
        next_zh="列名见 docs/catalogue.md；CSV 用 UTF-8 或 GB 18030 保存，最大 8 MB。",
        next_en="The columns are listed in docs/catalogue.md; CSV in UTF-8 or GB 18030, 8 MB at most.",
        columns=list(COLUMNS),
    )
