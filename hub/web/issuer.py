"""The door for departments that issue: status lists, certificates. Every call proves its client key (DPoP)."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from hub.certificates import indices, status
from hub.certificates.face import keep_face
from hub.certificates.find import by_public_id, unknown_certificate
from hub.certificates.model import StatusEvent
from hub.clock import seconds
from hub.consent.withdraw import end_resting_on
from hub.oversight.reliance import tell_who_relied
from hub.paper.handed import MAX_PDF, inspect_in_child
from hub.web import examples, idempotency, ndjson
from hub.web.answer import dumps, issuance_of, json_answer
from hub.web.body import CERTIFICATE, Body, lines_schema, read_body, read_bytes, request_schema
from hub.web.caller import Caller, issuing
from hub.web.changing import MOST_BYTES, ChangesBody, change_many
from hub.web.deps import hub_of
from hub.web.registering import register_one, registered, registering
from hub.web.registration import LINE_BYTES, NewCertificate, Token

router = APIRouter(tags=["issuers"])

Issuing = Annotated[Caller, Depends(issuing)]
LIMITS = ndjson.Limits(lines=10_000, line_bytes=LINE_BYTES, all_bytes=64 * 1024 * 1024, lines_a_commit=500)


class Reservation(Body):
    """How many status indices are wanted."""

    count: int


class ListPush(Body):
    """A status list token of the department."""

    token: Token


class StatusChange(Body):
    """An event, its reason as a code word, and the list that says so."""

    event: Literal["revoke", "suspend", "reinstate"]
    reason: Annotated[str, StringConstraints(pattern="^[a-z0-9_.-]{1,48}$")]
    status_list: Token


@router.post(
    "/v1/status-lists/reserve",
    status_code=201,
    openapi_extra=request_schema(Reservation, {"count": 100}),
    responses=examples.RESERVED,
)
async def reserve(request: Request, caller: Issuing) -> Response:
    """Reserve up to 1,000 random status indices; unused ones are burned."""
    hub = hub_of(request)
    body, _ = await read_body(request, Reservation)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        made = await indices.reserve(tx, count=body.count, base_url=hub.settings.public_url)
    return json_answer(
        dumps(
            {
                "reserved": [{"uri": uri, "idx": idx} for uri, idx in made.reserved],
                "lists": [_list_head(head) for head in made.lists],
            }
        ),
        201,
    )


@router.put(
    "/v1/status-lists", openapi_extra=request_schema(ListPush, {"token": "eyJ…"}), responses=examples.PUSHED
)
async def push(request: Request, caller: Issuing) -> Response:
    """Take in the next version of a list without changed entries (a first version, or a fresh signature)."""
    hub = hub_of(request)
    body, _ = await read_body(request, ListPush, max_bytes=96 * 1024)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        head = await status.push(tx, token=body.token)
    return json_answer(dumps({"uri": head.uri, "seq": head.seq, "sha256": head.sha256}))


@router.get("/v1/status-lists/mine", responses=examples.MY_LISTS)
async def my_lists(request: Request, caller: Issuing) -> Response:
    """All lists of the calling department, each with its current token."""
    hub = hub_of(request)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        found = []
        for head in await status.lists_of(tx, department=caller.department):
            token = await status.list_token(tx, uri=head.uri) if head.seq else None
            found.append({**_list_head(head), "token": token})
    return json_answer(dumps({"lists": found}))


_CERTIFICATE_EXAMPLE = {
    "sd_jwt": "eyJ…~WyJ…~",
    "source": {"dataset": "degrees", "ref": "9f…", "generation": 1, "claims_hash": "0" * 64},
    "supersedes": None,
}


@router.post(
    "/v1/certificates",
    status_code=201,
    openapi_extra=request_schema(NewCertificate, _CERTIFICATE_EXAMPLE),
    responses=examples.REGISTERED,
)
async def new_certificate(request: Request, caller: Issuing) -> Response:
    """Register one certificate that the calling department signed."""
    hub = hub_of(request)
    body, raw = await read_body(request, NewCertificate, max_bytes=CERTIFICATE)
    async with hub.tx(caller.actor, by_key=True) as tx:
        await caller.enter(tx)
        slot = await idempotency.enter(tx, request, caller=caller.actor.reference(), body=raw)
        if slot and slot.reply:
            return json_answer(slot.reply.body, slot.reply.status)
        made = await register_one(tx, hub, body)
        answer = dumps(registered(made, issuance_of(hub)))
        await idempotency.keep(tx, slot, status=201, body=answer)
    return json_answer(answer, 201)


@router.post(
    "/v1/certificates/batch",
    openapi_extra=lines_schema('{"line":1,"sd_jwt":"eyJ…"}'),
    responses=examples.REGISTERED_LINES,
)
async def batch(request: Request, caller: Issuing) -> Response:
    """Register many: one JSON object a line in, one result a line out, in order. A refused line spoils no other.

    At most 10,000 lines, 512 KiB a line and 64 MiB in all. Results come as their lines are committed, while later lines
    may still be on their way. After a break send the same lines again: what was registered is answered as `replayed`.
    """
    hub = hub_of(request)
    ndjson.require_lines(request, LIMITS)
    hub.batches.require_room()
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
    return registering(hub, caller.actor, request, LIMITS)


_CHANGES_EXAMPLE = {
    "status_lists": ["eyJ…"],
    "changes": [
        {
            "certificate_id": "IRVAcmgXkSIO1AP3SBwpXA",
            "event": "supersede",
            "sd_jwt": "eyJ…~WyJ…~",
            "source": {"dataset": "degrees", "ref": "9f…", "generation": 2, "claims_hash": "0" * 64},
        },
        {"certificate_id": "p21NO4PoYQ8rF2m1a0bXUA", "event": "revoke", "reason": "vanished"},
    ],
}


@router.post(
    "/v1/certificates/changes",
    openapi_extra=request_schema(ChangesBody, _CHANGES_EXAMPLE),
    responses=examples.CHANGED_MANY,
)
async def change_several(request: Request, caller: Issuing) -> Response:
    """Supersede, revoke, suspend or reinstate up to 500 certificates with one new version of each status list.

    All or nothing: each list must differ from the version before in exactly the entries of these changes. A change that
    cannot be is named in `refused`, and nothing is done: leave it out, sign the lists anew, send the others again. The
    same request again is answered alike (`replayed`), whether or not the first answer arrived. At most 8 MiB.
    """
    hub = hub_of(request)
    hub.batches.require_room()
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
    body, _ = await read_body(request, ChangesBody, max_bytes=MOST_BYTES)
    return json_answer(dumps(await change_many(hub, caller.actor, body)))


@router.get("/v1/certificates/{certificate_id}", responses=examples.STATE)
async def certificate_state(certificate_id: str, request: Request, caller: Issuing) -> Response:
    """The state of one certificate of the calling department; another department's is not found."""
    hub = hub_of(request)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        found = await by_public_id(tx, certificate_id)
        if found.department != caller.department:
            raise unknown_certificate()
    return json_answer(
        dumps(
            {
                "certificate_id": found.public_id,
                "type": found.type_code,
                "state": found.state,
                "since": seconds(found.state_since),
                "version": found.version,
                "registered_at": seconds(found.registered_at),
                "status": None
                if found.status_uri is None
                else {"uri": found.status_uri, "idx": found.status_idx},
                "leaf_hash": found.leaf_hash.hex(),
            }
        )
    )


