"""Mapping is total, exact about text, numbers and dates, and says what it changed."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters import charset
from adapters.columns import Column
from adapters.findings import CODES, Finding
from adapters.mapping import Mapped, key_of, map_row
from adapters.model import Dataset, Field, HolderRule, SqlSource
from hub.formats.identifiers import resident_check_character

TODAY = date(2026, 11, 23)
BODY = "44190019940315002"
GOOD_ID = BODY + resident_check_character(BODY)
OWNER = HolderRule(
    "owner", Field("xm", required=True), Field(const="111", required=True), Field("sfzh", required=True)
)


def dataset(claims=None, holders=(OWNER,), **more) -> Dataset:
    return Dataset("d", "degree", SqlSource("sqlite://"), ("id",), holders, claims or {}, query="q", **more)


def row(**cells):
    return {"id": 1, "xm": "张三", "sfzh": GOOD_ID, **cells}


def mapped(field: Field, cell, **more) -> Mapped:
    found = map_row(row(x=cell, **more), dataset({"x": field}), today=TODAY)
    assert isinstance(found, Mapped), found
    return found


def value(field: Field, cell):
    return mapped(field, cell).claims.get("x")


def fault(field: Field, cell) -> str:
    found = map_row(row(x=cell), dataset({"x": field}), today=TODAY)
    assert isinstance(found, tuple), found
    assert len(found) == 1
    return found[0].code


# --- totality ---

cells = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.decimals(), st.text(), st.binary(), st.dates(),
    st.datetimes(), st.datetimes(timezones=st.just(UTC)), st.lists(st.text(max_size=5), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2), st.just(object()), st.just(Decimal("sNaN")),
    st.sampled_from([10**400, "00000000", "长期", "?", "\ud800", b"\xd5\xc5", "2016-02-30", "1|2|", "a:b|c"]),
    st.just(memoryview(b"x")),
)  # fmt: skip
kinds = st.sampled_from(
    ["text", "name", "date", "integer", "decimal", "boolean", "list", "resident_id", "credit_code"]
)
inner = st.builds(Field, kind=kinds, required=st.booleans())
anyfield = st.builds(
    Field, column=st.just("x"), kind=kinds, required=st.booleans(), trim=st.booleans(),
    codes=st.sampled_from([None, {"1": "one", "true": True}]), on_unknown=st.sampled_from(["quarantine", "null"]),
    null_values=st.sampled_from([(), ("00000000",)]), no_end=st.sampled_from([(), ("长期",)]),
    scale=st.integers(0, 12), bytes_as=st.sampled_from([None, "gb18030"]), separator=st.sampled_from(["|", ""]),
    field_separator=st.sampled_from([":", ""]),
    fields=st.one_of(st.none(), st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2)),
    item=st.one_of(st.none(), inner),
)  # fmt: skip


def said_by(column: Column, cell) -> tuple:
    faults: list[Finding] = []
    notes: list[Finding] = []
    return column.read({"x": cell}, faults, notes), faults, [] if faults else notes


@given(anyfield, st.lists(cells, min_size=1, max_size=4), st.booleans())
@example(Field("x", kind="name"), ["张三", " 张三 ", "张?", "张\ufffd", "张\u200b三", "张\ue863"], False)
@example(Field("x", kind="resident_id"), [GOOD_ID, GOOD_ID.lower(), BODY + "0", "１" * 18], False)
@example(Field("x", kind="text", null_values=("0",)), ["0", " 0", 0, False, 1, True, "\u3000", "a\tb"], False)
def test_the_short_ways_of_a_column_say_what_the_long_way_says(field, values_, strict):
    """Each cell twice, the second time from what the column remembers; beside it a column that has met nothing."""
    met = Column(field, "x", TODAY)
    met = met.stricter("name") if strict else met
    for cell in [*values_, *values_]:
        found, faults, notes = said_by(met, cell)
        long_faults: list[Finding] = []
        long_notes: list[Finding] = []
        expected = met._long(cell, None, long_faults, long_notes)
        assert (found, faults) == (expected, long_faults)
        assert type(found) is type(expected)
        assert faults or notes == long_notes


@given(anyfield, cells, cells, cells)
def test_any_row_is_mapped_or_has_named_findings(field, cell, name, number):
    whole = dataset({"x": field}, valid_from=Field("x", kind="date"), as_of=Field("x", kind="date"))
    found = map_row({"id": cell, "x": cell, "xm": name, "sfzh": number}, whole, today=TODAY)
    if isinstance(found, Mapped):
        assert len(found.digest("urn:x")) == 64
        assert all(note.code in CODES for note in found.notes)
    else:
        assert found
        assert all(finding.code in CODES for finding in found)
    key = key_of({"id": cell}, whole)
    assert key is None or all(key)


@given(cells)
def test_no_finding_repeats_a_value(cell):
    for kind in ("text", "date", "integer", "decimal", "resident_id"):
        found = map_row(row(x=cell, xm="李四?"), dataset({"x": Field("x", kind=kind)}), today=TODAY)
        assert isinstance(found, tuple)
        assert "李四" not in repr(found)


def test_missing_columns_are_named_all_at_once():
    found = map_row({"id": 1}, dataset({"a": Field("a"), "b": Field("b")}), today=TODAY)
    assert isinstance(found, tuple)
    assert {finding.column for finding in found} == {"xm", "sfzh", "a", "b"}
    assert {finding.code for finding in found} == {"missing_column"}


# --- text ---


def test_outer_space_goes_inner_stays():
    assert value(Field("x"), "\u3000东莞 理工\t ") == "东莞 理工"
    assert value(Field("x", trim=False), " a ") == " a "
    assert value(Field("x"), "   ") is None


@pytest.mark.parametrize("name", ["张?", "？三", "张\ufffd三"])
def test_a_lost_character_in_a_name_is_quarantined(name):
    found = map_row(row(xm=name), dataset(), today=TODAY)
    assert found == (Finding("lossy_text", "holders.owner.name", "xm"),)


def test_a_question_mark_elsewhere_is_text():
    assert value(Field("x"), "为什么?") == "为什么?"
    assert fault(Field("x"), "a\ufffd") == "lossy_text"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\ue863", "䶮"),
        ("\ue81e", "\u9fb4"),
        ("\ue854", "\u9fba"),
        ("\ue7c7", "ḿ"),
        ("\ue78d", "\ufe10"),
        ("\ue826", "\u9fb5"),
    ],
)
def test_private_use_forms_become_unicode_before_comparison(old, new):
    first, second = (map_row(row(xm=f"李{char}"), dataset(), today=TODAY) for char in (old, new))
    assert isinstance(first, Mapped)
    assert isinstance(second, Mapped)
    assert first.holders[0]["name"] == f"李{new}"
    assert first.digest("v") == second.digest("v")
    [note] = first.notes
    assert note.code == "unicode_form"
    assert note.detail == f"1:U+{ord(old):04X}>U+{ord(new):04X}"
    assert second.notes == ()


def test_other_private_use_characters_are_quarantined():
    assert fault(Field("x"), "\uf8ff") == "private_use"


@pytest.mark.parametrize(
    "pair", [b"\xfeY", b"\xfea", b"\xfef", b"\xfeg", b"\xfem", b"\xfe~", b"\xfe\x90", b"\xfe\xa0"]
)
def test_the_eight_characters_of_the_new_edition(pair):
    old = pair.decode("gb18030")
    assert charset.has_private_use(old)
    assert not charset.has_private_use(charset.to_unicode_forms(old))


CORPUS = ["䶮", "㑇", "𠮷", "€", "张三丰", "欧阳·买买提", "〇"]


@pytest.mark.parametrize("text", CORPUS)
def test_gb18030_bytes_in_any_column(text):
    raw = text.encode("gb18030")
    assert value(Field("x", bytes_as="gb18030"), raw) == text
    assert value(Field("x", bytes_as="gb18030"), text) == text  # a table that mixes both kinds
    assert value(Field("x", bytes_as="gb18030"), text.encode("utf-8")) == text


def mysql_latin1(raw: bytes) -> str:
    """What a client reads from a latin1 column: cp1252, its five gaps as C1 controls."""
    return "".join(
        chr(byte) if byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else bytes([byte]).decode("cp1252")
        for byte in raw
    )


@pytest.mark.parametrize("text", ["张三丰", "䶮", "㑇", "李娜", "通", "联通"])
def test_mojibake_is_read_back(text):
    found = mapped(Field("x", bytes_as="gb18030"), mysql_latin1(text.encode("gb18030")))
    assert found.claims["x"] == text
    assert [note.code for note in found.notes] == ["bytes_recovered"]


@example("哴")  # its bytes are a dagger and a bracket in latin1
@given(st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), min_size=1, max_size=6))
def test_every_name_comes_back_out_of_a_latin1_column(name):
    assert charset.recover(mysql_latin1(name.encode("gb18030")), "gb18030") == name


COMMON = [
    bytes((high, low)).decode("gb2312") for high in range(0xB0, 0xD7) for low in range(0xA1, 0xFF)
]  # level 1 of GB 2312: the 3,700 characters that nearly every name is made of


@example("路")  # its bytes are a middle dot in UTF-8
@given(st.text(st.sampled_from(COMMON), min_size=1, max_size=6))
def test_common_names_are_told_apart_in_a_column_of_two_charsets(name):
    assert charset.decode_mixed(name.encode(), "gb18030") == name
    assert charset.decode_mixed(name.encode("gb18030"), "gb18030") == name


@pytest.mark.parametrize("raw", [b"\x80", b"\xff\xff", b"\xd5"])
def test_bytes_that_are_no_text_are_quarantined(raw):
    assert fault(Field("x", bytes_as="gb18030"), raw) == "charset"
    assert fault(Field("x"), raw) == "charset"


def test_undecoded_bytes_of_a_file_are_quarantined():
    assert fault(Field("x"), b"\xd5\xc5\x80".decode("gb18030", "surrogateescape")) == "charset"


# --- numbers ---


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [("12.5", "12.50"), (Decimal("12.50"), "12.50"), (12, "12.00"), ("-0.00", "0.00"),
     (0.1 + 0.2, "0.30"), (2.675, "2.68"),
     ("999999999999999999.99", "999999999999999999.99")],
)  # fmt: skip
def test_decimals(cell, wanted):
    assert value(Field("x", kind="decimal"), cell) == wanted


@pytest.mark.parametrize(
    "cell",
    ["12.345", Decimal("0.001"), Decimal("1E+30"), "1e5", "1,000.00", "١", float("nan"), float("inf"), True],
)
def test_decimals_are_never_rounded_or_guessed(cell):
    assert fault(Field("x", kind="decimal"), cell) in {"range", "type"}


def test_a_float_is_noted():
    assert [note.code for note in mapped(Field("x", kind="decimal"), 12.5).notes] == ["float_source"]
    assert mapped(Field("x", kind="decimal"), Decimal("12.5")).notes == ()


def test_a_number_of_25_digits_is_refused_not_cut():
    assert fault(Field("x", kind="decimal", scale=4), Decimal("1234567890123456789012345.0000")) == "range"


@pytest.mark.parametrize(
    ("cell", "wanted"), [("12", 12), (Decimal("3.00"), 3), (4.0, 4), (-1, -1), ("+5", 5)]
)
def test_integers(cell, wanted):
    assert value(Field("x", kind="integer"), cell) == wanted


@pytest.mark.parametrize("cell", ["1.5", 1.5, True, "一", 2**53, Decimal("NaN"), "１２"])
def test_not_integers(cell):
    assert fault(Field("x", kind="integer"), cell) in {"range", "type"}


# --- dates ---


@pytest.mark.parametrize(
    ("cell", "formats", "wanted"),
    [("20160705", ("%Y%m%d",), "2016-07-05"),
     (20160705, ("%Y%m%d",), "2016-07-05"), ("2016年7月5日", ("%Y年%m月%d日",), "2016-07-05"),
     ("2016-07-05 00:00:00", ("%Y-%m-%d %H:%M:%S",), "2016-07-05"), (date(2016, 7, 5), (), "2016-07-05"),
     (datetime(2016, 7, 4, 16, 30, tzinfo=UTC), (), "2016-07-05"), (datetime(2016, 7, 5), (), "2016-07-05")],
)  # fmt: skip
def test_dates(cell, formats, wanted):
    assert value(Field("x", kind="date", formats=formats), cell) == wanted


@pytest.mark.parametrize(
    "cell",
    ["2016711", "20160230", "20161301", "0000-00-00", "infinity", "16-07-05", "1066-10-14", "２０１６0705"],
)
def test_impossible_dates(cell):
    assert fault(Field("x", kind="date", formats=("%Y%m%d", "%Y-%m-%d")), cell) == "date_impossible"


def test_null_values_and_no_end():
    field = Field("x", kind="date", null_values=("00000000",), no_end=("长期", "99991231"))
    assert value(field, "00000000") is None
    assert value(field, "长期") is None
    required = Field("x", kind="date", null_values=("00000000",), no_end=("长期",), required=True)
    assert fault(required, "00000000") == "missing_value"
    assert value(required, "长期") is None


def test_validity_may_not_end_before_it_begins():
    whole = dataset(valid_from=Field("a", kind="date"), valid_until=Field("b", kind="date"))
    found = map_row(row(a="2020-01-02", b="2020-01-01"), whole, today=TODAY)
    assert found == (Finding("validity", "valid"),)


def test_as_of_today_does_not_change_the_digest():
    whole = dataset(as_of=Field(const="today", kind="date"))
    first = map_row(row(), whole, today=TODAY)
    second = map_row(row(), whole, today=date(2026, 11, 24))
    assert isinstance(first, Mapped)
    assert isinstance(second, Mapped)
    assert (first.as_of, second.as_of) == ("2026-11-23", "2026-11-24")
    assert first.digest("v") == second.digest("v") != first.digest("w")


# --- codes and lists ---


@pytest.mark.parametrize("cell", ["2", 2, Decimal("2"), 2.0, " 2 "])
def test_codes_read_one_value_in_every_type(cell):
    assert value(Field("x", codes={"2": "doctor"}), cell) == "doctor"


def test_unknown_codes_are_never_passed_through():
    assert fault(Field("x", codes={"2": "doctor"}), "02") == "code_unknown"
    dropped = mapped(Field("x", codes={"2": "doctor"}, on_unknown="null"), "9")
    assert "x" not in dropped.claims
    assert [note.code for note in dropped.notes] == ["code_dropped"]


PERMITS = Field(
    "x", kind="list",
    fields={
        "kind": Field(codes={"Z": "temporary", "J": "residence"}),
        "from": Field(kind="date"), "until": Field(kind="date"),
    },
)  # fmt: skip


def test_lists_of_records():
    assert value(PERMITS, "Z:20080301:20090228|J:20100601:|") == [
        {"kind": "temporary", "from": "2008-03-01", "until": "2009-02-28"},
        {"kind": "residence", "from": "2010-06-01"},
    ]
    assert fault(PERMITS, "Z:20080301") == "list_shape"
    assert fault(PERMITS, "Q:20080301:") == "code_unknown"
    assert value(PERMITS, "") is None


def test_lists_of_values_and_native_arrays():
    assert value(Field("x", kind="list", separator=",", item=Field(kind="integer")), "1,2,") == [1, 2]
    assert value(Field("x", kind="list", item=Field(kind="integer")), [1, 2]) == [1, 2]
    assert fault(Field("x", kind="list"), "a||b") == "list_shape"


def test_constants_in_records():
    field = Field("x", kind="list", fields={"kind": Field(const="residence"), "from": Field(kind="date")})
    assert value(field, "20100601") == [{"kind": "residence", "from": "2010-06-01"}]


# --- holders ---


def test_fifteen_digits_are_lengthened_and_noted():
    found = map_row(row(sfzh="441900940315002"), dataset(), today=TODAY)
    assert isinstance(found, Mapped)
    assert found.holders[0]["id_no"] == "441900199403150023"
    assert [note.code for note in found.notes] == ["id_converted"]


@pytest.mark.parametrize(
    "number", ["441900199403150024", "44190019940230002X", "441900209903150021", "123", GOOD_ID + "\u200b"]
)
def test_identity_numbers_must_check(number):
    found = map_row(row(sfzh=number), dataset(), today=TODAY)
    assert isinstance(found, tuple)
    assert [finding.code for finding in found] == ["id_check_digit"]


def test_a_child_without_a_number_keeps_its_birth_certificate_number():
    child = HolderRule(
        "child", Field("xm", required=True), Field(const="birth", required=True), Field("csz", required=True)
    )
    found = map_row(row(csz="S440123456"), dataset(holders=(child,)), today=TODAY)
    assert isinstance(found, Mapped)
    assert found.holders[0] == {"role": "child", "name": "张三", "id_type": "birth", "id_no": "S440123456"}


def test_optional_holders():
    father = HolderRule(
        "father", Field("fxm", required=True), Field(const="111"), Field("fsfzh", required=True), when="fsfzh"
    )
    without = map_row(row(fxm=None, fsfzh=" "), dataset(holders=(OWNER, father)), today=TODAY)
    assert isinstance(without, Mapped)
    assert [holder["role"] for holder in without.holders] == ["owner"]
    half = map_row(row(fxm=None, fsfzh=GOOD_ID), dataset(holders=(OWNER, father)), today=TODAY)
    assert half == (Finding("missing_value", "holders.father.name", "fxm"),)


# --- keys ---


def test_one_key_however_it_is_typed():
    whole = dataset()
    assert (
        key_of({"id": 5}, whole)
        == key_of({"id": "5 "}, whole)
        == key_of({"id": Decimal("5.00")}, whole)
        == ("5",)
    )
    assert key_of({"id": "05"}, whole) == ("05",)
    assert key_of({"id": None}, whole) is None
    assert key_of({}, whole) is None
