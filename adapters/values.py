"""One cell to one claim value, by its `Field`. Any cell gives a value, nothing, or a named fault."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from adapters import charset
from adapters.findings import Finding
from adapters.model import TODAY, Field
from hub.clock import civil_day
from hub.formats.identifiers import credit_code_lenient, resident_id_lenient

Claim = str | int | bool | list[Any] | dict[str, Any] | None
MAX_TEXT = 4000
MAX_ITEMS = 400
MAX_INTEGER = 2**53 - 1
OLDEST_YEAR, LATEST_YEAR = 1850, 2200
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)


class Fault(Exception):
    """Inside this module and `mapping`: the value cannot be used; becomes a `Finding`."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


@dataclass(slots=True)
class Reading:
    """What converters need to know (today in Shanghai, the place) and where they leave notes."""

    today: date
    where: str
    column: str
    notes: list[Finding]

    def note(self, code: str, detail: str = "") -> None:
        """Record that something was changed on the way."""
        self.notes.append(Finding(code, self.where, self.column, detail))


def convert(cell: Any, field: Field, reading: Reading) -> Claim:
    """The claim value of `cell`, None for "nothing there". Raises `Fault` and nothing else."""
    if field.column is None and field.const is not None:
        return _constant(field, reading)
    cell = _read(cell, field, reading)
    if _empty(cell, field):
        return None
    if field.codes is not None:
        return _code(cell, field, reading)
    match field.kind:
        case "date":
            return _date(cell, field)
        case "integer":
            return _integer(cell)
        case "decimal":
            return _decimal(cell, field, reading)
        case "boolean":
            if isinstance(cell, bool):
                return cell
            raise Fault("type", "a boolean needs codes")
        case "list":
            return _list(cell, field, reading)
        case "resident_id":
            return _resident_id(_text(cell, field, reading), reading)
        case "credit_code":
            return _credit_code(_text(cell, field, reading), reading)
        case _:
            return _text(cell, field, reading)


def is_no_end(cell: Any, field: Field, reading: Reading) -> bool:
    """Whether the cell says "for ever" in one of the spellings of `no_end`."""
    return bool(field.no_end) and _spelling(_read(cell, field, reading)) in field.no_end


def _constant(field: Field, reading: Reading) -> Claim:
    if field.kind == "date" and field.const == TODAY:
        return reading.today.isoformat()
    return field.const


def _read(cell: Any, field: Field, reading: Reading) -> Any:
    """Bytes become text, mojibake becomes Chinese, text is trimmed and brought to its Unicode form."""
    if isinstance(cell, bytes | bytearray | memoryview):
        cell = charset.decode_mixed(bytes(cell), field.bytes_as)
        if cell is None:
            raise Fault("charset")
        if field.bytes_as:
            reading.note("bytes_recovered")
    elif isinstance(cell, str) and charset.has_undecoded(cell):
        raise Fault("charset")
    elif isinstance(cell, str) and field.bytes_as:
        recovered = charset.recover(cell, field.bytes_as)
        if recovered is None:
            raise Fault("charset")
        if recovered != cell:
            reading.note("bytes_recovered")
        cell = recovered
    if not isinstance(cell, str):
        return cell
    if field.trim:
        cell = charset.strip(cell)
    unicode_form = charset.to_unicode_forms(cell)
    if unicode_form != cell:
        reading.note("unicode_form", charset.replaced(cell))
    return unicode_form


def _empty(cell: Any, field: Field) -> bool:
    if cell is None or cell == "":
        return True
    spelling = _spelling(cell)
    return spelling is not None and (spelling in field.null_values or spelling in field.no_end)


