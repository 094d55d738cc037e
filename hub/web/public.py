"""The door for everybody: certificate types, issuer keys, status lists, the ledger, the trust bundle, health.

Nothing here is about a person, nothing needs sign-in, and nothing is written.
"""

import hashlib
import re

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from hub.actor import PUBLIC
from hub.catalogue.search import search
from hub.certificates import status
from hub.clock import from_seconds
from hub.errors import Malformed, NotFound
from hub.formats import jws, tlogproof
from hub.formats.tiles import parse_path
from hub.ledger.head import log_key
from hub.ledger.prove import prove_consistency, prove_inclusion, proven_checkpoint
from hub.registry import departments, keys
from hub.registry.model import KeyPurpose
from hub.verification.trust import BUNDLE_TYP, trust_bundle
from hub.web.answer import dumps, json_answer
from hub.web.deps import hub_of, tiles_of
from hub.web.health import Health

router = APIRouter(tags=["public"])

STATUS_LIST_TYPE = "application/statuslist+jwt"
SOON = {"Cache-Control": "public, max-age=60"}
FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
NOT_KEPT = {"Cache-Control": "no-cache"}
OWN_PURPOSES = ("token", "receipt")
ITEMS_AT_ONCE = 100


@router.get("/v1/types")
async def all_types(request: Request) -> Response:
    """The certificate types of this hub: code, version, names, owner and issuers."""
    found = [
        {
            "code": kind.code,
            "version": kind.version,
            "vct": kind.vct,
            "display": kind.document["display"],
            "owner": kind.owner,
            "issuers": sorted(kind.issuers),
        }
        for kind in hub_of(request).types.values()
    ]
    return json_answer(dumps({"types": found}), headers=SOON)


@router.get("/v1/types/{code}")
async def type_document(code: str, request: Request) -> Response:
    """One certificate type as published: schema, labels, roles, issuers."""
    kind = hub_of(request).types.get(code)
    if kind is None:
        raise NotFound("type.unknown", "没有这个证照类型。", "There is no such certificate type.")
    return _tagged(request, dumps(kind.document), "application/json", SOON)


@router.get("/v1/items")
async def item_list(request: Request) -> Response:
    """Service items by what people call them (`?q=`) and by class, level, subject, department; 100 at a time.

    `complete: false` means that what the item needs is not catalogued: ask the counter, never "nothing to bring".
    """
    given = request.query_params
    found = search(
        hub_of(request).items,
        given.get("q", ""),
        item_class=given.get("class", ""),
        level=given.get("level", ""),
        subject=given.get("subject", ""),
        department=given.get("department", ""),
    ).items
    start = int(given["offset"]) if given.get("offset", "").isdecimal() and len(given["offset"]) < 6 else 0
    page = [one._asdict() for one in found[start : start + ITEMS_AT_ONCE]]
    told = {"items": page, "total": len(found), "offset": start, "has_more": start + len(page) < len(found)}
    return json_answer(dumps(told), headers=SOON)


@router.get("/v1/items/{code}")
async def item_document(code: str, request: Request) -> Response:
    """One service item as published: materials, what may be asked, caps."""
    item = hub_of(request).items.get(code)
    if item is None:
        raise NotFound("item.unknown", "没有这个事项。", "There is no such service item.")
    return _tagged(request, dumps(item.document), "application/json", SOON)


@router.get("/.well-known/jwt-vc-issuer/dept/{slug}")
async def issuer_keys(slug: str, request: Request) -> Response:
    """The certificate and status keys of one department, retired ones included (SD-JWT VC section 3.5).

    Old certificates must stay verifiable, so a key only leaves when it was declared compromised.
    """
    hub = hub_of(request)
    async with hub.view(PUBLIC) as view:
        await departments.get(view, slug)
        found = await keys.history(view, slug)
    jwks = [
        {**key.jwk, "kid": key.kid, "alg": key.alg, "use": "sig"}
        for key in found
        if key.purpose is not KeyPurpose.CLIENT and key.distrusted_from is None
    ]
    answer = {"issuer": f"{hub.settings.public_url}/dept/{slug}", "jwks": {"keys": jwks}}
    return json_answer(dumps(answer), headers=SOON)


@router.get("/.well-known/jwks.json")
async def own_keys(request: Request) -> Response:
    """The hub's own keys for tokens and receipts. No key here ever signed a certificate."""
    hub = hub_of(request)
    found = []
    for record in hub.keyring.inventory():
        if record.purpose in OWN_PURPOSES and record.retired_at is None:
            public = hub.keyring.signer(record.kid).public
            found.append({**public.jwk, "kid": public.kid, "alg": public.alg, "use": "sig"})
    return json_answer(dumps({"keys": found}), headers=SOON)


