"""Register a certificate that a department signed: the walk "Register" of DESIGN section 3.

The hub derives everything from the signed bytes and can sign none of it.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.certificates import status
from hub.certificates.find import by_public_id
from hub.certificates.model import (
    CertificateRef,
    CertificateState,
    certificate_holders,
    certificate_jtis,
    certificate_sources,
    certificates,
)
from hub.clock import civil_day, from_seconds, seconds
from hub.errors import Conflict, Forbidden, Malformed, Unprocessable
from hub.formats import identifiers, jws, sdjwt, statuslist
from hub.ids import bucket_of, public_token, uuid7
from hub.ledger.append import commit_event
from hub.registry import departments, subjects
from hub.registry.keys import key_at
from hub.registry.model import KeyPurpose, SubjectKind
from hub.registry.types import ENVELOPE, CertificateType
from hub.store.model import public_ids
from hub.store.seal import seal
from hub.store.tx import Tx

BACKLOG_DAYS = 31
"""How many Shanghai days `iat` may lie before the day of registration (a department working off a backlog)."""


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
        raise _foreign_type()
    await departments.require_active(tx, slug=department)  # 1
    if source is not None and (known := await _replay(tx, department, source)) is not None:
        return known
    issuer_jwt = sdjwt.parse(token).issuer_jwt  # 2
    kid = str(jws.split(issuer_jwt).header.get("kid", ""))
    key = await key_at(tx, department=department, kid=kid, purpose=KeyPurpose.CERTIFICATE, moment=tx.now)  # 3
    processed = sdjwt.verify(token, key=key, now=seconds(tx.now))  # 4
    payload = processed.payload
    kind = _type_of(payload, department, types, base_url)  # 5
    kind.check_claims({name: value for name, value in payload.items() if name not in ENVELOPE})  # 6
    holders_said = _holders(payload)
    kind.check_roles(str(holder["role"]) for holder in holders_said)
    _check_identifiers(payload)  # 7
    times = _times(payload, tx.now, kind)  # 8
    uri, idx = _status(payload, times.valid_until)
    if uri is not None and idx is not None:
        await status.take_index(tx, uri=uri, idx=idx)  # 9
    holders = await _resolve(tx, holders_said)  # 10
    certificate_id = uuid7()
    row = {
        "bucket": bucket_of(holders[0].subject_id),
        "id": certificate_id,
        "public_id": public_token(),
        "department": department,
        "type_code": kind.code,
        "type_version": kind.version,
        "jti": str(payload["jti"]),
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
        "version": int(payload.get("version", 1)),
        "registered_at": tx.now,
    }
    await _claim_jti(tx, row)
    if supersedes is not None:
        row["supersedes"] = await _supersede(tx, row, supersedes)
    return await _store(tx, row, token, holders, source)


@dataclass(frozen=True, slots=True)
class _Times:
    iat: datetime
    valid_from: datetime | None
    valid_until: datetime | None
    as_of: date | None


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


def _type_of(
    payload: Mapping[str, Any], department: str, types: Mapping[str, CertificateType], base_url: str
) -> CertificateType:
    if payload.get("iss") != f"{base_url}/dept/{department}":
        raise Forbidden(
            "certificate.issuer_mismatch",
            "证照中的签发者不是本部门。",
            "The issuer named in the certificate is not the department that registers it.",
            next_zh="请检查适配器配置中的部门代码和平台地址。",
            next_en="Check the department and the hub address in the agent's configuration.",
        )
    kind = next((kind for kind in types.values() if kind.vct == payload.get("vct")), None)
    if kind is None or department not in kind.issuers:
        raise _foreign_type()
    return kind


def _foreign_type() -> Forbidden:
    return Forbidden(
        "certificate.type_not_yours",
        "本部门无权签发这一类型的证照。",
        "This department may not issue certificates of this type.",
        next_zh="请核对证照类型代码；如确需签发，请向平台管理员申请。",
        next_en="Check the type; if it should be yours, ask the administrator to allow it.",
    )


def _holders(payload: Mapping[str, Any]) -> list[dict[str, str]]:
    holders = payload.get("holders")
    wanted = {"name", "id_type", "id_no", "role"}
    if not isinstance(holders, list) or not 1 <= len(holders) <= 32:
        raise _bad_holders()
    for holder in holders:
        if not isinstance(holder, dict) or set(holder) != wanted:
            raise _bad_holders()
        if not all(isinstance(value, str) and 0 < len(value) <= 128 for value in holder.values()):
            raise _bad_holders()
    return holders


def _bad_holders() -> Malformed:
    return Malformed(
        "certificate.holders_invalid",
        "持证主体必须为 1 到 32 个，且每个都有姓名、证件类型、证件号码和角色。",
        "A certificate names 1 to 32 holders, each with name, id_type, id_no and role.",
        next_zh="请检查适配器配置中的 holders 映射。",
        next_en="Check the holders mapping in the agent's configuration.",
    )


def _check_identifiers(payload: Mapping[str, Any]) -> None:
    identifier = payload.get("certificate_identifier")
    if identifier is not None:
        identifiers.certificate_identifier(str(identifier))


def _times(payload: Mapping[str, Any], now: datetime, kind: CertificateType) -> _Times:
    iat = payload.get("iat")
    if not isinstance(iat, int) or isinstance(iat, bool):
        raise _bad_time("iat")
    signed_on, today = civil_day(from_seconds(iat)), civil_day(now)
    if not today - timedelta(days=BACKLOG_DAYS) <= signed_on <= today:
        raise Unprocessable(
            "certificate.iat_out_of_range",
            f"签发日期必须是今天或此前 {BACKLOG_DAYS} 天之内。",
            f"The day of signing must be today or within the last {BACKLOG_DAYS} days.",
            next_zh="请检查部门服务器的时钟，并重新签发。",
            next_en="Check the clock of the department's server and sign again.",
        )
    as_of: date | None = None
    if kind.living:
        try:
            as_of = date.fromisoformat(str(payload.get("as_of")))
        except ValueError:
            raise _bad_time("as_of") from None
        if as_of > today:
            raise _bad_time("as_of")
    nbf, exp = payload.get("nbf"), payload.get("exp")
    return _Times(
        from_seconds(iat),
        from_seconds(nbf) if nbf is not None else None,
        from_seconds(exp) if exp is not None else None,
        as_of,
    )


def _bad_time(name: str) -> Unprocessable:
    return Unprocessable(
        "certificate.time_invalid",
        f"证照中的时间 {name} 缺失或不合规定。",
        f"The time {name} in the certificate is missing or not allowed.",
        next_zh="动态类证照必须写明数据截至日期 as_of，且不得晚于今天。",
        next_en="A living certificate must say its as_of day, not later than today.",
    )


def _status(payload: Mapping[str, Any], valid_until: datetime | None) -> tuple[str | None, int | None]:
    said = payload.get("status")
    if said is None and valid_until is not None:
        return None, None
    entry = said.get("status_list") if isinstance(said, dict) else None
    uri, idx = (entry.get("uri"), entry.get("idx")) if isinstance(entry, dict) else (None, None)
    if not isinstance(uri, str) or not isinstance(idx, int) or isinstance(idx, bool) or idx < 0:
        raise Malformed(
            "certificate.status_missing",
            "证照必须写明状态列表位置，或者写明有效期截止时间。",
            "A certificate must name its status index, or its end.",
            next_zh="请先预留状态位后签发。",
            next_en="Reserve a status index and sign with it.",
        )
    return uri, idx


async def _resolve(tx: Tx, said: list[dict[str, str]]) -> list[_Holder]:
    found = []
    for position, holder in enumerate(said):
        kind = SubjectKind.LEGAL if holder["id_type"] == "001" else SubjectKind.NATURAL
        subject_id = await subjects.resolve(
            tx, id_type=holder["id_type"], id_no=holder["id_no"], kind=kind
        )
        await subjects.remember_face(
            tx,
            subject_id=subject_id,
            name=holder["name"],
            id_type=holder["id_type"],
            id_no=holder["id_no"],
        )
        found.append(_Holder(subject_id, position, holder["role"]))
    return found


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
        raise _foreign_type()
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
