"""A hub filled by 0.1.0 is brought to the newest tables on both databases, and all that it ever proved still holds."""

import asyncio
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import zipfile
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from backup.town import Town
from parts import FixedClock, Postgres
from registry.makers import AUDIENCE

from benchmarks.stage import Stage
from hub.access.history import newest_missing, of_subject
from hub.actor import SYSTEM
from hub.cases.open import by_public_id as case_by_id
from hub.certificates.face import read_face
from hub.certificates.find import by_public_id, holders_of, open_body
from hub.cli.serve import migrations, newest
from hub.config import Settings
from hub.consent.model import Grant, grants
from hub.formats import jws, tlogproof
from hub.formats.merkle import verify_consistency
from hub.formats.note import parse, parse_vkey, verify_checkpoint
from hub.ledger.check import check
from hub.ledger.head import read_head
from hub.ledger.model import leaves
from hub.ledger.prove import prove_inclusion
from hub.ledger.receipt import RECEIPT_TYP
from hub.ledger.tileset import TileReader
from hub.main import build
from hub.registry import subjects
from hub.verification.model import Ask
from keys.public import PublicKey

OLD = Path(__file__).resolve().parents[1] / "vectors" / "upgrade" / "0.1.0"


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Town, dict[str, Any]]:
    """The hub that 0.1.0 left, unpacked, and what it wrote down then."""
    folder = tmp_path / "hub" / "data"
    with zipfile.ZipFile(OLD / f"{request.param}.zip") as packed:
        packed.extractall(folder)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    told = json.loads((folder / "expected.json").read_text())
    url = f"sqlite:///{folder / 'hub.db'}"
    if request.param == "postgresql":
        url = _loaded(request.getfixturevalue("postgres"), folder / "dump.sql", f"old_{secrets.token_hex(4)}")
    return Town(Settings(public_url=AUDIENCE, data_dir=folder, database_url=url), {}), told


def _loaded(server: Postgres, dump: Path, name: str) -> str:
    """The dump in a database of its own, as an operator would load it."""
    psql = [server.bin / "psql", "-h", "127.0.0.1", "-p", str(server.port), "-U", "hub", "-v", "ON_ERROR_STOP=1", "-q"]
    for arguments in (["-d", "postgres", "-c", f"CREATE DATABASE {name}"], ["-d", name, "-f", str(dump)]):
        subprocess.run(
            [*psql, *arguments], env={**os.environ, "PGPASSWORD": server.password}, check=True, capture_output=True
        )
    return server.url(name, "postgresql")


def test_what_0_1_0_proved_still_holds_after_every_revision_since(old: tuple[Town, dict[str, Any]]) -> None:
    town, told = old
    _look_first(town)
    assert town.well("migrate")["revision"] == newest(migrations(town.settings))
    assert town.well("upgrade", "--check")["steps"] == []
    made = Stage(build(town.settings))
    made.clock = made.db.clock = FixedClock(datetime.fromisoformat(told["at"]))

    async def work() -> None:
        try:
            await _certificates_open(made, told)
            await _proofs_hold(made, told)
            await _chains_have_no_gap(made, told, more=0)
            await _a_grant_of_then_is_used_now(made, told)
            await made.publish()
            await _chains_have_no_gap(made, told, more=2)
            await _proofs_hold(made, told)
        finally:
            await made.close()

    asyncio.run(work())


def _look_first(town: Town) -> None:
    """The check tells what will happen and whether a backup is there, and changes nothing."""
    done = town.yimen("upgrade", "--check", "--json")
    plan = done.json
    assert (done.code, plan["held"], plan["wanted"]) == (1, "0001", newest(migrations(town.settings)))
    assert any("yimen backup create" in one for one in plan["red"])
    assert plan["steps"][0]["revision"] == "0002"
    if town.settings.database_url.startswith("sqlite"):
        town.well("backup", "create")
        after = town.well("upgrade", "--check")
        assert (after["ok"], after["held"]) == (True, "0001")
        shutil.rmtree(town.backups)
    town.refused("upgrade.check_first", "upgrade")


