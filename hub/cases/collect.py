"""What an archive package of a case is made of: gathered in one view, each ledger leaf with body, salt and proof.

Refuses while a leaf of the case is still on its way into the ledger: a package without its proofs is not made.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.access.body import of_case as accesses_of_case
from hub.cases import uploads
from hub.cases.evidence import Found, evidence_of
from hub.cases.open import Case
from hub.cases.procedure import Procedure
from hub.cases.promises import Promise, promises_of
from hub.cases.score import CaseScore, latest
from hub.cases.steps import Step, steps_of
from hub.catalogue.items import ServiceItem
from hub.certificates.model import status_list_tokens
from hub.clock import seconds
from hub.formats import sdjwt
from hub.formats.note import Vkey
from hub.ids import bucket_of
from hub.ledger.bodies import Body, open_body, unseal_body_with
from hub.ledger.model import bodies, leaves
from hub.ledger.prove import prove_inclusion
from hub.ledger.tileset import TileReader
from hub.registry.departments import all_departments
from hub.registry.types import CertificateType
from hub.store.blobs import Blobs
from hub.store.tx import View
from hub.verification.trust import trust_bundle
from keys.signer import Signer


@dataclass(frozen=True, slots=True)
class Means:
    """What making packages needs of the running hub. `say` writes a claim's value in words."""

    blobs: Blobs
    items: Mapping[str, ServiceItem]
    types: Mapping[str, CertificateType]
    reader: TileReader
    log_key: Vkey
    issuer: str
    signer: Signer
    say: Callable[[CertificateType, tuple[str | int | None, ...], object], str]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One ledger leaf of a case: what it commits to, and the proof that it is in the ledger."""

    kind: str
    leaf_hash: bytes
    body: Body
    proof: str


@dataclass(frozen=True)
class Collected:
    """Everything that a package is made of, read in one view. `materials` come with their files."""

    case: Case
    item: ServiceItem
    procedure: Procedure
    offices: Mapping[str, tuple[str, str]]
    looks: Sequence[Found]
    steps: Sequence[Step]
    score: CaseScore | None
    materials: Sequence[tuple[uploads.Material, bytes]]
    promises: Sequence[Promise]
    leaves: Sequence[Leaf]
    bundle: str
    log_key: Vkey
    status_lists: Mapping[str, str]


async def collect(view: View, means: Means, *, case: Case, procedure: Procedure) -> Collected:
    """Read everything. Raises Unavailable `ledger.not_yet` while a leaf of the case has no proof; Gone when erased."""
    item = means.items[case.item_code]
    held = await uploads.held(view, case=case, item=item)
    files = [(one, await uploads.content(view, means.blobs, one)) for one in held.values()]
    looks = await evidence_of(view, case=case)
    issuers = frozenset(one.issuer for one in looks if one.issuer and one.sd_jwt)
    return Collected(
        case=case,
        item=item,
        procedure=procedure,
        offices={one.slug: (one.name_zh, one.name_en) for one in await all_departments(view)},
        looks=looks,
        steps=await steps_of(view, case=case),
        score=await latest(view, case=case),
        materials=files,
        promises=await promises_of(view, case=case),
        leaves=await _leaves(view, means, case, extra=[(one.subject_id, one.leaf_hash) for one, _ in files]),
        bundle=await trust_bundle(
            view, means.reader, issuer=means.issuer, log_key=means.log_key, signer=means.signer,
            types=means.types, only=issuers,
        ),
        log_key=means.log_key,
        status_lists=await _status_lists(view, looks),
    )  # fmt: skip


def files_of(found: Collected, summary: bytes) -> dict[str, bytes]:
    """The files of the package by path."""
    case = found.case
    about = {
        "case": case.public_id, "item": case.item_code, "item_version": case.item_version,
        "item_name": dict(found.item.display), "department": case.department, "hall": case.hall,
        "outcome": case.outcome, "opened_at": _at(case.opened_at), "accepted_at": _at(case.accepted_at),
        "decided_at": _at(case.decided_at), "closed_at": _at(case.closed_at),
        "departments": {slug: {"zh": zh, "en": en} for slug, (zh, en) in found.offices.items()},
    }  # fmt: skip
    made = {
        "summary.pdf": summary,
        "case.json": as_json(about),
        "item.json": as_json(found.item.document),
        "trust-bundle.jwt": found.bundle.encode(),
        "log-key.txt": f"{found.log_key}\n".encode(),
    }
    for look in found.looks:
        made[f"verdicts/{look.type_code}.json"] = as_json(_verdict(look))
        if look.sd_jwt:
            made[f"disclosures/{look.type_code}.sd-jwt"] = look.sd_jwt.encode()
    for name, token in found.status_lists.items():
        made[f"status-lists/{name}.jwt"] = token.encode()
    for step in found.steps:
        made[f"decisions/{step.code}.json"] = as_json(_decision(step))
    for promise in found.promises:
        made[f"promises/{promise.material}.json"] = as_json(_promise(promise))
    if found.score is not None:
        made["score.json"] = as_json(dict(found.score.document) | {"leaf_hash": found.score.leaf_hash.hex()})
    for material, data in found.materials:
        made[f"materials/{material.code}.{'pdf' if material.kind == 'pdf' else 'bin'}"] = data
        made[f"materials/{material.code}.json"] = as_json(_material(material))
    for number, leaf in enumerate(found.leaves, start=1):
        made[f"events/{number:04}-{leaf.kind}.json"] = as_json(
            {"kind": leaf.kind, "leaf_hash": leaf.leaf_hash.hex(), **opened_leaf(leaf.body)}
        )
        made[f"proofs/{leaf.leaf_hash.hex()}.tlog-proof"] = leaf.proof.encode()
    return made


def opened_leaf(body: Body) -> dict[str, str]:
    """What a commitment commits to, as the package carries it: `body` is the text that was hashed, byte for byte."""
    return {"salt": body.salt.hex(), "body": body.raw.decode()}


async def _leaves(
    view: View, means: Means, case: Case, *, extra: Sequence[tuple[UUID, bytes]]
) -> list[Leaf]:
    """Every leaf about this case in its people's bodies, and those of materials that were brought for another case."""
    found: dict[bytes, Body] = {}
    for person in [one for one in (case.applicant, case.beneficiary) if one]:
        key = await view.vault.person_key(view, person)
        rows = await view.all(
            sa.select(bodies.c.leaf_hash, bodies.c.sealed).where(
                bodies.c.bucket == bucket_of(person), bodies.c.subject_id == person, bodies.c.sealed.is_not(None)
            )
        )
        for row in rows:
            body = unseal_body_with(key, leaf_hash=row.leaf_hash, sealed=row.sealed)
            if _about(body.event, case):
                found[row.leaf_hash] = body
        found |= await accesses_of_case(view, subject_id=person, case_id=case.public_id)
    for person, leaf_hash in extra:
        if leaf_hash not in found:
            found[leaf_hash] = await open_body(view, leaf_hash=leaf_hash, subject_id=person)
    order = await view.all(
        sa.select(leaves.c.leaf_hash, leaves.c.kind)
        .where(leaves.c.leaf_hash.in_(list(found)))
        .order_by(leaves.c.seq)
    )
    return [
        Leaf(
            row.kind, row.leaf_hash, found[row.leaf_hash],
            str(await prove_inclusion(view, means.reader, leaf_hash=row.leaf_hash)),
        )
        for row in order
    ]  # fmt: skip


