"""The catalogue as a file: CSV in either encoding, Excel; every fault is told with its line and column."""

import csv
import io
from datetime import datetime

import openpyxl
import pytest

from hub.catalogue.catalogue import shipped_rows
from hub.catalogue.items import parse
from hub.catalogue.materials import evidence, register
from hub.catalogue.table import COLUMNS, documents, read_lines
from hub.errors import Malformed

GOOD = {
    "code": "441900-civil-test", "class": "社会民生", "department": "dg-civil", "level": "镇街级", "subject": "自然人",
    "zh": "测试事项", "en": "Test item", "version": "1", "valid_from": "2026-01-01", "limit": "20",
    "limit_basis": "xk42", "materials": "identity; lease | property; degree?", "intro_zh": "说明。",
    "intro_en": "Intro.", "unconfirmed": "materials",
}  # fmt: skip


def as_csv(*rows: dict[str, str], headings: list[str] | None = None) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(headings or list(COLUMNS.values()))
    writer.writerows([[row[name] for name in COLUMNS] for row in rows])
    return out.getvalue()


def read(data: bytes):
    return documents(read_lines(data), register())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_csv_in_either_encoding_with_chinese_headings(encoding: str) -> None:
    made, errors = read(as_csv(GOOD).encode(encoding))
    assert errors == []
    item = parse(made[0])
    assert (item.level, item.item_class, item.subject) == ("town", "livelihood", "natural")
    assert [m.code for m in item.materials] == ["identity", "lease", "property", "degree"]
    assert [m.either for m in item.materials] == [None, "lease", "lease", None]
    assert [m.required for m in item.materials] == [True, True, True, False]
    assert item.limit is not None
    assert (item.limit.days, item.limit.working) == (20, True)


def test_excel_with_real_numbers_and_dates() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(list(COLUMNS))
    sheet.append([GOOD[name] for name in COLUMNS])
    sheet["H2"], sheet["I2"], sheet["J2"] = 1, datetime(2026, 1, 1), 20.0
    out = io.BytesIO()
    book.save(out)
    made, errors = read(out.getvalue())
    assert errors == []
    assert made == read(as_csv(GOOD).encode())[0]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("code", "Civil Test"), ("code", "441900-civil-测试"), ("class", "其他"), ("department", "dg-nobody"),
        ("level", "省级"), ("subject", "猫"), ("zh", ""), ("en", "x" * 121), ("version", "0"), ("version", "1.5"),
        ("valid_from", "2026/1/1"), ("valid_from", "2026-02-30"), ("limit", "soon"), ("limit_basis", "nothing"),
        ("limit_basis", ""), ("materials", "identity; no_such_thing"), ("materials", "identity; identity"),
        ("materials", "健在证明"), ("intro_zh", ""), ("unconfirmed", "everything"),
    ],
)  # fmt: skip
def test_every_fault_names_its_line_and_column(column: str, value: str) -> None:
    other = GOOD | {"code": "441900-civil-other"}
    blank = dict.fromkeys(GOOD, "")
    made, errors = read(as_csv(other, blank, GOOD | {column: value}).encode())
    assert len(made) == 1
    assert [(e.line, e.column) for e in errors] == [(4, column)]
    assert errors[0].zh
    assert errors[0].en


def test_the_line_is_right_after_a_cell_of_several_lines() -> None:
    long = GOOD | {"code": "441900-civil-other", "intro_zh": "第一行\n第二行\n第三行"}
    _, errors = read(as_csv(long, GOOD | {"version": "x"}).encode())
    assert [e.line for e in errors] == [5]


def test_the_same_code_twice_is_told() -> None:
    made, errors = read(as_csv(GOOD, GOOD).encode())
    assert len(made) == 1
    assert [(e.line, e.column) for e in errors] == [(3, "code")]
    assert "2" in errors[0].en


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe\x00",
        b"PK\x03\x04 not a workbook",
        b"code,zh\n1,2\n",
        b'"' + b"x" * 100,
        b"x" * (9 << 20),
    ],
    ids=["empty", "bytes", "zip", "columns", "quote", "large"],
)
def test_a_file_that_is_no_table_is_refused_whole(data: bytes) -> None:
    with pytest.raises(Malformed) as refused:
        read_lines(data)
    assert refused.value.code == "catalogue.file"


def test_the_shipped_lines_read_back_without_a_fault() -> None:
    rows = [row for name in ("police", "tax") for row in shipped_rows(name)]
    text = as_csv(*rows, headings=list(COLUMNS))
    made, errors = read(text.encode("gb18030"))
    assert errors == []
    assert len(made) == len(rows)


def test_evidence_names_types_claims_and_ages() -> None:
    one, two = evidence("residence_permit@62(number, permits[].kind) | marriage")
    assert one["max_age_days"] == 62
    assert ["permits", None, "kind"] in one["fields"]
    assert two["fields"] == [["holders", None, part] for part in ("name", "id_type", "id_no", "role")]
    with pytest.raises(ValueError, match="cannot read"):
        evidence("residence permit!")
