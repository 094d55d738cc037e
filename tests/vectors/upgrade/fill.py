"""Runs under the code of 0.1.0: fills a hub and writes down what must still hold after every later upgrade.

    PYTHONPATH=OLD_CHECKOUT python fill.py FOLDER [DATABASE_URL]
"""

import asyncio
import json
import sys
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

from benchmarks import stage
from benchmarks.stage import AUDIENCE, Stage
from parts import FixedClock

from hub.access.history import of_subject
from hub.certificates.face import keep_face
from hub.certificates.find import by_public_id
from hub.certificates.model import StatusEvent
from hub.ledger.head import log_key
from hub.ledger.model import leaves
from hub.ledger.prove import prove_inclusion
from hub.ledger.receipt import Issuance, receipt
from hub.ledger.tileset import TileReader
from hub.paper.model import Inspection, Outcome
from hub.verification.model import Ask
from hub.verification.trust import trust_bundle


def plain(value: Any) -> Any:
    """What JSON can hold; UUIDs and times as text, bytes in hex."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


async def fill(town: Stage) -> dict[str, Any]:
    """Two people: degrees, a birth certificate with a child, a face, a revocation, looks, a refusal, a grant unused."""
    await town.begin()
    signer = town.hub.signer
    issuance = Issuance(AUDIENCE, town.settings.origin, signer("receipt"))
    wang, li = town.person("王䶮"), town.person("李四·阿卜杜拉")
    told: dict[str, Any] = {"people": [asdict(wang), asdict(li)], "certificates": [], "looks": [], "receipts": []}

    async def certificate(person: Any, *, face: bool = False) -> str:
        token = await town.sign("degree", [person.as_holder("owner")])
        made = await town.register(token, by="dg-degree")
        department = await town.department("dg-degree")
        if face:
            async with town.tx(town.acting(department)) as tx:
                await keep_face(
                    tx, certificate=await by_public_id(tx, made.certificate), pdf=b"%PDF-1.7 a face",
                    inspection=Inspection("pdf", Outcome.FOUND, sd_jwt=token), blobs=town.hub.blobs,
                )  # fmt: skip
        told["certificates"].append({"id": made.certificate, "sd_jwt": token, "owner": person.id_no, "face": face})
        signed = receipt(issuance, kind="certificate.registered", leaf_hash=made.leaf_hash, at=made.at)
        told["receipts"].append({"leaf_hash": made.leaf_hash.hex(), "jwt": signed})
        return str(made.certificate)

    await certificate(wang, face=True)
    revoked = await certificate(li)
    await town.change(revoked, StatusEvent.REVOKE, by="dg-degree")
    for person in (wang, wang, li):
        case, granted = await town.grant(person, ["degree"])
        for _ in range(2 if person is wang else 1):  # the second use of a one-use grant is refused, and recorded
            verdict = (await town.verify(case, granted, [Ask("degree")]))[0]
            told["looks"].append({"id": verdict.access, "leaf_hash": plain(verdict.leaf_hash), "outcome": verdict.outcome})
    case, granted = await town.grant(wang, ["degree"])
    told["unused"] = {"case": plain(asdict(case)), "grants": [plain(asdict(one)) for one in granted]}
    await town.publish()
    reader, key = TileReader(town.hub.blobs), log_key(town.settings.origin, signer("ledger"))
    async with town.view() as view:
        hashes = [row[0] for row in await view.all(leaves.select().with_only_columns(leaves.c.leaf_hash).order_by(leaves.c.idx))]
        told["proofs"] = {
            one.hex(): str(await prove_inclusion(view, reader, leaf_hash=one)) for one in hashes
        }
        told["bundle"] = await trust_bundle(
            view, reader, issuer=AUDIENCE, log_key=key, signer=signer("token"), types=town.types
        )
        for person in told["people"]:
            subject = await town.subject_of(view, person)
            chain = await of_subject(view, subject_id=subject)
            person["looks"] = [[one.public_id, one.subject_seq, one.leaf_hash.hex()] for one in chain]
    told |= {
        "origin": town.settings.origin, "log_key": str(key), "checkpoint": (await reader.checkpoint()).decode(),
        "receipt_key": signer("receipt").public.jwk, "at": town.clock().isoformat(),
        "clients": {slug: one.client.public.jwk for slug, one in town.departments.items()},
    }  # fmt: skip
    return told


class At(Stage):
    """The stage at the moment at which the clock of the tests stands."""

    def __init__(self, hub: Any) -> None:
        super().__init__(hub)
        self.clock = self.db.clock = FixedClock()

    async def subject_of(self, view: Any, person: dict[str, Any]) -> Any:
        from hub.registry import subjects

        return await subjects.find(view, id_type=person["id_type"], id_no=person["id_no"])


def main() -> None:
    """Fill the folder (keys, blobs, and the database unless a URL is given), and write expected.json beside it."""
    folder, url = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
    stage.Stage = At  # set_stage makes one
    made = stage.set_stage(folder, url)

    async def work() -> dict[str, Any]:
        try:
            return await fill(made)
        finally:
            await made.close()

    told = asyncio.run(work())
    (folder / "expected.json").write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