@router.post(
    "/v1/certificates/{certificate_id}/status",
    openapi_extra=request_schema(
        StatusChange, {"event": "revoke", "reason": "issued-in-error", "status_list": "eyJ…"}
    ),
    responses=examples.CHANGED,
)
async def change_status(certificate_id: str, request: Request, caller: Issuing) -> Response:
    """Revoke, suspend or reinstate, with the newly signed list, in one commit."""
    hub = hub_of(request)
    body, raw = await read_body(request, StatusChange, max_bytes=96 * 1024)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        slot = await idempotency.enter(tx, request, caller=caller.actor.reference(), body=raw)
        if slot and slot.reply:
            return json_answer(slot.reply.body, slot.reply.status)
        found = await by_public_id(tx, certificate_id)
        if found.department != caller.department:
            raise unknown_certificate()
        after = await status.change(
            tx, certificate=found, event=StatusEvent(body.event), reason=body.reason, token=body.status_list
        )
        if body.event != "reinstate":  # whoever was proved by it is not any more
            await end_resting_on(tx, evidence=found.public_id)
        await tell_who_relied(tx, certificate=found.public_id)
        answer = dumps({"certificate_id": found.public_id, "state": after})
        await idempotency.keep(tx, slot, status=200, body=answer)
    return json_answer(answer)


@router.put("/v1/certificates/{certificate_id}/face", status_code=204)
async def put_face(certificate_id: str, request: Request, caller: Issuing) -> Response:
    """Store the printed face that the agent rendered and sealed: a PDF that carries exactly this certificate.

    1. The proof is spent and the certificate is the caller's, before any byte of the PDF is looked at. 2. The file
    is inspected in a limited child process, outside any transaction. 3. It is stored when it carries this certificate.
    """
    hub = hub_of(request)
    async with hub.tx(caller.actor) as tx:  # 1
        await caller.enter(tx)
        if (await by_public_id(tx, certificate_id)).department != caller.department:
            raise unknown_certificate()
    pdf = await read_bytes(request, max_bytes=MAX_PDF)
    inspection = await inspect_in_child(pdf)  # 2
    async with hub.tx(caller.actor) as tx:  # 3
        found = await by_public_id(tx, certificate_id)
        await keep_face(tx, certificate=found, pdf=pdf, inspection=inspection, blobs=hub.blobs)
    return Response(status_code=204)


def _list_head(head: indices.ListHead) -> dict[str, Any]:
    return {"uri": head.uri, "size": head.size, "bits": head.bits, "seq": head.seq, "sha256": head.sha256}
