"""The made-up city: the same every time, nobody real, readable by the agents, and at the edges it says."""

import json
import stat
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path

import dbfread
import pytest

from adapters.config import load
from adapters.demo import dbf
from adapters.demo.families import build
from adapters.demo.stores import NAMES, STORES, Written, revoke_degree, write
from adapters.mapping import Mapped, map_row
from adapters.source import Unreadable
from adapters.sources import open_source
from hub.cases.residence import Permit, residence
from hub.cases.scheme import load_schemes
from hub.cases.scoring import Evidence, Score, Shown, score
from hub.formats.identifiers import resident_id
from hub.registry.types import load_types

TODAY = date(2016, 5, 15)
TYPES = load_types()
SCHEME = load_schemes()["dg-points-enrolment-2016"]
Rows = Mapping[str, list[Mapped]]


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write(tmp_path_factory.mktemp("city") / "stores", today=TODAY)


def read(city: Written, scratch: Path, today: date) -> tuple[dict[str, list[Mapped]], dict[str, list[str]]]:
    """Everything that the twelve agents would sign by type, and why they would not sign the rest."""
    good: dict[str, list[Mapped]] = {}
    bad: dict[str, list[str]] = {}
    for place in city.departments.values():
        config = load(place / "agent.yaml", environment={"YIMEN_HUB": "http://127.0.0.1:8000"})
        for dataset in config.datasets:
            source = open_source(dataset, scratch)
            try:
                for row in source.rows():
                    assert not isinstance(row, Unreadable)
                    mapped = map_row(row, dataset, today=today)
                    if isinstance(mapped, Mapped):
                        good.setdefault(dataset.type, []).append(mapped)
                    else:
                        bad.setdefault(dataset.id, []).extend(f.code for f in mapped)
                assert source.complete, dataset.id
            finally:
                source.close()
    return good, bad


BUILDING = {"dg-dr", "dg-eco", "dg-housing", "dg-nr", "dg-water"}
"""Departments of the project story: no family of the school story has anything from them."""
OF_THE_STORY = {code: kind for code, kind in TYPES.items() if kind.owner not in BUILDING}


@pytest.fixture(scope="module")
def signed(city: Written, tmp_path_factory: pytest.TempPathFactory) -> tuple[Rows, Mapping[str, list[str]]]:
    return read(city, tmp_path_factory.mktemp("scratch"), TODAY)


def test_every_department_has_a_store_a_configuration_and_an_owner_of_its_types(city: Written) -> None:
    assert set(STORES) == set(NAMES) == {t.owner for t in OF_THE_STORY.values()}
    for slug, place in city.departments.items():
        config = load(place / "agent.yaml", environment={"YIMEN_HUB": "http://127.0.0.1:8000"})
        assert config.agent.department == slug
        assert all(slug in TYPES[d.type].issuers for d in config.datasets)


def test_the_agents_would_sign_every_type_as_its_file_says(
    signed: tuple[Rows, Mapping[str, list[str]]],
) -> None:
    good, _ = signed
    assert set(good) == set(OF_THE_STORY)
    for code, rows in good.items():
        for row in rows:
            TYPES[code].check_claims(row.claims)
            TYPES[code].check_roles([h["role"] for h in row.holders])
            assert (row.as_of is not None) == TYPES[code].living


def test_exactly_the_spoilt_rows_are_quarantined(signed: tuple[Rows, Mapping[str, list[str]]]) -> None:
    assert {k: sorted(v) for k, v in signed[1].items()} == {
        "degree": ["code_unknown", "code_unknown", "lossy_text", "missing_value"],
        "canbao": ["id_check_digit"],
    }


def test_forty_families_of_nobody_real_the_same_every_time() -> None:
    families = build(TODAY)
    assert len(families) == 40
    assert families == build(TODAY)
    people = [a.person for f in families for a in f.adults] + [c.person for f in families for c in f.children]
    assert len({p.id_no for p in people}) == len(people)
    for person in people:
        parsed = resident_id(person.id_no, today=TODAY)
        assert parsed.born == person.born
        assert parsed.sex == ("male" if person.male else "female")
        assert person.id_no[2:6] == "9998"  # no county has this code


