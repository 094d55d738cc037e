"""The door for a department's keys: the first by a one-time code, the next by the ones before, and their end."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from hub.actor import Actor, ActorKind
from hub.clock import seconds
from hub.registry import keys
from hub.store.tx import Tx
from hub.web import examples, idempotency
from hub.web.answer import dumps, json_answer, receipt_for
from hub.web.body import Body, read_body, request_schema
from hub.web.caller import Caller, issuing
from hub.web.deps import Hub, hub_of

router = APIRouter(tags=["issuers"])

Issuing = Annotated[Caller, Depends(issuing)]
Short = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=64 * 1024)]


class KeyOffer(Body):
    """One key a department brings, with the proof that it holds the private half."""

    purpose: Short
    jwk: dict[str, Any]
    proof: Token
    not_after: int | None = None


class Enrolment(Body):
    """The one-time code and the first keys."""

    code: Short
    keys: Annotated[list[KeyOffer], Field(min_length=1, max_length=3)]


class Rotation(Body):
    """The next key of one purpose, vouched for by the one before."""

    purpose: Short
    jwk: dict[str, Any]
    proof: Token
    previous_proof: Token


@router.post(
    "/v1/departments/{slug}/enrol",
    status_code=201,
    openapi_extra=request_schema(
        Enrolment,
        {
            "code": "k3…",
            "keys": [{"purpose": "client", "jwk": {"kty": "EC", "crv": "P-256"}, "proof": "eyJ…"}],
        },
    ),
    responses=examples.ENROLLED,
)
async def enrol(slug: str, request: Request) -> Response:
    """Bring the first keys with a one-time code. Not authenticated otherwise: the code and the proofs are it."""
    hub = hub_of(request)
    body, _ = await read_body(request, Enrolment, max_bytes=256 * 1024)
    async with hub.tx(Actor(ActorKind.DEPARTMENT, department=slug)) as tx:
        admitted = await keys.enrol(
            tx,
            department=slug,
            code=body.code,
            offers=[offer.model_dump() for offer in body.keys],
            audience=hub.settings.public_url,
        )
        answer = _admitted(hub, tx, admitted)
    return json_answer(answer, 201)


@router.post(
    "/v1/keys",
    status_code=201,
    openapi_extra=request_schema(
        Rotation, {"purpose": "certificate", "jwk": {"kty": "EC"}, "proof": "eyJ…", "previous_proof": "eyJ…"}
    ),
    responses=examples.ENROLLED,
)
async def rotate(request: Request, caller: Issuing) -> Response:
    """Register the next key of one purpose."""
    hub = hub_of(request)
    body, raw = await read_body(request, Rotation, max_bytes=256 * 1024)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        slot = await idempotency.enter(tx, request, caller=caller.actor.reference(), body=raw)
        if slot and slot.reply:
            return json_answer(slot.reply.body, slot.reply.status)
        admitted = await keys.rotate(
            tx,
            department=caller.department,
            purpose=body.purpose,
            jwk=body.jwk,
            proof=body.proof,
            previous_proof=body.previous_proof,
            audience=hub.settings.public_url,
        )
        answer = _admitted(hub, tx, admitted)
        await idempotency.keep(tx, slot, status=201, body=answer)
    return json_answer(answer, 201)


@router.post("/v1/keys/{kid}/retire", responses=examples.RETIRED)
async def retire(kid: str, request: Request, caller: Issuing) -> Response:
    """End a key. What it signed before stays good."""
    hub = hub_of(request)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        leaf = await keys.retire(tx, department=caller.department, kid=kid)
        made = receipt_for(hub, kind="key.retired", leaf_hash=leaf.leaf_hash, at=tx.now)
        answer = dumps({"kid": kid, "retired_at": seconds(tx.now), "receipt": made})
    return json_answer(answer)


def _admitted(hub: Hub, tx: Tx, admitted: keys.Admitted) -> bytes:
    made = receipt_for(hub, kind="key.admitted", leaf_hash=admitted.leaf.leaf_hash, at=tx.now)
    return dumps({"keys": [{"kid": kid, "purpose": p} for kid, p in admitted.keys], "receipt": made})
