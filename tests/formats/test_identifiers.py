"""GB 11643, GB 32100, GB/T 36904 and masks, on the published vectors and on made-up numbers."""

from contextlib import suppress
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.errors import HubError, Malformed
from hub.formats import identifiers as ids

TODAY = date(2026, 11, 23)


def codes(found: ids.Lenient[Any]) -> list[str]:
    return [finding.code for finding in found.findings]


def made_up(born: date, area: str = "441900", sequence: int = 2) -> str:
    body = f"{area}{born:%Y%m%d}{sequence:03}"
    return body + ids.resident_check_character(body)


# --- GB 11643 ---


def test_resident_vectors() -> None:
    assert ids.resident_id("11010519491231002X", today=TODAY).sex == "female"
    found = ids.resident_id(" 11010519491231002x ", today=TODAY)
    assert (found.value, found.born) == ("11010519491231002X", date(1949, 12, 31))
    assert ids.resident_id("441900199403150023", today=TODAY).born == date(1994, 3, 15)
    assert ids.resident_id("000000199403150021", today=TODAY).area == "000000"  # area tables grow old


@pytest.mark.parametrize("area", ["810000", "820000", "830000", "441900", "442525"])
def test_areas_are_not_judged(area: str) -> None:
    assert ids.resident_id(made_up(date(1970, 1, 1), area), today=TODAY).area == area


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("441900199402290016", "gb11643.birth_date"),
        ("441900199403150024", "gb11643.check"),
        ("441900940315002", "gb11643.form"),
        ("4419001994０3150023", "gb11643.form"),
        ("44190019940315 0023", "gb11643.form"),
        ("441900-19940315-0023", "gb11643.form"),
        ("441900199403150023\u200b", "gb11643.form"),
        ("٤41900199403150023", "gb11643.form"),
        ("44190019940315002Y", "gb11643.form"),
        ("", "gb11643.form"),
        ("440524188001010014", "gb11643.age"),
        (made_up(date(2099, 1, 1)), "gb11643.age"),
    ],
)
def test_strict_refusals(text: str, code: str) -> None:
    with pytest.raises(Malformed) as caught:
        ids.resident_id(text, today=TODAY)
    assert caught.value.code == code
    assert not text.strip() or text.strip() not in str(caught.value)


def test_fifteen_digits_are_lengthened_only_leniently() -> None:
    assert ids.resident_from_15("441900940315002") == "441900199403150023"
    found = ids.resident_id_lenient("441900940315002", today=TODAY)
    assert found.value is not None
    assert (found.original, found.value.value) == ("441900940315002", "441900199403150023")
    assert codes(found) == ["gb11643.fifteen_digits"]
    over = ids.resident_id_lenient("441900940315996", today=TODAY)
    assert (over.value, codes(over)) == (None, ["gb11643.over_century"])


@pytest.mark.parametrize(
    ("text", "parses", "found"),
    [
        ("441900199403150023", True, []),
        ("4419001994０3150023", True, ["gb11643.full_width"]),
        ("441900 19940315 0023", True, ["gb11643.separators"]),
        ("440524188001010014", True, ["gb11643.birth_date_implausible"]),
        ("441900199402290016", False, ["gb11643.birth_date"]),
        ("441900199403150024", False, ["gb11643.check"]),
        ("不详", False, ["gb11643.form"]),
        ("441900199403150023\u200b", False, ["gb11643.form"]),
    ],
)
def test_lenient_keeps_the_original_and_names_the_finding(text: str, parses: bool, found: list[str]) -> None:
    result = ids.resident_id_lenient(text, today=TODAY)
    assert (result.original, result.value is not None, codes(result)) == (text, parses, found)


@given(st.dates(date(1900, 1, 1), date(2026, 11, 23)), st.integers(0, 999), st.data())
@settings(max_examples=100)
def test_made_up_numbers_parse_and_single_errors_do_not(
    born: date, sequence: int, data: st.DataObject
) -> None:
    value = made_up(born, sequence=sequence)
    parsed = ids.resident_id(value, today=TODAY)
    assert (parsed.born, parsed.sex) == (born, "male" if sequence % 2 else "female")
    at = data.draw(st.integers(0, 17))
    wrong = (
        value[:at] + data.draw(st.sampled_from([c for c in "0123456789" if c != value[at]])) + value[at + 1 :]
    )
    with pytest.raises(Malformed):
        ids.resident_id(wrong, today=TODAY)


@given(st.text(max_size=24))
def test_hostile_text_raises_only_our_errors(text: str) -> None:
    for parser in (ids.credit_code, ids.certificate_identifier, ids.normal_number):
        with suppress(Malformed):
            parser(text)
    assert ids.resident_id_lenient(text, today=TODAY).original == text
    assert ids.credit_code_lenient(text).original == text
    assert ids.certificate_identifier_lenient(text).original == text


# --- GB 32100 ---

CREDIT = ["11100000000013338W", "11110000000021135M", "11100000MB03271699", "11220000013544541J",
          "11100000000013661B", "113700000045046442"]  # fmt: skip


@pytest.mark.parametrize("value", CREDIT)
def test_credit_code_vectors(value: str) -> None:
    assert ids.credit_code(value.lower()) == value
    assert ids.credit_check_character(value[:17]) == value[17]
    other = "0" if value[9] != "0" else "1"
    with pytest.raises(Malformed, match=r"gb32100\.check"):
        ids.credit_code(value[:9] + other + value[10:])


