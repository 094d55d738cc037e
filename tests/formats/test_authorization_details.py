"""The closed schema of authorization_details, and that a grant is never wider than what was asked."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import Malformed, Unprocessable
from hub.formats.authorization import AskedPredicate, Detail, narrower_or_equal, parse_details
from hub.formats.details import BASES

RAW = {
    "type": "certificate_verification",
    "item_code": "441900-edu-points-enrolment",
    "case_id": "_-case",
    "purpose": "points-enrolment",
    "basis": "holder",
    "datatypes": ["degree", "social_insurance"],
    "fields": {"degree": [["degree_level"], ["holders", None, "name"]], "social_insurance": [["months"]]},
    "valid_until": 1_800_000_000,
    "max_uses": 2,
    "predicates": [{"type": "social_insurance", "path": ["months"], "op": "ge", "value": 60}],
    "identifier": "certificate-1",
}
DETAIL = Detail.from_json(RAW)


def member_refused(raw: object) -> str:
    with pytest.raises(Malformed) as fault:
        Detail.from_json(raw)
    assert fault.value.code == "authorization_details.invalid"
    return fault.value.facts["member"]


def test_round_trip():
    assert DETAIL.to_json() == RAW
    assert Detail.from_json(DETAIL.to_json()) == DETAIL
    assert DETAIL.predicates == (AskedPredicate("social_insurance", ("months",), "ge", 60),)
    assert parse_details([RAW, RAW | {"basis": "guardian"}])[1].basis == "guardian"


def test_optional_members_stay_away():
    raw = {k: v for k, v in RAW.items() if k not in ("predicates", "identifier")}
    assert Detail.from_json(raw).to_json() == raw


codes = st.text("abcXYZ09._:-", min_size=1, max_size=8)
steps = (
    st.none()
    | st.integers(0, 99)
    | st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=5)
)
paths = st.tuples(st.text("abc字", min_size=1, max_size=4), st.lists(steps, max_size=3)).map(
    lambda t: (t[0], *t[1])
)
path_lists = st.lists(paths, max_size=4, unique_by=repr).map(tuple)
scalars = st.booleans() | st.integers(-1000, 1000) | st.text(max_size=5)


@st.composite
def details(draw):
    types = draw(st.lists(codes, min_size=1, max_size=4, unique=True).map(tuple))
    asks = st.builds(
        AskedPredicate, st.sampled_from(types), paths, st.sampled_from(["eq", "ge", "le"]), scalars
    )
    return Detail(
        item_code=draw(codes),
        case_id=draw(codes),
        purpose=draw(codes),
        basis=draw(st.sampled_from(sorted(BASES))),
        datatypes=types,
        fields={t: draw(path_lists) for t in types if draw(st.booleans())},
        valid_until=draw(st.integers(1, 2**53 - 1)),
        max_uses=draw(st.integers(1, 10_000)),
        predicates=draw(st.lists(asks, max_size=3, unique_by=repr).map(tuple)),
        identifier=draw(st.none() | codes),
    )


@given(details())
def test_any_detail_round_trips(detail):
    assert Detail.from_json(detail.to_json()) == detail
    assert narrower_or_equal(detail, detail)


@pytest.mark.parametrize("member", [k for k in RAW if k not in ("predicates", "identifier")])
def test_missing_members(member):
    assert member_refused({k: v for k, v in RAW.items() if k != member}) == member


@pytest.mark.parametrize("raw", [None, [], "x", 5, [RAW]])
def test_not_an_object(raw):
    assert member_refused(raw) == "authorization_details"


@pytest.mark.parametrize(
    "extra", ["locations", "actions", "privileges", "sub", "holder", "login_hint", "Fields"]
)
def test_unknown_members(extra):
    assert member_refused(RAW | {extra: "x"}) == "unknown"


BAD = {
    "type": ["openid_credential", "", None, 5, ["certificate_verification"]],
    "item_code": ["", None, 5, "a b", "事项", "x" * 129, "a/b", ["a"]],
    "case_id": ["", None, 5, "a\n"],
    "purpose": ["", None, {}, "a'b"],
    "basis": ["use_code", "", None, "HOLDER", ["holder"], 1],
    "datatypes": [
        [],
        "degree",
        None,
        [5],
        ["degree", "degree"],
        ["a b"],
        [f"t{i}" for i in range(17)],
        {"degree": 1},
    ],
    "fields": [
        None,
        [],
        {"tax_record": [["a"]]},
        {"degree": None},
        {"degree": ["degree_level"]},
        {"degree": [[]]},
        {"degree": [[None]]},
        {"degree": [[0]]},
        {"degree": [["a", -1]]},
        {"degree": [["a", True]]},
        {"degree": [["a", 1.5]]},
        {"degree": [["a", ""]]},
        {"degree": [["a", "x" * 129]]},
        {"degree": [["a"] * 9]},
        {"degree": [["a"], ["a"]]},
        {"degree": [[f"c{i}"] for i in range(129)]},
    ],
    "valid_until": [0, -1, None, True, 1.5, "1800000000", 2**53],
    "max_uses": [0, -1, None, True, "1", 1.0, 10_001],
    "predicates": [
        None,
        {},
        ["x"],
        [{"type": "degree", "path": ["a"], "op": "ge"}],
        [{"type": "degree", "path": ["a"], "op": "ge", "value": 1, "more": 1}],
        [{"type": "tax_record", "path": ["a"], "op": "ge", "value": 1}],
        [{"type": "degree", "path": [], "op": "ge", "value": 1}],
        [{"type": "degree", "path": "a", "op": "ge", "value": 1}],
        [{"type": "degree", "path": ["a"], "op": "gt", "value": 1}],
        [{"type": "degree", "path": ["a"], "op": ["ge"], "value": 1}],
        [{"type": "degree", "path": ["a"], "op": "ge", "value": None}],
        [{"type": "degree", "path": ["a"], "op": "ge", "value": 1.5}],
        [{"type": "degree", "path": ["a"], "op": "ge", "value": [1]}],
        [{"type": "degree", "path": ["a"], "op": "in", "value": 1}],
        [{"type": "degree", "path": ["a"], "op": "in", "value": []}],
        [{"type": "degree", "path": ["a"], "op": "in", "value": [[1]]}],
        [{"type": "degree", "path": ["a"], "op": "eq", "value": "x" * 129}],
        [{"type": "degree", "path": ["a"], "op": "eq", "value": 1}] * 2,
    ],
    "identifier": ["", None, 5, "a b"],
}


@pytest.mark.parametrize(
    ("member", "value"), [(k, v) for k, values in BAD.items() for v in values], ids=lambda v: repr(v)[:40]
)
def test_values_out_of_range(member, value):
    assert member_refused(RAW | {member: value}) == member


@pytest.mark.parametrize("raw", [None, {}, [], [RAW] * 9, "x", RAW])
def test_the_array(raw):
    with pytest.raises(Malformed):
        parse_details(raw)


# ---------------------------------------------------------------- narrower or equal


WIDER = {
    "another item": {"item_code": "other"},
    "another case": {"case_id": "other"},
    "another purpose": {"purpose": "other"},
    "another basis": {"basis": "office_power"},
    "another type": {"datatypes": ("degree", "social_insurance", "tax_record")},
    "another field": {"fields": {"degree": (("degree_level",), ("major",))}},
    "a parent of a field": {"fields": {"degree": (("holders",),)}},
    "a child of a field": {"fields": {"degree": (("degree_level", "x"),)}},
    "every element for one": {"fields": {"degree": (("holders", None, None),)}},
    "a field of a type not covered": {"datatypes": ("degree",), "predicates": ()},
    "longer": {"valid_until": 1_800_000_001},
    "more uses": {"max_uses": 3},
    "another predicate": {"predicates": (AskedPredicate("social_insurance", ("months",), "ge", 61),)},
    "true for one": {"predicates": (AskedPredicate("social_insurance", ("months",), "ge", True),)},
    "another certificate": {"identifier": "certificate-2"},
    "any certificate": {"identifier": None},
}


@pytest.mark.parametrize("change", WIDER.values(), ids=WIDER.keys())
def test_wider(change):
    assert not narrower_or_equal(DETAIL, replace(DETAIL, **change))


def test_one_is_not_true():
    asked = replace(DETAIL, predicates=(AskedPredicate("degree", ("a",), "eq", 1),))
    assert not narrower_or_equal(
        asked, replace(asked, predicates=(AskedPredicate("degree", ("a",), "eq", True),))
    )


NARROWER = {
    "fewer fields": {"fields": {"degree": (("degree_level",),)}},
    "one element for every": {"fields": {"degree": (("holders", 0, "name"),)}},
    "no fields": {"fields": {}},
    "fewer types": {"datatypes": ("degree",), "fields": {"degree": (("degree_level",),)}, "predicates": ()},
    "shorter": {"valid_until": 5},
    "fewer uses": {"max_uses": 1},
    "no predicates": {"predicates": ()},
}


@pytest.mark.parametrize("change", NARROWER.values(), ids=NARROWER.keys())
def test_narrower(change):
    narrow = replace(DETAIL, **change)
    assert narrower_or_equal(DETAIL, narrow)
    assert not narrower_or_equal(narrow, DETAIL)


def test_naming_one_certificate_is_narrower_than_naming_none():
    assert narrower_or_equal(replace(DETAIL, identifier=None), DETAIL)


@given(details(), st.data())
def test_narrowed_is_narrower(detail, data):
    left = {t: [p for p in ps if data.draw(st.booleans())] for t, ps in detail.fields.items()}
    try:
        narrow = detail.narrowed(left)
    except Unprocessable:
        asks = {p.type for p in detail.predicates}
        assert not any(left.get(t) or t in asks or not detail.fields.get(t) for t in detail.datatypes)
        return
    assert narrower_or_equal(detail, narrow)
    assert Detail.from_json(narrow.to_json()) == narrow
    for code in narrow.datatypes:
        assert list(narrow.fields.get(code, ())) == left.get(code, [])


def test_narrowed_drops_a_type_of_which_nothing_is_left():
    narrow = DETAIL.narrowed({"social_insurance": [("months",)]})
    assert narrow.datatypes == ("social_insurance",)
    assert narrow.fields == {"social_insurance": (("months",),)}


def test_narrowed_keeps_a_type_with_a_predicate():
    assert DETAIL.narrowed({"degree": [("degree_level",)]}).datatypes == ("degree", "social_insurance")


@pytest.mark.parametrize("fields", [{"degree": [("major",)]}, {"tax_record": [("a",)]}])
def test_narrowed_never_widens(fields):
    with pytest.raises(Unprocessable) as fault:
        DETAIL.narrowed(fields)
    assert fault.value.code == "authorization_details.not_narrower"


def test_narrowed_to_nothing_is_a_refusal_and_not_a_grant():
    plain = replace(DETAIL, predicates=())
    with pytest.raises(Unprocessable):
        plain.narrowed({})


def test_a_refusal_names_the_member_and_not_the_value():
    with pytest.raises(Malformed) as fault:
        Detail.from_json(RAW | {"case_id": "440101199001010017 "})
    assert "440101199001010017" not in str(fault.value) + repr(fault.value.facts)


def test_fields_that_no_json_writer_spells_are_refused_and_known_ones_keep_apart():
    """What was read once is remembered by its spelling: 1 is not true, and "1" is neither."""
    asked = RAW | {"datatypes": ["degree"], "predicates": []}
    for step in (2**80, "\ud800", object(), True, 1.0):
        assert member_refused(asked | {"fields": {"degree": [["holders", step]]}}) == "fields"
    for step in (1, "1", None):
        found = Detail.from_json(asked | {"fields": {"degree": [["holders", step]]}}).fields["degree"]
        assert repr(found) == repr((("holders", step),))