@pytest.mark.parametrize("today", [TODAY, date(2016, 2, 29), date(2026, 8, 31), date(2026, 9, 1)])
def test_the_first_child_is_six_by_the_end_of_august(today: date) -> None:
    end = date(today.year, 8, 31)
    for family in build(today):
        born = family.children[0].person.born
        assert end.year - born.year - ((end.month, end.day) < (born.month, born.day)) == 6


def test_rare_and_minority_names_survive_every_encoding(signed: tuple[Rows, Mapping[str, list[str]]]) -> None:
    for code in ("degree", "employment", "qualification", "property", "marriage", "volunteering", "birth"):
        names = {h["name"] for row in signed[0][code] for h in row.holders}
        assert "陈䶮" in names, code
    assert "李𬭎" in {h["name"] for row in signed[0]["marriage"] for h in row.holders}
    assert "陈㛃" in {h["name"] for row in signed[0]["school_record"] for h in row.holders}
    assert "阿卜杜拉·买买提" in {h["name"] for row in signed[0]["employment"] for h in row.holders}


def test_an_old_number_is_lengthened_and_noted(
    city: Written, signed: tuple[Rows, Mapping[str, list[str]]]
) -> None:
    mother = city.family("old_number").mother.person
    row = next(r for r in signed[0]["residence_permit"] if r.holders[0]["name"] == mother.name)
    assert row.holders[0]["id_no"] == mother.id_no
    assert "id_converted" in {note.code for note in row.notes}


def scored(city: Written, good: Rows, label: str, today: date = TODAY) -> Score:
    """The family's points from what its departments would sign."""
    family = city.family(label)
    shown = tuple(
        Shown(
            f"{code}-{n}",
            code,
            frozenset(h["id_no"] for h in row.holders),
            row.claims,
            date.fromisoformat(row.as_of) if row.as_of else None,
        )
        for code, rows in good.items()
        for n, row in enumerate(rows)
    )
    evidence = Evidence(family.parent.person.id_no, family.children[0].person.id_no, shown)
    return score(SCHEME, evidence, as_of=today)


def line_points(found: Score, rule: str) -> Decimal:
    return next(line.points for line in found.lines if line.rule == rule)


def test_the_story_family_scores_point_by_point(
    city: Written, signed: tuple[Rows, Mapping[str, list[str]]]
) -> None:
    found = scored(city, signed[0], "school")
    # Since 2010-05-20 71 full months, and four temporary years to 2010-02-28, of which 46 months before 2010.
    assert {line.rule: line.points for line in found.lines if line.points} == {
        "service": 21,
        "residence": 27,
        "social_insurance": 7 * Decimal("1.5") * 3 + 6 * Decimal("1.5") + 4 * Decimal("1.5"),
        "tax.wage": 30,
        "tax.other_income": 1,
        "tax.deed": 12,
        "schooling.grade_1": 10,
        "education": 20,
        "family_planning.no_violation": 20,
        "family_planning.only_child": 5,
    }
    assert found.total == Decimal("192.5")
    assert all(line.certificate_id for line in found.lines if line.points)


def test_the_edges_of_residence_are_where_the_cast_says(
    city: Written, signed: tuple[Rows, Mapping[str, list[str]]]
) -> None:
    def words(label: str) -> str:
        found = scored(city, signed[0], label)
        return next(line.explanation_zh for line in found.lines if line.rule == "residence")

    def points(label: str) -> Decimal:
        return line_points(scored(city, signed[0], label), "residence")

    assert points("renewed_day_30") == 10  # five years in one run
    assert points("renewed_day_31") == 1  # 19 months since the late renewal
    assert "中断" in words("renewed_day_31")
    assert points("one_day_short") == 0
    assert "11个月" in words("one_day_short")
    assert points("suspended") == 0
    assert "续签" in words("suspended")
    assert "暂住证" not in words("temporary_lost")
    assert "暂住证46个月" in words("school")