def _about(event: Mapping[str, Any], case: Case) -> bool:
    detail = event.get("detail")
    return event.get("case") == case.public_id or (
        isinstance(detail, dict) and detail.get("case_id") == case.public_id
    )


async def _status_lists(view: View, looks: Sequence[Found]) -> dict[str, str]:
    """For each disclosure the status list as it stood when it was looked at, by certificate type."""
    row, found = status_list_tokens.c, {}
    for look in looks:
        reference = sdjwt.status_reference(sdjwt.claims(look.sd_jwt)) if look.sd_jwt else None
        if reference is None:
            continue
        token = await view.value(
            sa.select(row.token)
            .where(row.uri == reference[0], row.stored_at <= look.gathered_at)
            .order_by(row.seq.desc())
            .limit(1)
        )
        if token is not None:
            found[look.type_code] = str(token)
    return found


def _verdict(look: Found) -> dict[str, Any]:
    return {
        "type": look.type_code, "outcome": look.outcome, "reason": look.reason, "certificate": look.certificate,
        "issuer": look.issuer, "access": look.access, "grant": look.grant, "leaf_hash": look.leaf_hash.hex(),
        "gathered_at": seconds(look.gathered_at),
        "checks": [dict(zip(("number", "step", "result", "zh", "en"), one, strict=True)) for one in look.checks],
    }  # fmt: skip


def _decision(step: Step) -> dict[str, Any]:
    return {
        "step": step.code, "department": step.department, "state": step.state, "passed": step.passed,
        "reason": step.reason_code, "officer": step.decided_by, "evidence": list(step.evidence),
        "note": step.note, "started_at": _at(step.started_at), "decided_at": _at(step.decided_at),
        "clock": asdict(step.clock) | {"due_on": step.clock.due_on.isoformat() if step.clock.due_on else None},
        "pauses": [
            {"reason": p.reason_code, "ask": p.ask, "asked_at": _at(p.asked_at), "answered_at": _at(p.answered_at)}
            for p in step.pauses
        ],
        "leaf_hash": step.leaf_hash.hex() if step.leaf_hash else None,
    }  # fmt: skip


def _promise(one: Promise) -> dict[str, Any]:
    return {
        "promise": one.public_id, "material": one.material, "basis": one.basis, "text": one.text,
        "state": one.state, "note": one.note, "made_at": _at(one.made_at), "check_by": one.check_by.isoformat(),
        "checked_at": _at(one.checked_at), "leaf_hash": one.leaf_hash.hex(),
    }  # fmt: skip


def _material(one: uploads.Material) -> dict[str, Any]:
    return {
        "material": one.code, "kind": one.kind, "size": one.size, "sha256": one.sha256.hex(), "level": one.level,
        "state": one.state, "reason": one.reason_code, "note": one.note, "uploaded_at": _at(one.uploaded_at),
        "reviewed_by": one.reviewed_by, "compared_by": one.compared_by, "expires_on": one.expires_on.isoformat(),
        "leaf_hash": one.leaf_hash.hex(),
    }  # fmt: skip


def as_json(value: Mapping[str, Any]) -> bytes:
    """A file of the package: JSON that people can read, members in order."""
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n"


def _at(moment: datetime | None) -> int | None:
    return seconds(moment) if moment else None
