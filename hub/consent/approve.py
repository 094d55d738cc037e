"""The citizen decides: sees who asks for what and why, unticks what is optional, agrees or refuses."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import sqlalchemy as sa

from hub.catalogue.items import ClaimPath, ServiceItem
from hub.clock import from_seconds, seconds
from hub.consent.approver import Proof, prove
from hub.consent.evidence import demands_passkey, keep_approval
from hub.consent.model import Grant, GrantState, RequestState, consent_requests, grants
from hub.consent.shown import ConsentRequest, Part, narrow, narrowed, request_of, ticked_of
from hub.consent.withdraw import from_row
from hub.errors import Conflict, Forbidden, Gone, Malformed, NotFound, Unprocessable
from hub.formats import jws
from hub.formats.authorization import Detail
from hub.formats.pullorder import holder_digest
from hub.formats.webauthn import MAX_BYTES, Approval
from hub.ids import bucket_of, public_token, uuid7
from hub.ledger.append import commit_event
from hub.registry.subjects import numbers_of
from hub.registry.types import CertificateType
from hub.store.model import public_ids
from hub.store.outbox import emit
from hub.store.tx import Tx, View

ASSURANCE_LOGIN = "login"
ASSURANCE_PASSKEY = "passkey"


async def pending(
    view: View, *, items: Mapping[str, ServiceItem], types: Mapping[str, CertificateType]
) -> list[ConsentRequest]:
    """The requests that wait for the acting citizen, newest first."""
    rows = await view.all(
        sa.select(consent_requests)
        .where(
            consent_requests.c.approver == view.actor.subject_id,
            consent_requests.c.state == RequestState.PENDING,
            consent_requests.c.expires_at > view.now,
        )
        .order_by(consent_requests.c.id.desc())
    )
    return [request_of(row, items, types) for row in rows]


async def show(
    view: View, *, public_id: str, items: Mapping[str, ServiceItem], types: Mapping[str, CertificateType]
) -> ConsentRequest:
    """One request of the acting citizen, decided ones too; NotFound for anybody else's."""
    return request_of(await _row(view, public_id), items, types)


async def approve(
    tx: Tx,
    *,
    public_id: str,
    chosen: Sequence[Mapping[str, Iterable[ClaimPath]]] | None,
    items: Mapping[str, ServiceItem],
    types: Mapping[str, CertificateType],
    approval: Approval | None = None,
    channel: str = ASSURANCE_LOGIN,
) -> list[Grant]:
    """Agree: one Grant per detail and its leaf, all in this commit; a token can only be signed afterwards.

    `chosen` holds, per detail, the ticked fields by type; None ticks the required ones only. 1. the request is
    the actor's, pending and in time (one guarded update decides between two clicks); 2. what is granted is
    never wider than what was asked, and holds every required field; 3. whoever decides for another is proved anew.
    4. with `approval`, a passkey signed exactly this; without, the item must not demand it, and the grant says by which
    `channel` the person was known: a sign-in, a use code at a counter, a signed paper.
    """
    request = request_of(await _row(tx, public_id), items, types)
    await _decide(tx, public_id, RequestState.APPROVED)  # 1
    assurance = await _assure(tx, request, chosen, approval, channel)  # 4
    made = []
    for position, part in enumerate(request.parts):
        detail = narrow(part, ticked_of(chosen, position))  # 2
        if detail is None:  # of this person nothing was ticked: no grant
            continue
        proof = await prove(  # 3
            tx,
            person=_citizen(tx),
            holder=part.holder,
            detail=detail,
            department=request.department,
            case_id=request.case_id,
        )
        if proof.ends_at is not None:  # what somebody gave for another ends with their power, whatever was asked
            detail = replace(detail, valid_until=min(detail.valid_until, proof.ends_at))
        made.append(await _grant(tx, request, part, detail, position, proof, assurance))
    if not made:
        raise Unprocessable(
            "consent.nothing_ticked",
            "一项都没有勾选，等于没有同意。",
            "Nothing is ticked, so there is nothing to agree to.",
            next_zh="请勾选愿意提供的内容；都不愿意，请选择“不同意”。",
            next_en="Tick what you are willing to show, or choose refuse.",
        )
    return made


async def _assure(
    tx: Tx,
    request: ConsentRequest,
    chosen: Sequence[Mapping[str, Iterable[ClaimPath]]] | None,
    approval: Approval | None,
    channel: str,
) -> str:
    """How sure it is that the citizen approved: by a passkey over exactly these details, kept, or by a sign-in."""
    if approval is None:
        if demands_passkey(request.item.code):
            raise Forbidden(
                "consent.passkey_needed",
                "办理这件事，同意须用通行密钥确认。",
                "For this matter consent must be confirmed with a passkey.",
                next_zh="请先在“通行密钥”页面添加一个，或带原件到窗口办理。",
                next_en="Add one on the page “Passkeys”, or bring the originals to the counter.",
            )
        return channel
    said = jws.loads(approval.signed, max_bytes=MAX_BYTES)
    details = [detail.to_json() for _, detail in narrowed(request.parts, chosen)]
    same = (said["request"], said["department"]) == (request.public_id, request.department)
    if not same or said["authorization_details"] != details:
        raise Malformed(
            "approval.other_request",
            "通行密钥签的不是这个请求。",
            "The passkey signed another request.",
        )
    await keep_approval(tx, request=request.id, approval=approval)
    return ASSURANCE_PASSKEY


