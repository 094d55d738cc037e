"""Runs under the code of 0.1.0: fills a hub and writes down what must still hold after every later upgrade.

    PYTHONPATH=OLD_CHECKOUT python fill.py FOLDER [DATABASE_URL [CERTIFICATES]]

With CERTIFICATES there are so many more: rows as registration makes them, with persons, keys, seals and leaves of
their own, written in bulk; the signed texts are those of one. Of the leaves then a sample is proved.
"""

import asyncio
import hashlib
import json
import random
import secrets
import sys
import uuid
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from benchmarks import stage
from benchmarks.stage import AUDIENCE, Stage
from parts import FixedClock

from hub.access.history import of_subject
from hub.certificates.face import keep_face
from hub.certificates.find import by_public_id
from hub.certificates.model import StatusEvent, certificate_holders, certificates
from hub.clock import seconds
from hub.formats.jcs import canonical
from hub.formats.merkle import leaf_hash
from hub.ids import bucket_of, public_token, uuid7
from hub.ledger.append import commitment_leaf
from hub.ledger.head import log_key
from hub.ledger.model import bodies, leaves
from hub.ledger.prove import prove_inclusion
from hub.ledger.receipt import Issuance, receipt
from hub.ledger.tileset import TileReader
from hub.paper.model import Inspection, Outcome
from hub.registry.model import subjects
from hub.registry.subjects import find
from hub.store.model import person_keys, public_ids
from hub.store.seal import seal
from hub.verification.model import Ask
from hub.verification.trust import trust_bundle

AT_ONCE = 2_000
SAMPLE = 300


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


async def many(town: Stage, like: str, token: str, count: int) -> None:
    """`count` certificates like the one with public id `like`, each of a person of its own."""
    async with town.view() as view:
        certificate = await by_public_id(view, like)
        row = dict((await view.first(sa.select(certificates).where(certificates.c.public_id == like)))._mapping)
        place = certificate_holders.c.certificate_id == certificate.ref.id
        link = dict((await view.first(sa.select(certificate_holders).where(place)))._mapping)
        person = dict((await view.first(sa.select(subjects).where(subjects.c.id == link["subject_id"])))._mapping)
    kek = town.vault.current_kek
    for begin in range(0, count, AT_ONCE):
        rows: dict[Any, list[dict[str, Any]]] = {}
        for _ in range(min(AT_ONCE, count - begin)):
            subject, key, body_key, ref = uuid.uuid4(), secrets.token_bytes(32), secrets.token_bytes(32), uuid7()
            bucket, public_id = bucket_of(subject), public_token()
            wrapped = seal(town.vault.keks[kek], key, bound_to=subject.bytes)
            at = town.clock()
            body = {"event": "certificate.registered", "certificate": public_id, "at": seconds(at)}
            salted = secrets.token_bytes(32) + canonical(body)
            data = commitment_leaf(hashlib.sha256(salted).digest())
            leaf = leaf_hash(data)
            for table, values in (
                (subjects, {**person, "bucket": bucket, "id": subject, "sealed_face": None}),
                (person_keys, {"bucket": bucket, "subject_id": subject, "wrapped": wrapped, "kek": kek, "created_at": at}),
                (certificates, {
                    **row, "bucket": bucket, "id": ref, "public_id": public_id, "jti": secrets.token_urlsafe(16),
                    "sealed_body": seal(body_key, token.encode(), bound_to=ref.bytes), "leaf_hash": leaf,
                    "face_key": None, "face_sha256": None, "registered_at": at,
                }),
                (certificate_holders, {
                    **link, "bucket": bucket, "subject_id": subject, "certificate_id": ref, "certificate_bucket": bucket,
                    "wrapped_key": seal(key, body_key, bound_to=ref.bytes + subject.bytes),
                }),
                (public_ids, {"token": public_id, "kind": "certificate", "bucket": bucket, "row_id": ref}),
                (leaves, {"kind": "certificate.registered", "data": data, "leaf_hash": leaf, "created_at": at}),
                (bodies, {
                    "bucket": bucket, "leaf_hash": leaf, "subject_id": subject,
                    "sealed": seal(key, salted, bound_to=leaf),
                }),
            ):  # fmt: skip
                rows.setdefault(table, []).append(values)
        async with town.tx() as tx:
            for table, some in rows.items():
                await tx.insert(table, some)


async def fill(town: Stage, more: int = 0) -> dict[str, Any]:
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
    if more:
        first = told["certificates"][0]
        await many(town, first["id"], first["sd_jwt"], more)
    await town.publish()
    reader, key = TileReader(town.hub.blobs), log_key(town.settings.origin, signer("ledger"))
    async with town.view() as view:
        hashes = [row[0] for row in await view.all(sa.select(leaves.c.leaf_hash).order_by(leaves.c.idx))]
        sample = hashes if not more else [*hashes[:24], *random.sample(hashes[24:], SAMPLE)]
        told["proofs"] = {
            one.hex(): str(await prove_inclusion(view, reader, leaf_hash=one)) for one in sample
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
        return await find(view, id_type=person["id_type"], id_no=person["id_no"])


def main() -> None:
    """Fill the folder (keys, blobs, and the database unless a URL is given), and write expected.json beside it."""
    folder, url, more = [*sys.argv[1:], "", "0"][:3] if len(sys.argv) == 2 else [*sys.argv[1:], "0"][:3]
    stage.Stage = At  # set_stage makes one
    made = stage.set_stage(Path(folder), url)

    async def work() -> dict[str, Any]:
        try:
            return await fill(made, int(more))
        finally:
            await made.close()

    told = asyncio.run(work())
    (Path(folder) / "expected.json").write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