async def _certificates_open(made: Stage, told: dict[str, Any]) -> None:
    async with made.view() as view:
        for one in told["certificates"]:
            certificate = await by_public_id(view, one["id"])
            held = (await holders_of(view, certificate))[0]
            assert await open_body(view, held) == one["sd_jwt"]
            if one["face"]:
                assert await read_face(view, held=held, blobs=made.hub.blobs) == b"%PDF-1.7 a face"


async def _proofs_hold(made: Stage, told: dict[str, Any]) -> None:
    """Receipts and proofs taken then, the same proofs taken now, and the head of then is a prefix of the one of now."""
    key, reader = parse_vkey(told["log_key"]), TileReader(made.hub.blobs)
    receipt_key = PublicKey.from_jwk(told["receipt_key"])
    before = verify_checkpoint(parse(told["checkpoint"]), key).checkpoint
    async with made.view() as view:
        head = await read_head(view)
        path = await reader.consistency(before.size, head.size, at=head.size) if head.size > before.size else []
        assert verify_consistency(before.size, head.size, before.root, head.root, path)
        for leaf, proof in told["proofs"].items():
            tlogproof.check(tlogproof.read(proof), bytes.fromhex(leaf), key)
            now = await prove_inclusion(view, reader, leaf_hash=bytes.fromhex(leaf))
            tlogproof.check(now, bytes.fromhex(leaf), key)
        for receipt in told["receipts"]:
            claims = jws.verify(receipt["jwt"], typ=RECEIPT_TYP, key=receipt_key).payload
            place = sa.select(leaves.c.idx).where(leaves.c.leaf_hash == bytes.fromhex(claims["leaf_hash"]))
            found = await view.value(place)
            assert (claims["leaf_hash"], found is not None) == (receipt["leaf_hash"], True)
        report = await check(view, made.hub.blobs, key=key, pinned=before)
        assert (report.failures, report.bodies_read > 5) == ([], True)


async def _chains_have_no_gap(made: Stage, told: dict[str, Any], *, more: int) -> None:
    """Each person sees every look of then, in order, and `more` of the first person since."""
    async with made.view() as view:
        for number, person in enumerate(told["people"]):
            subject = await subjects.find(view, id_type=person["id_type"], id_no=person["id_no"])
            assert subject is not None
            chain = await of_subject(view, subject_id=subject)
            assert not any(look.gap for look in chain)
            assert not await newest_missing(view, subject_id=subject)
            since = more if number == 0 else 0
            assert [[one.public_id, one.subject_seq, one.leaf_hash.hex()] for one in chain[since:]] == person["looks"]
            assert len(chain) == len(person["looks"]) + since


async def _a_grant_of_then_is_used_now(made: Stage, told: dict[str, Any]) -> None:
    wanted = [one["public_id"] for one in told["unused"]["grants"]]
    async with made.view(SYSTEM) as view:
        case = await case_by_id(view, told["unused"]["case"]["public_id"])
        columns = [grants.c[name] for name in Grant.__dataclass_fields__]
        rows = await view.all(sa.select(*columns).where(grants.c.public_id.in_(wanted)))
    granted = [Grant(*row) for row in rows]
    client = SimpleNamespace(kid=PublicKey.from_jwk(told["clients"]["dg-edu"]).kid)
    made.departments["dg-edu"] = SimpleNamespace(slug="dg-edu", client=client)  # type: ignore[assignment]
    verdict = (await made.verify(case, granted, [Ask("degree")]))[0]
    assert (verdict.outcome, verdict.sd_jwt is not None) == ("accepted", True)
    again = (await made.verify(case, granted, [Ask("degree")]))[0]
    assert again.outcome == "refused"


@pytest.mark.parametrize("old", ["sqlite"], indirect=True)
def test_a_database_of_a_newer_version_is_told(old: tuple[Town, dict[str, Any]]) -> None:
    town, _ = old
    with sqlite3.connect(town.database) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    done = town.yimen("upgrade", "--check", "--json")
    assert (done.code, done.json["held"]) == (1, "9999")
    assert any("newer than this code" in one for one in done.json["red"])