@pytest.mark.parametrize(
    "today", [date(2026, 11, 23), date(2024, 2, 29), date(2025, 3, 31), date(2026, 10, 31), date(2027, 1, 1)]
)
def test_the_edges_hold_on_any_day(today: date) -> None:
    months = {}
    for family in build(today):
        permits = [Permit(p.kind, p.first, p.last) for p in family.parent.permits]
        months[family.label or family.key] = residence(permits, today)
    assert months["renewed_day_30"].months >= 59
    assert months["renewed_day_31"].months <= 19
    assert months["one_day_short"].months == 11
    assert months["suspended"].state == "suspended"
    assert months["suspended"].renew_by is not None
    assert months["temporary_lost"].temporary_months == 0
    assert months["school"].temporary_months == 46


def test_tax_over_the_cap_gives_100(city: Written, signed: tuple[Rows, Mapping[str, list[str]]]) -> None:
    found = scored(city, signed[0], "tax_over_cap")
    assert found.measures["tax"] == 100
    assert line_points(found, "tax.cap") < 0


def test_shared_certificates_have_several_holders(
    city: Written, signed: tuple[Rows, Mapping[str, list[str]]]
) -> None:
    father, mother = city.family("co_owned").parent.person, city.family("co_owned").mother.person
    home = next(r for r in signed[0]["property"] if r.holders[0]["id_no"] == father.id_no)
    assert [(h["role"], h["id_no"]) for h in home.holders] == [
        ("owner", father.id_no),
        ("co_owner", mother.id_no),
    ]
    alone = city.family("one_parent")
    birth = next(r for r in signed[0]["birth"] if r.holders[0]["id_no"] == alone.children[0].person.id_no)
    assert [h["role"] for h in birth.holders] == ["child", "mother"]
    two = city.family("second_child")
    book = next(
        r for r in signed[0]["household_register"] if r.holders[0]["id_no"] == two.parent.person.id_no
    )
    assert [h["role"] for h in book.holders] == ["head", "spouse", "child", "child"]


def test_striking_a_degree_out_takes_its_row_away(tmp_path: Path) -> None:
    city = write(tmp_path / "stores", today=TODAY)
    person = city.family("revoked_degree").parent.person
    before = read(city, tmp_path, TODAY)[0]["degree"]
    assert revoke_degree(city.folder, person.id_no) == 1
    after = read(city, tmp_path, TODAY)[0]["degree"]
    gone = {r.claims["number"] for r in before} - {r.claims["number"] for r in after}
    assert len(gone) == 1
    assert person.id_no in {r.holders[0]["id_no"] for r in before if r.claims["number"] in gone}
    assert revoke_degree(city.folder, person.id_no) == 0


def test_a_store_is_never_written_over(city: Written) -> None:
    with pytest.raises(FileExistsError):
        write(city.folder, today=TODAY)


def test_the_list_of_the_cast_is_for_the_owner_only(city: Written) -> None:
    cast = city.folder / "families.json"
    assert stat.S_IMODE(cast.stat().st_mode) == 0o600
    listed = json.loads(cast.read_text(encoding="utf-8"))
    assert listed["families"][0]["label"] == "school"
    assert listed["families"][0]["father"]["name"] == "陈䶮"


def test_a_dbf_written_here_is_read_elsewhere(tmp_path: Path) -> None:
    columns = (dbf.Column("XM", "C", 12), dbf.Column("JE", "N", 8, 2), dbf.Column("RQ", "D", 8))
    rows = [("李𬭎", "12.5", date(2016, 5, 15)), ("古丽·艾", None, None)]
    dbf.write(tmp_path / "x.dbf", columns, rows, written=TODAY)
    table = dbfread.DBF(str(tmp_path / "x.dbf"), encoding="gb18030")
    assert [tuple(r.values()) for r in table] == [("李𬭎", 12.5, date(2016, 5, 15)), ("古丽·艾", None, None)]
    assert table.header.language_driver == dbf.CP936
    with pytest.raises(ValueError, match="XM"):
        dbf.write(tmp_path / "y.dbf", columns, [("很长的名字很长", None, None)], written=TODAY)