def _spelling(cell: Any) -> str | None:
    """A scalar as a person writes it, for code tables and null values: 2, Decimal("2.0"), "2" are one."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int):
        return str(cell) if abs(cell) <= 10**18 else None
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) <= MAX_INTEGER else None
    if isinstance(cell, Decimal):
        return str(int(cell)) if _whole(cell) else None
    if isinstance(cell, datetime):
        return cell.date().isoformat()
    return cell.isoformat() if isinstance(cell, date) else None


def _whole(value: Decimal) -> bool:
    return value.is_finite() and -19 < value.adjusted() < 19 and value == value.to_integral_value()


def _code(cell: Any, field: Field, reading: Reading) -> Claim:
    spelling = _spelling(cell)
    if field.codes is not None and spelling is not None and spelling in field.codes:
        return field.codes[spelling]
    if field.on_unknown == "null":
        reading.note("code_dropped")
        return None
    raise Fault("code_unknown")


def _text(cell: Any, field: Field, reading: Reading) -> str:
    text = cell if isinstance(cell, str) else _spelling(cell)
    if text is None:
        raise Fault("type")
    if len(text) > MAX_TEXT:
        raise Fault("too_large")
    if charset.has_control(text):
        raise Fault("control_character")
    if charset.has_private_use(text):
        raise Fault("private_use")
    if "\ufffd" in text or (field.kind == "name" and charset.is_lossy(text)):
        raise Fault("lossy_text")
    if field.kind == "name" and charset.has_invisible(text):
        raise Fault("invisible_character")
    return text


def _resident_id(text: str, reading: Reading) -> str:
    """GB 11643; 15 digits are lengthened and noted. What does not check is a fault: it names a person."""
    found = resident_id_lenient(text, today=reading.today)
    codes = {finding.code.partition(".")[2] for finding in found.findings}
    if found.value is None or codes & {
        "form",
        "check",
        "birth_date",
        "birth_date_implausible",
        "over_century",
    }:
        raise Fault("id_check_digit", " ".join(sorted(codes)))
    if "fifteen_digits" in codes:
        reading.note("id_converted")
    if codes & {"full_width", "separators"}:
        reading.note("id_tidied")
    return found.value.value


def _credit_code(text: str, reading: Reading) -> str:
    found = credit_code_lenient(text)
    if found.value is None:
        raise Fault("id_check_digit")
    if found.findings:
        reading.note("id_tidied")
    return found.value


def _integer(cell: Any) -> int:
    if isinstance(cell, bool):
        raise Fault("type")
    if isinstance(cell, str):
        if not _INTEGER.fullmatch(cell):
            raise Fault("type")
        found = int(cell)
    elif isinstance(cell, int):
        found = cell
    elif isinstance(cell, Decimal):
        if not _whole(cell):
            raise Fault("range")
        found = int(cell)
    elif isinstance(cell, float):
        if not cell.is_integer():
            raise Fault("range")
        found = int(cell)
    else:
        raise Fault("type")
    if abs(found) > MAX_INTEGER:
        raise Fault("range")
    return found


def _decimal(cell: Any, field: Field, reading: Reading) -> str:
    """A decimal string of exactly `scale` places. Only a float is rounded (and noted): it was never exact."""
    if isinstance(cell, bool):
        raise Fault("type")
    if isinstance(cell, float):
        if not math.isfinite(cell) or abs(cell) >= 10**15:
            raise Fault("range")
        value = Decimal(repr(cell))
        reading.note("float_source")
    elif isinstance(cell, str):
        if not _DECIMAL.fullmatch(cell):
            raise Fault("type")
        value = Decimal(cell)
    elif isinstance(cell, int | Decimal):
        value = Decimal(cell)
    else:
        raise Fault("type")
    if not value.is_finite() or (value and not -19 < value.adjusted() < 19):
        raise Fault("range")
    try:
        rounded = value.quantize(Decimal(1).scaleb(-field.scale))
    except InvalidOperation:
        raise Fault("range") from None
    if rounded != value and not isinstance(cell, float):
        raise Fault("range", "more decimals than the scale")
    return f"{rounded if rounded else abs(rounded):f}"


def _date(cell: Any, field: Field) -> str:
    if isinstance(cell, datetime):
        try:
            day = civil_day(cell) if cell.tzinfo else cell.date()
        except (OverflowError, ValueError):
            raise Fault("date_impossible") from None
    elif isinstance(cell, date):
        day = cell
    else:
        spelling = _spelling(cell)
        if spelling is None:
            raise Fault("date_impossible")
        day = _parsed_date(spelling, field.formats)
    if not OLDEST_YEAR <= day.year <= LATEST_YEAR:
        raise Fault("date_impossible", "year")
    return day.isoformat()


def _parsed_date(text: str, formats: tuple[str, ...]) -> date:
    for layout in formats:
        match = _date_pattern(layout).fullmatch(text)
        if match:
            try:
                return date(int(match["Y"]), int(match["m"]), int(match["d"]))
            except ValueError:
                continue
    raise Fault("date_impossible")


@lru_cache(maxsize=256)
def _date_pattern(layout: str) -> re.Pattern[str]:
    """strptime is too lenient (`%d` reads one digit of eight), so a format becomes an exact pattern.

    One digit is allowed for month and day only where no digit can follow: "2016年1月5日", never "2016115".
    """
    out: list[str] = []
    named: set[str] = set()
    apart = not re.search(r"%[YmdHMS]%[YmdHMS]", layout)
    position = 0
    while position < len(layout):
        char = layout[position]
        if char != "%" or position + 1 == len(layout):
            out.append(re.escape(char))
            position += 1
            continue
        letter = layout[position + 1]
        digits = "[0-9]{4}" if letter == "Y" else "[0-9]{1,2}" if apart and letter in "md" else "[0-9]{2}"
        if letter == "%":
            out.append("%")
        elif letter in named:
            out.append(f"(?P={letter})")
        else:
            named.add(letter)
            out.append(f"(?P<{letter}>{digits})")
        position += 2
    return re.compile("".join(out), re.ASCII)


def _list(cell: Any, field: Field, reading: Reading) -> list[Claim]:
    parts = _parts(cell, field)
    if len(parts) > MAX_ITEMS:
        raise Fault("too_large")
    return [_entry(part, field, reading, position) for position, part in enumerate(parts)]


def _parts(cell: Any, field: Field) -> list[Any]:
    if isinstance(cell, list | tuple):
        return list(cell)
    if not isinstance(cell, str):
        raise Fault("type")
    parts = cell.split(field.separator) if field.separator else [cell]
    if parts and not charset.strip(parts[-1]):
        parts.pop()  # a closing separator
    return parts


def _entry(part: Any, field: Field, reading: Reading, position: int) -> Claim:
    if field.fields is None:
        found = convert(part, field.item or Field(), reading)
        if found is None:
            raise Fault("list_shape", f"entry {position} is empty")
        return found
    placed = [name for name, inner in field.fields.items() if inner.const is None]
    cells = part.split(field.field_separator) if isinstance(part, str) and field.field_separator else [part]
    if isinstance(part, Mapping):
        cells = [part.get(name) for name in placed]
    if len(cells) != len(placed):
        raise Fault("list_shape", f"entry {position}")
    found_members: dict[str, Claim] = {}
    by_name = dict(zip(placed, cells, strict=True))
    for name, inner in field.fields.items():
        value = convert(by_name.get(name), inner, reading)
        if value is not None:
            found_members[name] = value
        elif inner.required:
            raise Fault("missing_value", f"entry {position} {name}")
    return found_members
