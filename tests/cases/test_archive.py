"""The archive package: made after a case is closed, readable and provable without a hub, gone after its time."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from cases.applicants import decider
from cases.test_uploads import pdf
from parts import FixedClock
from typer.testing import CliRunner
from web.pages.family import ORIGIN, Family, make_family
from world import SCHOOL, World

from hub.access.model import accesses
from hub.actor import SYSTEM
from hub.cases import archive, archivefile, close, steps, uploads
from hub.cases.accept import accept
from hub.cases.archivecheck import WORDS, check_package
from hub.cases.copies import copy_for_department
from hub.cases.gather import ask, gather
from hub.cases.model import CaseOutcome, CaseState, MaterialState, case_flags
from hub.cases.open import Case, by_public_id
from hub.cases.prereview import PreReview
from hub.cases.procedure import load_procedures
from hub.cases.scope import in_scope
from hub.cli import app as cli
from hub.consent.of_case import requests_of
from hub.errors import Conflict, Forbidden, Gone
from hub.ledger.head import log_key
from hub.ledger.model import leaves
from hub.paper.mupdf import mupdf
from hub.registry.publish import publish_types
from hub.web.current import archive_round

PROCEDURE = load_procedures()[SCHOOL]
CLERK = decider("dg-edu", number=9, roles=("clerk",))


async def decided(family: Family, *, against: str | None = None) -> Case:
    """A case of the parent's: one consent, everything gathered, one paper uploaded, decided by all eight."""
    world, hub = family.world, family.hub
    citizen = await world.citizen(family.parent)
    case = await world.case(family.parent, family.child)
    async with hub.tx(citizen) as tx:
        await ask(tx, case=case, item=world.items[SCHOOL])
    async with hub.view(decider("dg-edu")) as view:
        asked = await requests_of(view, case_id=case.public_id)
    await world.agree(family.parent, asked[0].public_id)
    async with hub.tx(citizen) as tx:
        await gather(tx, case=case, items=world.items, types=world.types, issuer=hub.settings.public_url)
        file = uploads.Safe(pdf(), "pdf")
        paper = await uploads.upload(tx, hub.blobs, case=case, item=world.items[SCHOOL], code="work", file=file)
    async with hub.tx(CLERK) as tx:
        seen, scope = await in_scope(tx, case.public_id)
        await uploads.review(
            tx, case=seen, item=world.items[SCHOOL], scope=scope, public_id=paper.public_id,
            state=MaterialState.ACCEPTED, reason_code="", note="",
        )  # fmt: skip
        await accept(tx, case=seen, scope=scope, procedure=PROCEDURE, review=PreReview(True, (), ()))
    for step in PROCEDURE.steps:
        async with hub.tx(decider(step.department)) as tx:
            seen, _ = await in_scope(tx, case.public_id)
            no = step.code == against
            words = "居住证断了\n两个月" if no else "祝好 🙂" if against is None and step.code == "tax" else ""
            await steps.decide(
                tx, case=seen, procedure=PROCEDURE, code=step.code, passed=not no,
                reason_code="not_eligible" if no else "verified", note=words,
            )  # fmt: skip
    async with hub.view(CLERK) as view:
        return await by_public_id(view, case.public_id)


async def published(world: World, folder: Path, *, all_papers: bool = True) -> Family:
    family = await make_family(world, folder, all_papers=all_papers)
    async with family.hub.tx(SYSTEM) as tx:
        await publish_types(tx, world.types.values())
    return family


@pytest.fixture
async def family(sqlite_database: str, clock: FixedClock, tmp_path: Path) -> Family:
    world = World(sqlite_database, clock)
    yield await published(world, tmp_path)
    await world.close()


def changed(package: bytes, path: str, data: bytes, *, resum: bool = False) -> bytes:
    """The package with one file replaced; `resum`: by somebody who also wrote a new index and new sums."""
    opened = archivefile.read(package)
    files = dict(opened.files) | {path: data}
    if resum:
        index = json.loads(files[archivefile.INDEX])
        facts = {k: v for k, v in index.items() if k not in ("v", "kind", "files")}
        inside = {p: d for p, d in files.items() if p not in archivefile.OUTSIDE and p != archivefile.README}
        again = archivefile.write(inside, facts, at=FixedClock()())
        files = dict(archivefile.read(again).files) | {
            p: files[p] for p in (archivefile.EVENT, archivefile.PROOF) if p in files
        }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    return out.getvalue()


def failed(package: bytes, family: Family) -> list[str]:
    _, found = check_package(package, log_key=log_key(ORIGIN, family.hub.signer("ledger")))
    return [one.name for one in found if one.holds is not True]


