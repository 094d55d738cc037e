"""Register a certificate that a department signed: the walk "Register" of DESIGN section 3.

The hub derives everything from the signed bytes and can sign none of it.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.certificates import indices, status
from hub.certificates.content import (
    check_identifiers,
    envelope_of,
    foreign_type,
    holders_of_claims,
    status_of,
    times_of,
    type_of,
)
from hub.certificates.find import by_public_id
from hub.certificates.model import (
    CertificateRef,
    CertificateState,
    certificate_holders,
    certificate_jtis,
    certificate_sources,
    certificates,
)
from hub.clock import seconds
from hub.errors import Conflict
from hub.formats import jws, sdjwt, statuslist
from hub.ids import bucket_of, public_token, uuid7
from hub.ledger.append import commit_event
from hub.registry import departments, subjects
from hub.registry.keys import key_at
from hub.registry.model import KeyPurpose, SubjectKind
from hub.registry.types import ENVELOPE, CertificateType
from hub.store.model import public_ids
from hub.store.seal import seal
from hub.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Source:
    """Which row of the department's own database a certificate was made from.

    `ref` is a keyed hash made by the agent, never the row's key itself. `generation` grows each time the row
    changes or comes back, so that A -> B -> A is three certificates and a resend is none.
    """

    dataset: str
    ref: str
    generation: int
    claims_hash: bytes


@dataclass(frozen=True, slots=True)
class Supersession:
    """The certificate that a new one replaces, and the signed list that says so."""

    certificate: str
    status_list: str


@dataclass(frozen=True, slots=True)
class Registered:
    """What the department gets back; `leaf_hash` is what the receipt is signed over."""

    certificate: str
    state: CertificateState
    leaf_hash: bytes
    at: datetime
    replayed: bool


@dataclass(frozen=True, slots=True)
class _Holder:
    subject_id: UUID
    position: int
    role: str


async def register(
    tx: Tx,
    *,
    token: str,
    types: Mapping[str, CertificateType],
    base_url: str,
    source: Source | None = None,
    supersedes: Supersession | None = None,
) -> Registered:
    """Register one SD-JWT VC of the calling department; the same source row again is answered alike.

    Checks, in order: 1. the department is active; 2. strict parse; 3. its certificate key is in force now;
    4. signature and SD-JWT rules; 5. `iss` is this department and `vct` a type that it may issue; 6. claims and
    roles fit the type; 7. identifiers are well formed; 8. `iat` lies on this Shanghai day or in the backlog;
    9. the status index is reserved and unused; 10. holders come from the signed claims alone.
    Raises HubError kinds; nothing is stored unless everything holds.
    """
    department = tx.actor.department
    if department is None:
        raise foreign_type()
    await departments.require_active(tx, slug=department)  # 1
    if source is not None and (known := await _replay(tx, department, source)) is not None:
        return known
    issuer_jwt = sdjwt.parse(token).issuer_jwt  # 2
    kid = str(jws.split(issuer_jwt).header.get("kid", ""))
    key = await key_at(tx, department=department, kid=kid, purpose=KeyPurpose.CERTIFICATE, moment=tx.now)  # 3
    processed = sdjwt.verify(token, key=key, now=seconds(tx.now))  # 4
    payload = processed.payload
    kind = type_of(payload, department, types, base_url)  # 5
    kind.check_claims({name: value for name, value in payload.items() if name not in ENVELOPE})  # 6
    holders_said = holders_of_claims(payload)
    kind.check_roles(str(holder["role"]) for holder in holders_said)
    check_identifiers(payload)  # 7
    jti, version = envelope_of(payload)
    times = times_of(payload, tx.now, kind)  # 8
    uri, idx = status_of(payload, times.valid_until)
    if uri is not None and idx is not None:
        await indices.take_index(tx, uri=uri, idx=idx)  # 9
    holders = await _resolve(tx, holders_said)  # 10
    certificate_id = uuid7()
    row = {
        "bucket": bucket_of(holders[0].subject_id),
        "id": certificate_id,
        "public_id": public_token(),
        "department": department,
        "type_code": kind.code,
        "type_version": kind.version,
        "jti": jti,
        "kid": kid,
        "signing_input_hash": processed.signing_input_hash,
        "iat": times.iat,
        "valid_from": times.valid_from,
        "valid_until": times.valid_until,
        "as_of": times.as_of,
        "status_uri": uri,
        "status_idx": idx,
        "state": CertificateState.CURRENT,
        "state_since": tx.now,
        "version": version,
        "registered_at": tx.now,
    }
    await _claim_jti(tx, row)
    if supersedes is not None:
        row["supersedes"] = await _supersede(tx, row, supersedes)
    return await _store(tx, row, token, holders, source)


async def _replay(tx: Tx, department: str, source: Source) -> Registered | None:
    columns = certificate_sources.c
    row = await tx.first(
        sa.select(columns.claims_hash, certificates)
        .join(
            certificates,
            sa.and_(certificates.c.bucket == columns.bucket, certificates.c.id == columns.certificate_id),
        )
        .where(
            columns.department == department,
            columns.dataset == source.dataset,
            columns.ref == source.ref,
            columns.generation == source.generation,
        )
    )
    if row is None:
        return None
    if row.claims_hash != source.claims_hash:
        raise Conflict(
            "certificate.generation_reused",
            "同一来源行的同一代次已登记过不同内容。",
            "This generation of the source row was registered before with other claims.",
            next_zh="内容变化时代次必须加一；请检查适配器状态库。",
            next_en="The generation must grow when the claims change: check the agent's state database.",
        )
    return Registered(
        row.public_id, CertificateState(row.state), row.leaf_hash, row.registered_at, replayed=True
    )


async def _resolve(tx: Tx, said: list[dict[str, str]]) -> list[_Holder]:
    """The holders in signed order; looked up in the order of their numbers, so two couples never wait in a circle."""
    found: dict[int, _Holder] = {}
    for position in sorted(range(len(said)), key=lambda at: (said[at]["id_type"], said[at]["id_no"])):
        holder = said[position]
        kind = SubjectKind.LEGAL if holder["id_type"] == "001" else SubjectKind.NATURAL
        subject_id = await subjects.resolve(tx, id_type=holder["id_type"], id_no=holder["id_no"], kind=kind)
        await subjects.remember_face(
            tx,
            subject_id=subject_id,
            name=holder["name"],
            id_type=holder["id_type"],
            id_no=holder["id_no"],
        )
        found[position] = _Holder(subject_id, position, holder["role"])
    return [found[position] for position in range(len(said))]


async def _claim_jti(tx: Tx, row: Mapping[str, Any]) -> None:
    new = await tx.insert_new(
        certificate_jtis,
        {
            "department": row["department"],
            "jti": row["jti"],
            "bucket": row["bucket"],
            "certificate_id": row["id"],
        },
    )
    if not new:
        raise Conflict(
            "certificate.jti_used",
            "本部门已登记过同一编号（jti）的证照。",
            "This department has already registered a certificate with this jti.",
            next_zh="重发请使用同一来源行和代次；新的内容请换新的 jti 签发。",
            next_en="Resend with the same source and generation; sign new content with a new jti.",
        )


async def _supersede(tx: Tx, row: Mapping[str, Any], supersession: Supersession) -> UUID:
    old = await by_public_id(tx, supersession.certificate)
    if old.department != tx.actor.department or old.type_code != row["type_code"]:
        raise foreign_type()
    if old.state not in (CertificateState.CURRENT, CertificateState.SUSPENDED):
        raise Conflict(
            "certificate.not_current",
            f"被取代的证照当前状态为 {old.state}，不能再被取代。",
            f"The certificate to be superseded is {old.state} and cannot be superseded.",
        )
    if old.status_idx is not None:
        await status.accept_list(
            tx,
            token=supersession.status_list,
            changes={old.status_idx: statuslist.INVALID},
            uri=old.status_uri,
        )
    await status.set_state(tx, certificate=old, state=CertificateState.SUPERSEDED, reason="superseded")
    await tx.run(
        certificates.update()
        .where(certificates.c.bucket == old.ref.bucket, certificates.c.id == old.ref.id)
        .values(superseded_by=row["id"])
    )
    return old.ref.id


async def _store(
    tx: Tx, row: dict[str, Any], token: str, holders: list[_Holder], source: Source | None
) -> Registered:
    ref = CertificateRef(row["bucket"], row["id"])
    body_key = secrets.token_bytes(32)
    row["sealed_body"] = seal(body_key, token.encode(), bound_to=ref.id.bytes)
    leaf = await commit_event(
        tx,
        kind="certificate.registered",
        subject_id=holders[0].subject_id,
        body={
            "event": "certificate.registered",
            "department": row["department"],
            "type": row["type_code"],
            "certificate": row["public_id"],
            "signing_input_sha256": row["signing_input_hash"].hex(),
            "kid": row["kid"],
            "at": seconds(tx.now),
        },
    )
    row["leaf_hash"] = leaf.leaf_hash
    await tx.insert(certificates, row)
    await tx.insert(
        public_ids,
        {"token": row["public_id"], "kind": "certificate", "bucket": ref.bucket, "row_id": ref.id},
    )
    await tx.insert(
        certificate_holders,
        [
            {
                "bucket": bucket_of(holder.subject_id),
                "subject_id": holder.subject_id,
                "certificate_id": ref.id,
                "position": holder.position,
                "certificate_bucket": ref.bucket,
                "type_code": row["type_code"],
                "role": holder.role,
                "wrapped_key": await tx.vault.seal_for(
                    tx, holder.subject_id, body_key, bound_to=ref.id.bytes + holder.subject_id.bytes
                ),
            }
            for holder in holders
        ],
    )
    if source is not None:
        await tx.insert(
            certificate_sources,
            {
                "department": row["department"],
                "dataset": source.dataset,
                "ref": source.ref,
                "generation": source.generation,
                "claims_hash": source.claims_hash,
                "bucket": ref.bucket,
                "certificate_id": ref.id,
            },
        )
    return Registered(row["public_id"], CertificateState.CURRENT, leaf.leaf_hash, tx.now, replayed=False)
