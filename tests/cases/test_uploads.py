"""Uploaded once: judged in the limited child process, sealed, level C, compared to B, found again in the next case."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from cases.applicants import decider
from parts import spoilt
from world import SCHOOL, World

from hub.cases import uploads
from hub.cases.halls import assign, hand_over, handover_of, load_halls, receive
from hub.cases.model import MaterialState
from hub.cases.open import open_case
from hub.cases.scope import in_scope
from hub.errors import Conflict, Forbidden, HubError, NotFound, TooLarge, Unprocessable
from hub.paper.mupdf import mupdf
from hub.registry import officers
from hub.registry.roster import OfficerRow
from hub.store.blobs import FileBlobs

CLERK = decider("dg-edu", number=9, roles=("clerk",))


def pdf(text: str = "Labour contract", *, script: bool = False) -> bytes:
    with mupdf.open() as document:
        document.new_page().insert_text((72, 72), text)
        if script:
            document.xref_set_key(document.pdf_catalog(), "OpenAction", "<</S/JavaScript/JS(app.alert\\(1\\))>>")
        return bytes(document.tobytes())


def picture() -> bytes:
    with mupdf.open() as document:
        return bytes(document.new_page(width=60, height=60).get_pixmap().tobytes("png"))


async def uploaded(world: World, blobs: FileBlobs, case: object, person: object, data: bytes) -> uploads.Material:
    file = await uploads.judge(data)
    async with world.tx(await world.citizen(person)) as tx:
        return await uploads.upload(
            tx, blobs, case=case, item=world.items[SCHOOL], code="work", file=file
        )


async def reviewed(world: World, case: object, found: uploads.Material, state: MaterialState, note: str = ""):
    async with world.tx(CLERK) as tx:
        seen, scope = await in_scope(tx, case.public_id)
        return await uploads.review(
            tx, case=seen, item=world.items[seen.item_code], scope=scope, public_id=found.public_id, state=state,
            reason_code="unclear", note=note,
        )  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        b"", b"MZ\x90 a program", b"%PDF-1.7 and then nothing", pdf(script=True), pdf() + b"<script>",
        "乱码".encode("gb18030") * 50_000, b"\x89PNG\r\n\x1a\n" + b"\0" * 100, b"x" * (10 * 2**20 + 1),
    ],
    ids=["empty", "program", "broken", "script", "trailing", "mojibake", "bad picture", "too large"],
)  # fmt: skip
async def test_what_is_not_a_plain_document_is_refused_before_it_is_stored(data: bytes) -> None:
    with pytest.raises((Unprocessable, TooLarge)) as refused:
        await uploads.judge(data)
    assert refused.value.code in ("material.refused", "material.too_large", "paper.too_complex")


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_brought_once_and_never_again(world: World, tmp_path: Path) -> None:
    blobs, person = FileBlobs(tmp_path / "blobs"), world.person("陈大文")
    await world.department("dg-edu")
    case = await world.case(person)
    first = await uploaded(world, blobs, case, person, picture())
    assert (first.level, first.state, first.kind) == ("C", MaterialState.PENDING, "image")
    with pytest.raises(Unprocessable):
        await reviewed(world, case, first, MaterialState.MEND)  # without a word what to mend
    mend = await reviewed(world, case, first, MaterialState.MEND, "看不清，请重拍")
    assert (mend.state, mend.note) == (MaterialState.MEND, "看不清，请重拍")
    data = pdf()
    second = await uploaded(world, blobs, case, person, data)
    taken = await reviewed(world, case, second, MaterialState.ACCEPTED)
    with pytest.raises(Conflict):
        await reviewed(world, case, second, MaterialState.REFUSED, "晚了")
    early = await world.case(person)
    async with world.view() as view:
        assert await uploads.held(view, case=early, item=world.items[SCHOOL]) == {}, "nobody has seen the original yet"
    async with world.tx(CLERK) as tx:
        seen, scope = await in_scope(tx, case.public_id)
        compared = await uploads.compare(tx, case=seen, scope=scope, public_id=taken.public_id)
        with pytest.raises(Conflict):
            await uploads.compare(tx, case=seen, scope=scope, public_id=taken.public_id)
    assert (compared.level, compared.compared_by) == ("B", CLERK.reference())

    later = await world.case(person)
    async with world.view() as view:
        held = await uploads.held(view, case=later, item=world.items[SCHOOL])
        assert held["work"].public_id == second.public_id
        assert await uploads.content(view, blobs, held["work"]) == data
        household = world.items["441900-realestate-transfer"]
        assert await uploads.held(view, case=later, item=household) == {}, "another matter's officers see none of it"
    with pytest.raises(Conflict) as again:
        await uploaded(world, blobs, later, person, pdf("again"))
    assert again.value.code == "material.held_already"

    # At rest nothing can be read, and what was changed on the disk is refused.
    stored = next(p for p in (tmp_path / "blobs").rglob("*") if p.is_file() and second.id.hex in p.name)
    assert b"PDF" not in stored.read_bytes()
    assert hashlib.sha256(stored.read_bytes()).digest() == second.blob_sha256
    stored.write_bytes(spoilt(stored.read_bytes()))
    async with world.view() as view:
        with pytest.raises(HubError):
            await uploads.content(view, blobs, second)
    world.clock.advance(days=366)
    async with world.view() as view:
        assert await uploads.held(view, case=later, item=world.items[SCHOOL]) == {}, "until it expires"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_another_persons_case_is_nobodys_to_fill(world: World, tmp_path: Path) -> None:
    blobs, person, stranger = FileBlobs(tmp_path / "blobs"), world.person("陈大文"), world.person("卞仁")
    await world.department("dg-edu")
    case = await world.case(person)
    with pytest.raises(Forbidden):
        await uploaded(world, blobs, case, stranger, pdf())
    found = await uploaded(world, blobs, case, person, pdf())
    other = await world.case(stranger)
    with pytest.raises(NotFound):
        await reviewed(world, other, found, MaterialState.ACCEPTED)
    async with world.tx(decider("dg-market")) as tx:
        with pytest.raises(NotFound):
            await in_scope(tx, case.public_id)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_any_hall_takes_a_case_for_any_department_and_sees_only_its_own(world: World) -> None:
    await world.department("dg-edu")
    await world.department("dg-data")
    rows = [OfficerRow(n, "dg-data", f"window-{n}", "李窗", frozenset({"clerk"})) for n in (1, 2)]
    async with world.tx() as tx:
        await officers.import_officers(tx, rows=rows, dry_run=False)
        ids = {o.login: o.id for o in await officers.all_officers(tx)}
    window, other = (replace(CLERK, department="dg-data", officer_id=ids[f"window-{n}"]) for n in (1, 2))
    admin = decider("dg-data", number=7, roles=("administrator",))
    async with world.tx(admin) as tx:
        await assign(tx, officer_id=window.officer_id, hall="machong")
        await assign(tx, officer_id=other.officer_id, hall="dalang")
        with pytest.raises(NotFound):
            await assign(tx, officer_id=other.officer_id, hall="nowhere")
    async with world.tx(window) as tx:
        with pytest.raises(Forbidden):
            await assign(tx, officer_id=window.officer_id, hall="dalang")
    assert {hall.level for hall in load_halls().values()} == {"city", "town", "village"}

    subject = await world.subject(world.person("陈大文"))
    async with world.tx(window) as tx:
        case = await open_case(tx, item=world.items[SCHOOL], applicant=subject, hall="machong")
    async with world.tx(other) as tx:
        with pytest.raises(NotFound):
            await in_scope(tx, case.public_id)
    async with world.tx(window) as tx:
        seen, scope = await in_scope(tx, case.public_id)
        assert (scope.handles, scope.hall) == (False, True)
        sent = await hand_over(tx, case=seen)
        with pytest.raises(Conflict):
            await hand_over(tx, case=seen)
    async with world.tx(window) as tx:
        with pytest.raises(Forbidden):
            await receive(tx, case=seen)
    async with world.tx(CLERK) as tx:
        got = await receive(tx, case=seen)
        with pytest.raises(Conflict):
            await receive(tx, case=seen)
        assert (await handover_of(tx, case=seen)).received_at is not None
    assert got.receipt == sent.receipt