async def test_from_closing_to_a_file_that_needs_no_hub(family: Family, tmp_path: Path) -> None:
    hub, world = family.hub, family.world
    case = await decided(family)
    assert case.outcome is CaseOutcome.PASSED
    assert await archive_round(hub) == 0, "its last leaves have no place in the ledger yet"
    await family.sequence()
    assert await archive_round(hub) == 1
    assert await archive_round(hub) == 0
    async with hub.view(CLERK) as view:
        case = await by_public_id(view, case.public_id)
        kept = await archive.archive_of(view, case=case)
    assert (case.state, kept.keep_until.isoformat()) == (CaseState.CLOSED, "2036-11-23")
    stored = [p for p in (tmp_path / "blobs" / "archives").rglob("*") if p.is_file()]
    assert len(stored) == 1
    assert b"summary.pdf" not in stored[0].read_bytes(), "at rest nothing can be read"

    parent = await family.as_parent()
    page = await parent.get(f"/cases/{case.public_id}")
    assert "归档包" in page.text
    await family.sequence()
    form = page.form(f"/cases/{case.public_id}/archive")
    sent = {i.get("name"): i.get("value", "") for i in form.xpath(".//input")}
    answer = await parent.client.post(form.get("action"), data=sent)
    assert answer.headers["content-type"] == "application/zip"
    package = answer.content
    assert failed(package, family) == []
    opened = archivefile.read(package)
    names = set(opened.files)
    assert {"summary.pdf", "score.json"} & names == {"summary.pdf"}
    assert len([n for n in names if n.startswith("decisions/")]) == 8
    assert len([n for n in names if n.startswith("disclosures/")]) >= 6
    assert {"materials/work.pdf", "materials/work.json", archivefile.EVENT} <= names
    with mupdf.open("pdf", opened.files["summary.pdf"]) as document:
        said = "".join("".join(p.get_text().split()) for p in document)
    assert "各部门都已通过" in said
    assert "签名" not in said
    assert "🙂" in json.loads(opened.files["decisions/tax.json"])["note"], "no font has it: it stands in the file"

    # Without the hub: a plain unzip and sha256sum, and our own command on another machine.
    folder = tmp_path / "else"
    with zipfile.ZipFile(io.BytesIO(package)) as unzipped:
        unzipped.extractall(folder)
    await asyncio.to_thread(
        subprocess.run, ["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=folder, check=True
    )
    (tmp_path / "package.zip").write_bytes(package)
    key = str(log_key(ORIGIN, hub.signer("ledger")))
    run = CliRunner().invoke(cli, ["archive", "verify", str(tmp_path / "package.zip"), "--log-key", key, "--json"])
    assert run.exit_code == 0, run.output
    assert [one["name"] for one in json.loads(run.stdout)["checks"]] == list(WORDS)
    run = CliRunner().invoke(cli, ["archive", "verify", str(tmp_path / "package.zip")])
    assert run.exit_code == 3, "a key that nobody pinned is no yes"

    # An officer's copy is seen by the people in it; a department that decided a step takes none.
    officer = await family.as_officer("decider")
    desk = await officer.get(f"/desk/cases/{case.public_id}")
    before = await looks(world)
    form = desk.form(f"/desk/cases/{case.public_id}/archive")
    sent = {i.get("name"): i.get("value", "") for i in form.xpath(".//input")}
    assert (await officer.client.post(form.get("action"), data=sent)).content[:2] == b"PK"
    assert await looks(world) - before == len([n for n in names if n.startswith("disclosures/")])
    assert "部门自己的办件档案" in (await parent.get("/accesses")).text
    async with hub.tx(decider("dg-si")) as tx:
        with pytest.raises(Forbidden):
            await copy_for_department(tx, public_id=case.public_id)

    every_change_is_found(package, family)

    # After its retention period it is destroyed, and the ledger says so.
    world.clock.advance(days=3654)
    await archive_round(hub)
    assert not [p for p in (tmp_path / "blobs" / "archives").rglob("*") if p.is_file()]
    async with hub.view(CLERK) as view:
        told = await view.value(sa.select(sa.func.count()).where(leaves.c.kind == "archive.destroyed"))
        with pytest.raises(Gone):
            await archive.package_of(view, hub.blobs, archive.TileReader(hub.blobs), case=case)
    assert told == 1


def every_change_is_found(package: bytes, family: Family) -> None:
    """One change each; with `resum` the forger also wrote a fitting index, as whoever keeps the file could."""
    files = archivefile.read(package).files

    def json_of(path: str, **other: object) -> bytes:
        return json.dumps(json.loads(files[path]) | other).encode()

    tax, event = "decisions/tax.json", next(n for n in files if n.endswith("step.decided.json"))
    body = json.loads(files[event])["body"].replace('"passed":true', '"passed":false')
    degree = files["disclosures/degree.sd-jwt"]
    for path, data, resum, check in (
        ("summary.pdf", b"%PDF-1.7", False, "index"),
        ("more.txt", b"x", False, "index"),
        (archivefile.SUMS, b"", False, "index"),
        ("log-key.txt", b"other+00000000+AAAA\n", True, "log_key"),
        (event, json_of(event, body=body), True, "leaves"),
        (f"proofs/{json.loads(files[event])['leaf_hash']}.tlog-proof", b"", True, "leaves"),
        ("disclosures/degree.sd-jwt", degree[:60] + b"AAAA" + degree[64:], True, "issuers"),
        ("verdicts/degree.json", json_of("verdicts/degree.json", outcome="refused"), True, "agreement"),
        (tax, json_of(tax, officer="officer:dg-tax:somebody"), True, "agreement"),
        (tax, json_of(tax, state="running"), True, "agreement"),
        ("case.json", json_of("case.json", outcome="rejected"), True, "agreement"),
        ("materials/work.pdf", b"%PDF-1.7 other", True, "agreement"),
        ("summary.pdf", b"%PDF-1.7 all is well", True, "archived"),
    ):
        assert failed(changed(package, path, data, resum=resum), family) == [check], path
    assert failed(changed(package, "item.json", files["item.json"]), family) == []


async def test_killed_while_it_is_made_and_made_again(
    postgresql_database: str, clock: FixedClock, tmp_path: Path
) -> None:
    world = World(postgresql_database, clock)
    family = await published(world, tmp_path, all_papers=False)
    hub, blobs = family.hub, tmp_path / "blobs" / "archives"
    case = await decided(family, against="residence")
    assert case.outcome is CaseOutcome.REJECTED
    async with hub.tx(decider("dg-si")) as tx:
        with pytest.raises(Forbidden):
            await close.close(tx, case=case)
    flag = {"case_id": case.id, "certificate": family.degree, "event": "superseded", "raised_at": clock()}
    async with hub.tx(SYSTEM) as tx:
        await tx.insert(case_flags, flag)
        with pytest.raises(Conflict) as open_still:
            await close.close(tx, case=case)
    assert open_still.value.code == "case.still_open"
    async with hub.tx(SYSTEM) as tx:
        assert await close.close_ripe(tx) == 0, "a flag waits to be looked at"
        await tx.run(case_flags.update().values(cleared_at=tx.now))
    async with hub.tx(decider("dg-edu")) as tx:
        assert (await close.close(tx, case=case)).state is CaseState.CLOSED
    await family.sequence()
    await world.close()

    # A process of its own is killed at the worst moment: the sealed file is there, its row is not.
    kept = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", DIES.format(url=postgresql_database, folder=str(tmp_path))],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}, capture_output=True, check=False,
    )  # fmt: skip
    assert kept.returncode == -signal.SIGKILL, kept.stderr.decode()[-800:]
    left = [p.name for p in blobs.rglob("*") if p.is_file()]
    assert len(left) == 1
    again = World(postgresql_database, clock)
    hub = replace(hub, db=again.db)
    async with hub.view(SYSTEM) as view:
        assert await archive.archive_of(view, case=case) is None
    assert await archive_round(hub) == 1
    async with hub.tx(SYSTEM) as tx:  # another hub that had begun to make it too
        assert await archive.keep(tx, hub.blobs, case=case, package=b"", keep_until=clock().date()) is None
    found = [p.name for p in blobs.rglob("*") if p.is_file()]
    assert len(found) == 1
    assert found != left, "what the dead one left is swept"
    await again.close()


ROOT = Path(__file__).parents[2]
DIES = """
import asyncio, os, signal
from pathlib import Path
from parts import FixedClock
from web.pages.family import make_hub
from world import World
import dataclasses
from hub.config import Settings
from hub.store.blobs import FileBlobs
from hub.web.current import archive_round
from keys.files import Keyring

class Dies(FileBlobs):
    async def put(self, key, data):
        await super().put(key, data)
        if key.startswith("archives/"):
            os.kill(os.getpid(), signal.SIGKILL)

async def main():
    import web.pages.family as family
    family.Keyring.create = lambda *a, **k: None  # the keys are there already
    hub = make_hub(World("{url}", FixedClock()), Path("{folder}"))
    await archive_round(dataclasses.replace(hub, blobs=Dies(Path("{folder}") / "blobs")))

asyncio.run(main())
"""


async def looks(world: World) -> int:
    async with world.view() as view:
        return await view.value(sa.select(sa.func.count()).select_from(accesses))
