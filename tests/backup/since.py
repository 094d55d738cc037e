"""What a hub that an older version filled must still do after an upgrade: told in the expected.json of that version."""

from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from benchmarks.stage import Stage
from hub.access.history import newest_missing, of_subject
from hub.access.shelf import every_shelf
from hub.actor import SYSTEM
from hub.cases.open import by_public_id as case_by_id
from hub.certificates.face import read_face
from hub.certificates.find import by_public_id, holders_of, open_body
from hub.certificates.model import certificates
from hub.consent.model import Grant, grants
from hub.formats import tlogproof
from hub.formats.merkle import verify_consistency
from hub.formats.note import parse, parse_vkey, verify_checkpoint
from hub.formats.receipt import read as read_receipt
from hub.ledger.check import check
from hub.ledger.head import read_head
from hub.ledger.model import leaves
from hub.ledger.prove import prove_inclusion
from hub.ledger.tileset import TileReader
from hub.registry import subjects
from hub.verification.model import Ask
from keys.public import PublicKey


async def everything_holds(made: Stage, told: dict[str, Any], *, whole: bool = True) -> None:
    """Certificates open, receipts and proofs verify, chains have no gap, a grant of then is used now; AssertionError
    otherwise. With `whole` the ledger is recomputed as well."""
    await _certificates_open(made, told)
    await _proofs_hold(made, told, whole=whole)
    await _chains_have_no_gap(made, told, more=0)
    await _a_grant_of_then_is_used_now(made, told)
    await made.publish()
    await _chains_have_no_gap(made, told, more=2)
    await _proofs_hold(made, told, whole=whole)


async def count(made: Stage) -> int:
    """How many certificates there are."""
    async with made.view() as view:
        return int(await view.value(sa.select(sa.func.count()).select_from(certificates)))


async def _certificates_open(made: Stage, told: dict[str, Any]) -> None:
    async with made.view() as view:
        for one in told["certificates"]:
            certificate = await by_public_id(view, one["id"])
            held = (await holders_of(view, certificate))[0]
            assert await open_body(view, held) == one["sd_jwt"]
            if one["face"]:
                assert await read_face(view, held=held, blobs=made.hub.blobs) == b"%PDF-1.7 a face"


async def _proofs_hold(made: Stage, told: dict[str, Any], *, whole: bool) -> None:
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
            promised = read_receipt(receipt["jwt"], key=receipt_key).leaf_hash
            found = await view.value(sa.select(leaves.c.idx).where(leaves.c.leaf_hash == promised))
            assert (promised.hex(), found is not None) == (receipt["leaf_hash"], True)
        if whole:
            report = await check(view, made.hub.blobs, key=key, pinned=before, shelves=every_shelf())
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