@router.get("/v1/status-lists/{list_id}")
async def status_list(list_id: str, request: Request) -> Response:
    """A status list as its department signed it, now or (`?time=` seconds) as it was in force then."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", list_id):
        raise NotFound("status.list_unknown", "没有这个状态列表。", "There is no such status list.")
    hub = hub_of(request)
    moment = request.query_params.get("time")
    if moment is not None and not re.fullmatch(r"[0-9]{1,10}", moment, re.ASCII):
        raise Malformed("status.time", "time 须为秒数。", "time is a number of seconds.")
    async with hub.view(PUBLIC) as view:
        token = await status.list_token(
            view,
            uri=f"{hub.settings.public_url}/v1/status-lists/{list_id}",
            at=from_seconds(int(moment)) if moment else None,
        )
    return _tagged(request, token.encode(), STATUS_LIST_TYPE, SOON)


@router.get("/checkpoint")
async def checkpoint(request: Request) -> Response:
    """The newest published checkpoint, a signed note (C2SP tlog-checkpoint)."""
    hub = hub_of(request)
    key = log_key(hub.settings.origin, hub.signer("ledger"))
    return PlainTextResponse(await proven_checkpoint(tiles_of(request), key), headers=NOT_KEPT)


@router.get("/tile/{rest:path}")
async def tile(rest: str, request: Request) -> Response:
    """A tile or an entry bundle (C2SP tlog-tiles). What is out never changes."""
    found = await tiles_of(request).read(parse_path(f"tile/{rest}"))
    return Response(found, headers=FOR_EVER, media_type="application/octet-stream")


@router.get("/v1/proofs/{leaf_hash}")
async def proof(leaf_hash: str, request: Request) -> Response:
    """The proof that a leaf (hex of its hash) is in the ledger (C2SP tlog-proof); 503 for the first second or two."""
    if not re.fullmatch(r"[0-9a-f]{64}", leaf_hash, re.ASCII):
        raise Malformed(
            "proof.leaf_hash", "叶子哈希须为 64 位小写十六进制。", "A leaf hash is 64 lower-case hex digits."
        )
    async with hub_of(request).view(PUBLIC) as view:
        found = await prove_inclusion(view, tiles_of(request), leaf_hash=bytes.fromhex(leaf_hash))
    return Response(str(found), headers=NOT_KEPT, media_type=tlogproof.MEDIA_TYPE)


@router.get("/v1/consistency/{old}/{new}")
async def consistency(old: int, new: int, request: Request) -> Response:
    """The proof that the ledger of size `new` extends that of size `old`."""
    async with hub_of(request).view(PUBLIC) as view:
        path = await prove_consistency(view, tiles_of(request), size1=old, size2=new)
    return json_answer(dumps({"old": old, "new": new, "path": [one.hex() for one in path]}), headers=SOON)


@router.get("/v1/trust-bundle")
async def bundle(request: Request) -> Response:
    """What `yimen verify` trusts offline: key history and issuing rights, each with its leaf and proof."""
    hub = hub_of(request)
    async with hub.view(PUBLIC) as view:
        made = await trust_bundle(
            view,
            tiles_of(request),
            issuer=hub.settings.public_url,
            log_key=log_key(hub.settings.origin, hub.signer("ledger")),
            signer=hub.signer("receipt"),
            types=hub.types,
        )
    return Response(made, headers=SOON, media_type=f"application/{BUNDLE_TYP}")


@router.get("/healthz")
async def healthz() -> Response:
    """The process lives."""
    return json_answer(dumps({"status": "ok"}))


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Whether this process takes requests: database, tables, keys, blob store, and not leaving.

    Unavailable `store.unavailable`, `hub.tables`, `hub.not_ready`, `hub.draining`, or what the blob store says.
    """
    health: Health = request.app.state.health
    found = await health.look()
    if found.stop is not None:
        raise found.stop
    degraded = {"degraded": found.degraded} if found.degraded else {}
    return json_answer(dumps({"status": "ready", **degraded}))


def _tagged(request: Request, body: bytes, media_type: str, headers: dict[str, str]) -> Response:
    tag = f'"{jws.b64u_encode(hashlib.sha256(body).digest()[:16])}"'
    every = {**headers, "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=every)
    return Response(body, headers=every, media_type=media_type)