async def refuse(tx: Tx, *, public_id: str) -> None:
    """Say no; the verifier learns `access_denied` and nothing else."""
    row = await _row(tx, public_id)
    await _decide(tx, public_id, RequestState.REFUSED)
    await commit_event(
        tx,
        kind="consent.refused",
        subject_id=_citizen(tx),
        body={
            "event": "consent.refused",
            "request": public_id,
            "department": row.department,
            "item": row.item_code,
            "case": row.case_id,
            "at": seconds(tx.now),
        },
    )


async def _row(view: View, public_id: str) -> sa.Row[tuple[object, ...]]:
    row = await view.first(
        sa.select(consent_requests).where(
            consent_requests.c.public_id == public_id,
            consent_requests.c.approver == _citizen(view),
        )
    )
    if row is None:
        raise NotFound(
            "consent.request_unknown",
            "没有这个授权请求，或者它不是发给您的。",
            "There is no such consent request, or it was not sent to you.",
            next_zh="请回到首页查看待处理的授权请求。",
            next_en="Go back to your wallet and look at the pending requests.",
        )
    return row


async def _decide(tx: Tx, public_id: str, state: RequestState) -> None:
    won = await tx.run(
        consent_requests.update()
        .where(
            consent_requests.c.public_id == public_id,
            consent_requests.c.approver == _citizen(tx),
            consent_requests.c.state == RequestState.PENDING,
            consent_requests.c.expires_at > tx.now,
        )
        .values(state=state, decided_at=tx.now)
    )
    if won:
        return
    row = await _row(tx, public_id)
    if row.state == RequestState.PENDING:
        raise Gone(
            "consent.request_expired",
            "这个授权请求已经过期，没有任何资料被提供。",
            "This consent request has expired; nothing was shown to anybody.",
            next_zh="如仍需办理，请让窗口或部门重新发起请求。",
            next_en="If you still need it, ask the office to send a new request.",
        )
    raise Conflict(
        "consent.already_decided",
        "这个授权请求已经处理过了。",
        "This consent request has already been decided.",
        next_zh="可在“授权记录”中查看或收回。",
        next_en="See or withdraw it among your grants.",
    )


async def _grant(
    tx: Tx, request: ConsentRequest, part: Part, detail: Detail, position: int, proof: Proof,
    assurance: str,
) -> Grant:
    values = {
        "bucket": bucket_of(part.holder),
        "id": uuid7(),
        "public_id": public_token(),
        "request_id": request.id,
        "position": position,
        "holder": part.holder,
        "approver": _citizen(tx),
        "basis": part.basis,
        "basis_evidence": proof.evidence,
        "evidence_bucket": proof.row.bucket if proof.row else None,
        "evidence_id": proof.row.id if proof.row else None,
        "assurance": assurance,
        "department": request.department,
        "item_code": request.item.code,
        "case_id": request.case_id,
        "purpose": detail.purpose,
        "detail": detail.to_json(),
        "valid_until": from_seconds(detail.valid_until),
        "max_uses": detail.max_uses,
        "uses": 0,
        "state": GrantState.STANDING,
        "seq": 1,
        "created_at": tx.now,
    }
    about = {
        "event": "grant.given",
        "grant": values["public_id"],
        "grant_seq": 1,
        "basis": str(part.basis),
        "assurance": assurance,
        "detail": detail.to_json(),
        "department": request.department,
        "at": seconds(tx.now),
    }
    numbers = await numbers_of(tx, part.holder)
    if numbers:  # what an issuing department checks the consent by, when it is asked to look this person up
        about["holder"] = holder_digest(str(values["public_id"]), *numbers[0])
    leaf = await commit_event(tx, kind="grant.given", subject_id=part.holder, body=about)
    values["leaf_hash"] = leaf.leaf_hash
    row = (await tx.conn.execute(grants.insert().values(**values).returning(grants))).first()
    await tx.insert(
        public_ids,
        {
            "token": values["public_id"],
            "kind": "grant",
            "bucket": values["bucket"],
            "row_id": values["id"],
        },
    )
    if part.holder != _citizen(tx):  # somebody agreed in their place
        await emit(tx, kind="grant.given", grant=str(values["public_id"]))
    return from_row(row)


def _citizen(view: View) -> UUID:
    if view.actor.subject_id is None:
        raise NotFound(
            "consent.request_unknown",
            "没有这个授权请求，或者它不是发给您的。",
            "There is no such consent request, or it was not sent to you.",
        )
    return view.actor.subject_id