@pytest.mark.parametrize("bad", ["I", "O", "S", "V", "Z", "１"])
def test_letters_that_credit_codes_do_not_have(bad: str) -> None:
    with pytest.raises(Malformed, match=r"gb32100\.form"):
        ids.credit_code("1110000000001333" + bad + "W")
    assert codes(ids.credit_code_lenient(CREDIT[0].replace("338", "３38"))) == ["gb32100.full_width"]


# --- GB/T 36904 ---

CERTIFICATES = [
    "1.2.156.3005.2.11100000000013338W011.11110000000021135M.20230329701.003.Y",
    "1.2.156.3005.2.11100000MB03271699022.340100.000000016.001.9",
    "1.2.156.3005.2.11100000000013338W032.11220000013544541J.2430599.001.F",
]
WRONG = "1.2.156.3005.2.11100000000013661B006.113700000045046442.209FA4E88F9E4C878F3E9BED2CE7EA49.001.M"


@pytest.mark.parametrize("text", CERTIFICATES)
def test_certificate_identifier_vectors(text: str) -> None:
    parsed = ids.certificate_identifier(text)
    assert str(parsed) == text
    assert ids.certificate_identifier(str(parsed.next_version())).version == parsed.version + 1
    assert codes(ids.certificate_identifier_lenient(text.lower())) == []


def test_the_published_sample_with_a_wrong_check_character() -> None:
    with pytest.raises(Malformed, match=r"gb36904\.check_mismatch"):
        ids.certificate_identifier(WRONG)
    found = ids.certificate_identifier_lenient(WRONG)
    assert codes(found) == ["gb36904.check_mismatch"]
    assert found.value is not None
    assert found.value.check == "D"


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ("1.2.156", "1.2.157", "form"),
        (".003.Y", ".003.y", "form"),
        (".003.Y", ".3.Y", "form"),
        (".003.Y", ".000.Y", "version"),
        ("13338W", "13339W", "type_code"),
        ("21135M", "21136M", "issuer"),
        ("20230329701", "20230329702", "check_mismatch"),
        ("20230329701", "2023032970１", "form"),
        ("20230329701", "X" * 100, "form"),
    ],
)
def test_certificate_identifier_rules(before: str, after: str, code: str) -> None:
    with pytest.raises(Malformed) as caught:
        ids.certificate_identifier(CERTIFICATES[0].replace(before, after))
    assert caught.value.code == f"gb36904.{code}"


def test_version_999_has_no_next() -> None:
    last = ids.CertificateIdentifier("11100000000013338W011", "340100", "A1", 999)
    with pytest.raises(Malformed, match=r"gb36904\.version"):
        last.next_version()


# --- normal forms ---


def test_normal_forms() -> None:
    assert ids.normal_id("111", " 11010519491231002x ") == "11010519491231002X"
    assert ids.normal_id("001", "11100000mb03271699") == "11100000MB03271699"
    property_number = "粤（2016）东莞不动产权第 0012345 号"
    assert ids.normal_id("property", property_number) == "粤(2016)东莞不动产权第0012345号"
    assert ids.normal_id("marriage", "Ｊ441900-2016－001234") == "J4419002016001234"
    assert ids.normal_number("京〔2016〕1号") == ids.normal_number("京(2016) 1号")


@pytest.mark.parametrize(
    ("kind", "value"),
    [("111", "441900940315002"), ("111", "441900199403150024"), ("001", "x"), ("birth", " - ")],
)
def test_normal_id_refuses_mistyped_numbers(kind: str, value: str) -> None:
    with pytest.raises(Malformed):
        ids.normal_id(kind, value)


@given(st.text(min_size=1, max_size=30))
def test_the_normal_form_is_its_own_normal_form(value: str) -> None:
    try:
        once = ids.normal_number(value)
    except HubError:
        return
    assert ids.normal_number(once) == once


# --- masks ---


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("id_no", "441900199403150023", "4419**********0023"),
        ("id_no", "12345678", "********"),
        ("name", "陈莞", "陈*"),
        ("name", "陈小莞", "陈*莞"),
        ("name", "欧阳小莞", "欧**莞"),
        ("name", "䶮", "*"),
        ("name", "陈䶮", "陈*"),
        ("name", "𬭎小莞", "𬭎*莞"),
        ("name", "陈小𬭎", "陈*𬭎"),
        ("name", "葛\U000e0100小\U000e0101莞\U000e0102", "葛\U000e0100*莞\U000e0102"),
        ("name", "阿依古丽·买买提", "阿依古丽·***"),
        ("name", "阿依古丽•买买提", "阿依古丽•***"),
        ("name", "", ""),
        ("phone", "13800000000", "138****0000"),
        ("phone", "12345", "*****"),
        ("address", "东莞市南城街道鸿福路1号", "东莞市南城街道****"),
        ("address", "广东省东莞市虎门镇太沙路9号", "广东省东莞市虎门镇****"),
        ("address", "东莞市鸿福路1号", "东莞市****"),
        ("address", "鸿福路1号", "****"),
        ("number", "1181942016001234", "************1234"),
        ("number", "123", "***"),
        ("birth_date", "1994-03-15", "1994年"),
        ("none", "学士", "学士"),
        ("a typing error", "441900199403150023", "****"),
    ],
)
def test_masks(kind: str, value: str, shown: str) -> None:
    assert ids.mask_by(kind, value) == shown


@given(st.sampled_from(["id_no", "name", "phone", "number"]), st.text(max_size=24))
def test_masks_never_show_the_whole(kind: str, value: str) -> None:
    shown = ids.mask_by(kind, value)
    assert shown != value or not value.strip() or set(value) <= {"*"} or "*" in value
