"""What a citizen reads: every claim says why, what stays unseen is said, a question stands in the item's own words."""

from uuid import UUID

import pytest
from world import ITEMS, SCHOOL, TYPES

from hub.cases.gather import details_of
from hub.catalogue.items import predicates
from hub.consent.shown import narrowed, parts_of
from hub.formats.details import AskedPredicate, Detail

ME = UUID(int=1)


def parts(item, details):
    return parts_of([(one, ME) for one in details], item, TYPES)


@pytest.mark.parametrize("code", [one.code for one in ITEMS.values() if one.complete])
def test_every_claim_of_every_item_says_why_and_the_rest_is_named_as_unseen(code: str) -> None:
    item = ITEMS[code]
    for part in parts(item, details_of(item, case_id="c", with_child=True, now=0)):
        for ask in part.types:
            asked = {field.path for field in ask.fields}
            explained = {path for _, paths in ask.reasons for path in paths}
            assert asked == explained, (ask.type_code, asked - explained)
            assert all(item.material(material).why["zh-CN"] for material, _ in ask.reasons)
            assert asked | set(ask.not_shown) == TYPES[ask.type_code].paths() | asked
            assert not asked & set(ask.not_shown)


def test_what_serves_two_materials_gives_both_reasons() -> None:
    item = ITEMS[SCHOOL]
    (part, *_) = parts(item, details_of(item, case_id="c", with_child=False, now=0))
    permit = next(ask for ask in part.types if ask.type_code == "residence_permit")
    assert [material for material, _ in permit.reasons] == ["identity", "residence"]


def test_nothing_optional_is_given_unless_it_was_ticked() -> None:
    item = ITEMS[SCHOOL]
    found = parts(item, details_of(item, case_id="c", with_child=False, now=0))
    ((part, kept),) = narrowed(found, None)
    for ask in part.types:
        given = set(kept.fields.get(ask.type_code, ()))
        assert given == {field.path for field in ask.fields if field.required}


def test_a_question_is_told_in_the_words_of_the_item() -> None:
    item = next(one for one in ITEMS.values() if any(predicates(one, code) for code in TYPES))
    code = next(code for code in TYPES if predicates(item, code))
    question = predicates(item, code)[0]
    detail = Detail(
        item.code, "c", sorted(item.caps.purposes)[0], "holder", (code,), {}, 1, 1,
        (AskedPredicate(code, question.path, question.op, question.value),),
    )  # fmt: skip
    (part,) = parts(item, [detail])
    assert part.questions == ((code, question.display),)
