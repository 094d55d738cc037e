"""Alternatives in pre-review, and what was brought once as the planner sees it."""

from datetime import date

from hub.cases.model import MaterialState
from hub.cases.prereview import Uploaded, prereview
from hub.catalogue.catalogue import load_catalogue

ITEM = load_catalogue()["441900-market-sole-trader"]  # identity; premises | lease | premises_promise; photo?
DAY = date(2026, 11, 23)


def test_of_alternatives_one_is_enough() -> None:
    accepted = Uploaded(MaterialState.ACCEPTED, None)
    nothing = prereview(ITEM, looks={}, uploads={}, as_of=DAY)
    assert {one.code for one in nothing.materials if one.blocks} == {
        "identity", "premises", "lease", "premises_promise",
    }  # fmt: skip
    one = prereview(ITEM, looks={}, uploads={"identity": accepted, "lease": accepted}, as_of=DAY)
    assert one.passes is True
    assert {m.code: m.how for m in one.materials} == {
        "identity": "uploaded", "premises": "not_needed", "lease": "uploaded", "premises_promise": "not_needed",
        "photo": "not_needed",
    }  # fmt: skip
