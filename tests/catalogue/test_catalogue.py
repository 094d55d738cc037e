"""The shipped catalogue: 1,817 items in their real shape, none of which ever says "nothing to bring" by accident."""

import pytest

from hub.catalogue.catalogue import Catalogue, load_catalogue
from hub.catalogue.items import CLASSES, require_complete
from hub.catalogue.lint import lint
from hub.catalogue.materials import register
from hub.catalogue.search import search
from hub.errors import Unprocessable
from hub.registry.types import load_types

TYPES = load_types()


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def test_1817_items_in_six_classes_three_levels_and_two_kinds_of_applicants(catalogue: Catalogue) -> None:
    report = lint(catalogue.values(), TYPES)
    assert report.faults == ()
    assert report.items == len(catalogue) == 1817
    assert report.complete >= 60
    assert all(whole >= 5 for _, whole in report.by_class.values())
    assert all(every > 0 for every, _ in [*report.by_level.values(), *report.by_subject.values()])
    assert report.materials >= 400
    assert set(report.by_class) == set(CLASSES)


def test_what_has_no_public_source_says_so(catalogue: Catalogue) -> None:
    for item in catalogue.values():
        assert "valid_from" in item.unconfirmed
        assert item.complete or "name" in item.unconfirmed or item.code in load_catalogue()._items
        if item.limit is not None and "limit" not in item.unconfirmed:
            assert item.limit.basis["zh-CN"]
    for entry in register().values():
        assert entry.waiver is None or "waiver" in entry.unconfirmed
        assert entry.waiver is None or entry.basis


def test_a_skeleton_says_ask_the_counter_and_opens_no_case(catalogue: Catalogue) -> None:
    skeletons = [item for item in catalogue.values() if not item.complete]
    assert len(skeletons) > 1000
    assert all("窗口" in item.intro["zh-CN"] for item in skeletons)
    with pytest.raises(Unprocessable) as refused:
        require_complete(skeletons[0])
    assert refused.value.code == "item.not_catalogued"


@pytest.mark.parametrize(
    "wanted",
    ["school place", "household registration", "company start-up", "project approval", "property", "talent"],
)
def test_the_named_stories_are_complete(catalogue: Catalogue, wanted: str) -> None:
    codes = {
        "school place": "441900-edu-points-enrolment",
        "household registration": "441900-ps-points-household",
        "company start-up": "441900-market-company-startup",
        "project approval": "441900-dr-approval",
        "property": "441900-realestate-transfer",
        "talent": "441900-hrss-talent-bachelor",
    }
    item = catalogue[codes[wanted]]
    assert item.complete
    for material in item.materials:
        assert material.why["zh-CN"]
        assert material.why["en"]


def test_alternatives_are_kept_together(catalogue: Catalogue) -> None:
    item = catalogue["441900-market-sole-trader"]
    either = {m.code for m in item.materials if m.either == "premises"}
    assert either == {"premises", "lease", "premises_promise"}


def test_starting_reads_no_item_whole(catalogue: Catalogue) -> None:
    fresh = load_catalogue()
    assert len(fresh.listed) == 1817
    assert len(fresh._items) == 6, "only those that came as documents: the hub's start waits for the others"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("结婚", "内地居民结婚登记"),
        ("驾照到期", "驾驶证期满换证"),
        ("开饭店", "食品经营许可新办"),
        ("小孩上户口", "出生登记（户口）"),
        ("我妈去世了怎么办", "死亡注销户口"),
        ("公积金租房", "公积金提取（租房）"),
        ("养老金", "企业职工养老待遇申领"),
        ("狗", "养犬登记（新办）"),
        ("ＰＡＳＳＰＯＲＴ", "普通护照首次申领"),
    ],
)
def test_everyday_words_find_the_item_first(catalogue: Catalogue, said: str, meant: str) -> None:
    assert search(catalogue, said).items[0].zh == meant


@pytest.mark.parametrize("said", ["\x00", "😀" * 400, "%' OR 1=1 --", "啊" * 10_000, "ﷺ", "𠮷𠮷"])
def test_nonsense_finds_nothing_and_breaks_nothing(catalogue: Catalogue, said: str) -> None:
    assert search(catalogue, said).items == ()


def test_filters_and_no_query_list_everything(catalogue: Catalogue) -> None:
    assert len(search(catalogue).items) == 1817
    assert search(catalogue).items[0].complete
    villages = search(catalogue, level="village").items
    assert villages
    assert {one.level for one in villages} == {"village"}
    tax = search(catalogue, "申报", item_class="tax", subject="natural").items
    assert {(one.item_class, one.subject) for one in tax} == {("tax", "natural")}
