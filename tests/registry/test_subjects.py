import asyncio
import itertools
from datetime import date

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from registry.makers import credit, resident

from hub.actor import SYSTEM
from hub.errors import Conflict, Forbidden, Gone, Malformed, NotFound, Unprocessable
from hub.ids import bucket_of
from hub.ledger.model import leaves
from hub.registry import officers, subjects
from hub.registry.model import SubjectKind, subject_identifiers
from hub.registry.model import subjects as subjects_table
from hub.registry.roster import OfficerRow
from hub.store.model import person_keys
from hub.store.seal import Vault
from hub.store.tx import Database

ZHANG = resident(11)


async def resolve(open_tx, id_no=ZHANG, id_type="111", kind="natural"):
    async with open_tx() as tx:
        return await subjects.resolve(tx, id_type=id_type, id_no=id_no, kind=kind)


async def two_administrators(open_tx):
    async with open_tx() as tx:
        rows = [
            OfficerRow(n, "dg-edu", login, login, frozenset({role}))
            for n, (login, role) in enumerate(
                [("a", "administrator"), ("b", "administrator"), ("c", "clerk")]
            )
        ]
        await officers.import_officers(tx, rows=rows, dry_run=False)
        return [(await officers.by_login(tx, "dg-edu", login)).id for login in "abc"]


async def test_one_number_is_one_subject_however_it_is_written(open_tx):
    first = await resolve(open_tx)
    assert await resolve(open_tx, f" {ZHANG.lower()} ") == first
    async with open_tx() as tx:
        assert await subjects.find(tx, id_type="111", id_no=ZHANG) == first
        assert await subjects.find(tx, id_type="111", id_no=resident(12)) is None
        assert await subjects.find(tx, id_type="414", id_no=ZHANG) is None, (
            "another type is another namespace"
        )


async def test_the_number_is_nowhere_in_the_database(open_tx):
    subject = await resolve(open_tx)
    async with open_tx() as tx:
        await subjects.remember_face(tx, subject_id=subject, name="张三丰", id_type="111", id_no=ZHANG)
        seen = []
        for table in (subjects_table, subject_identifiers, person_keys, leaves):
            seen += [repr(tuple(row)) for row in await tx.all(sa.select(table))]
    whole = "".join(seen)
    assert ZHANG not in whole
    assert "张三丰" not in whole
    assert "\\xe5\\xbc\\xa0" not in whole
    assert ZHANG[6:14] not in whole


async def test_sixteen_at_once_make_one_subject(open_tx):
    found = await asyncio.gather(*[resolve(open_tx) for _ in range(16)])
    assert len(set(found)) == 1
    async with open_tx() as tx:
        assert await tx.value(sa.select(sa.func.count()).select_from(subjects_table)) == 1


async def test_a_mistyped_number_finds_nobody_silently_but_is_refused(open_tx):
    wrong = ZHANG[:-1] + ("0" if ZHANG[-1] != "0" else "1")
    with pytest.raises(Malformed, match=r"gb11643\.check") as refused:
        await resolve(open_tx, wrong)
    assert wrong not in str(refused.value) + refused.value.zh + str(refused.value.facts)


async def test_a_person_is_never_taken_for_an_organisation(open_tx):
    await resolve(open_tx, credit(9), "001", "legal")
    with pytest.raises(Unprocessable, match=r"subject\.kind"):
        await resolve(open_tx, credit(9), "001", "natural")


@pytest.mark.usefixtures("two_departments")
async def test_a_merge_takes_two_administrators_and_leaves_an_alias(open_tx):
    first, second, clerk = await two_administrators(open_tx)
    keep, gone = await resolve(open_tx), await resolve(open_tx, "P-123 456", "414")
    for pair in ((first, first), (first, clerk), (clerk, second)):
        async with open_tx() as tx:
            with pytest.raises(Forbidden, match=r"subject\.merge_officers"):
                await subjects.merge(tx, keep=keep, gone=gone, first_officer=pair[0], second_officer=pair[1])
    async with open_tx() as tx:
        await subjects.merge(tx, keep=keep, gone=gone, first_officer=first, second_officer=second)
    async with open_tx() as tx:
        assert await subjects.find(tx, id_type="414", id_no="p123456") == keep
        assert await subjects.canonical(tx, gone) == keep
        assert await subjects.aliases(tx, gone) == [keep, gone]
        with pytest.raises(Conflict, match=r"subject\.merge_state"):
            await subjects.merge(tx, keep=gone, gone=keep, first_officer=first, second_officer=second)
        data = (await tx.all(sa.select(leaves.c.data).order_by(leaves.c.seq.desc()).limit(1)))[0].data
    assert keep.hex.encode() not in data
    assert gone.hex.encode() not in data


@pytest.mark.usefixtures("two_departments")
async def test_chains_of_merges_lead_to_the_end(open_tx):
    first, second, _ = await two_administrators(open_tx)
    people = [await resolve(open_tx, f"N{n}", "414") for n in range(4)]
    for gone, keep in itertools.pairwise(people):
        async with open_tx() as tx:
            await subjects.merge(tx, keep=keep, gone=gone, first_officer=first, second_officer=second)
    async with open_tx() as tx:
        assert {await subjects.canonical(tx, p) for p in people} == {people[-1]}
        assert set(await subjects.aliases(tx, people[0])) == set(people)
        assert await subjects.find(tx, id_type="414", id_no="N0") == people[-1]


async def test_several_live_matches_are_an_error_and_nobody_is_guessed(open_tx, vault):
    one, other = await resolve(open_tx), await resolve(open_tx, resident(12))
    async with open_tx() as tx:
        blind = vault.blind("id:111", ZHANG)
        row = {"blind": blind, "subject_id": other, "pepper": 1, "id_type": "111", "since": tx.now}
        await tx.insert(subject_identifiers, row)
        with pytest.raises(Conflict, match=r"subject\.ambiguous"):
            await subjects.find(tx, id_type="111", id_no=ZHANG)
    assert one != other


async def test_identifiers_come_and_go_over_time(open_tx):
    person, other = await resolve(open_tx), await resolve(open_tx, resident(12))
    async with open_tx() as tx:
        await subjects.add_identifier(tx, subject_id=person, id_type="414", id_no="E 123")
        await subjects.add_identifier(tx, subject_id=person, id_type="414", id_no="e-123")
        with pytest.raises(Conflict, match=r"subject\.identifier_taken"):
            await subjects.add_identifier(tx, subject_id=other, id_type="414", id_no="E123")
        await subjects.end_identifier(tx, subject_id=person, id_type="414", id_no="E123")
        assert await subjects.find(tx, id_type="414", id_no="E123") is None
        with pytest.raises(NotFound):
            await subjects.end_identifier(tx, subject_id=person, id_type="414", id_no="E123")
        await subjects.add_identifier(tx, subject_id=other, id_type="414", id_no="E123")
        await subjects.end_identifier(tx, subject_id=other, id_type="414", id_no="E123")
        await subjects.add_identifier(tx, subject_id=person, id_type="414", id_no="E123")
        assert await subjects.find(tx, id_type="414", id_no="E123") == person


async def test_a_face_is_sealed_for_the_person_and_dies_with_the_key(open_tx):
    person = await resolve(open_tx)
    async with open_tx() as tx:
        assert await subjects.face(tx, person) is None
        await subjects.remember_face(tx, subject_id=person, name="张三", id_type="111", id_no=ZHANG)
        await subjects.remember_face(tx, subject_id=person, name="ZHANG", id_type="414", id_no="E123")
        assert await subjects.face(tx, person) == subjects.Face("张三", "111", ZHANG, date(1990, 3, 7))
        await tx.run(person_keys.update().where(person_keys.c.subject_id == person).values(wrapped=None))
        with pytest.raises(Gone, match=r"subject\.erased"):
            await subjects.face(tx, person)


async def test_a_child_without_number_has_no_birth_date_of_its_own(open_tx):
    child = await resolve(open_tx, "U441900123", "birth")
    async with open_tx() as tx:
        await subjects.remember_face(tx, subject_id=child, name="小明", id_type="birth", id_no="U441900123")
        assert (await subjects.face(tx, child)).birth_date is None


async def test_subjects_made_under_an_old_pepper_are_still_found(database, open_tx, clock, db):
    old = await resolve(open_tx)
    newer = Database(database, clock=clock, vault=Vault(db.vault.keks, "k1", {1: b"p" * 32, 2: b"q" * 32}, 2))
    try:
        async with newer.tx(SYSTEM) as tx:
            assert await subjects.resolve(tx, id_type="111", id_no=ZHANG, kind=SubjectKind.NATURAL) == old
            fresh = await subjects.resolve(tx, id_type="111", id_no=resident(12), kind=SubjectKind.NATURAL)
            row = await tx.first(
                sa.select(subject_identifiers).where(subject_identifiers.c.subject_id == fresh)
            )
            assert row.pepper == 2
    finally:
        await newer.close()


@settings(max_examples=20)
@given(number=st.integers(0, 999), born=st.dates(date(1900, 1, 1), date(2026, 1, 1)))
async def test_resolving_again_gives_the_same_subject_in_the_right_bucket(open_tx, number, born):
    id_no = resident(number, born.strftime("%Y%m%d"))
    found = await resolve(open_tx, id_no)
    assert await resolve(open_tx, id_no) == found
    async with open_tx() as tx:
        row = await tx.first(sa.select(subjects_table).where(subjects_table.c.id == found))
    assert row.bucket == bucket_of(found)
    assert found.version == 4
