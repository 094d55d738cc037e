"""Consent in the same browser: a pushed request (RFC 9126), opened once, answered with a code (RFC 6749, 7636, 9207).

request_uri and code are random, live a minute each and are kept as hashes only. The consent request behind them is the
same as every other: what may be asked, and who decides, is no different here.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import sqlalchemy as sa

from hub.catalogue.items import ServiceItem
from hub.consent.approver import may_decide
from hub.consent.model import CaseFacts, Grant, RequestState, consent_requests, grants, pushed_requests
from hub.consent.request import start
from hub.consent.withdraw import from_row
from hub.errors import Gone, HubError, Malformed
from hub.formats import jws
from hub.formats.authorization import Detail
from hub.ids import public_token, uuid7
from hub.registry import redirects
from hub.store.replay import use_once
from hub.store.tx import Tx, View

URI_PREFIX = "urn:ietf:params:oauth:request_uri:"
URI_SECONDS = 60
CODE_SECONDS = 60
DECIDED_WITHIN = timedelta(minutes=15)

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


@dataclass(frozen=True, slots=True)
class Opened:
    """A pushed request in the browser that opened it: which consent request, what it asks, and of whom."""

    public_id: str
    applicant: UUID
    details: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What a code was worth: grants in the order of the details, and the row that remembers their token."""

    row: UUID
    grant_id: str
    grants: tuple[Grant, ...]


class CodeReused(Exception):
    """A code came a second time; what it gave the first time is revoked in this transaction."""


async def push(
    tx: Tx,
    *,
    details: Sequence[Detail],
    item: ServiceItem,
    case: CaseFacts,
    redirect_uri: str,
    state: str | None,
    code_challenge: str,
    jkt: str,
) -> str:
    """Keep a request of the calling department for the person who sits at this browser; returns the request_uri.

    1. `redirect_uri` is registered for the department. 2. The challenge is an S256 one. 3. Everything else is checked
    as in `start`. Raises Malformed `redirect.not_registered`, `oauth.invalid_request`, and what `start` raises.
    """
    if not await redirects.allowed(tx, department=tx.actor.department or "", uri=redirect_uri):  # 1
        raise Malformed(
            "redirect.not_registered",
            "回跳地址没有登记。",
            "This redirect_uri is not registered.",
            next_zh="请平台管理员用 yimen department redirect 登记。",
            next_en="Have it registered: yimen department redirect.",
        )
    if not _CHALLENGE.fullmatch(code_challenge):  # 2
        raise Malformed("oauth.invalid_request", "PKCE 须用 S256。", "code_challenge is not an S256 challenge.")
    started = await start(  # 3
        tx, details=details, item=item, case=case, approver=None, binding_message="", lives=DECIDED_WITHIN
    )
    request_id = await tx.value(
        sa.select(consent_requests.c.id).where(consent_requests.c.public_id == started.public_id)
    )
    reference = public_token(32)
    await tx.insert(
        pushed_requests,
        {
            "id": uuid7(),
            "request_id": request_id,
            "uri_hash": _hash(reference),
            "uri_expires_at": tx.now + timedelta(seconds=URI_SECONDS),
            "applicant": case.applicant,
            "redirect_uri": redirect_uri,
            "client_state": state,
            "code_challenge": code_challenge,
            "jkt": jkt,
            "created_at": tx.now,
        },
    )
    return URI_PREFIX + reference


async def open_pushed(tx: Tx, *, request_uri: str, department: str, browser: str) -> Opened:
    """Open a pushed request in this browser, once: only the browser that opened it may load the page again.

    Gone `oauth.invalid_request_uri` for an unknown, late, decided or foreign one, and in any other browser.
    """
    table, pending = pushed_requests.c, consent_requests.c
    mine = _hash(browser)
    key = _hash(request_uri.removeprefix(URI_PREFIX))
    undecided = sa.select(pending.id).where(
        pending.department == department, pending.state == RequestState.PENDING, pending.expires_at > tx.now
    )
    fresh = sa.and_(table.opened_by.is_(None), table.uri_expires_at > tx.now)
    opened = await tx.run(
        pushed_requests.update()
        .where(table.uri_hash == key, table.request_id.in_(undecided), sa.or_(fresh, table.opened_by == mine))
        .values(opened_by=mine)
    )
    if not opened or not request_uri.startswith(URI_PREFIX):
        raise Gone(
            "oauth.invalid_request_uri",
            "这个链接已经用过、过期，或不是在这个浏览器里打开的。没有任何资料被提供。",
            "This link was used, has expired, or belongs to another browser; nothing was shown to anybody.",
            next_zh="请回到部门的网站，从那里重新开始。",
            next_en="Go back to the office's website and start again from there.",
        )
    row: Any = await tx.first(
        sa.select(pending.public_id, pending.details, table.applicant).join(
            pushed_requests, table.request_id == pending.id
        ).where(table.uri_hash == key)
    )
    return Opened(row.public_id, row.applicant, tuple(row.details))


async def hand_over(tx: Tx, *, opened: Opened) -> bool:
    """Give an opened request to the citizen who signed in; False, and the request is over, for
    anybody who may not decide."""
    pending = consent_requests.c
    citizen = tx.actor.subject_id
    still = consent_requests.update().where(
        pending.public_id == opened.public_id, pending.state == RequestState.PENDING
    )
    details = [Detail.from_json(raw) for raw in opened.details]
    if citizen is not None and await may_decide(
        tx, person=citizen, applicant=opened.applicant, details=details
    ):
        await tx.run(still.where(pending.approver.is_(None)).values(approver=citizen))
        return True
    await tx.run(still.values(state=RequestState.REFUSED, decided_at=tx.now))
    return False


async def return_address(view: View, *, public_id: str) -> str | None:
    """Where the browser goes after the decision; None for a request that came another way."""
    row = await _pushed(view, public_id)
    return None if row is None else str(row.redirect_uri)


async def answer(tx: Tx, *, public_id: str, issuer: str) -> str | None:
    """The address that tells the department of the decision just made: a fresh code, or `access_denied`.

    `iss` stands in both (RFC 9207). None for a request that came another way.
    """
    row = await _pushed(tx, public_id)
    if row is None:
        return None
    said = {"iss": issuer}
    if row.client_state is not None:
        said["state"] = row.client_state
    if row.request_state == RequestState.APPROVED:
        code = public_token(32)
        made = await tx.run(
            pushed_requests.update()
            .where(pushed_requests.c.id == row.id, pushed_requests.c.code_hash.is_(None))
            .values(code_hash=_hash(code), code_expires_at=tx.now + timedelta(seconds=CODE_SECONDS))
        )
        if not made:
            return None
        said["code"] = code
    else:
        said["error"] = "access_denied"
    joint = "&" if "?" in row.redirect_uri else "?"
    return f"{row.redirect_uri}{joint}{urlencode(said)}"


async def redeem(tx: Tx, *, code: str, redirect_uri: str, code_verifier: str, jkt: str) -> Redeemed:
    """What stands behind a code, for the department that may have it, once.

    1. The code is known; when it was used before, what it gave is revoked (CodeReused). 2. It is this department's,
    in time, for the same redirect_uri, verifier and DPoP key. 3. One guarded update spends it. Raises Malformed
    `oauth.invalid_grant`, alike for every failure of 1 and 2.
    """
    table = pushed_requests.c
    row = await tx.first(
        sa.select(pushed_requests, consent_requests.c.department, consent_requests.c.public_id)
        .join(consent_requests, table.request_id == consent_requests.c.id)
        .where(table.code_hash == _hash(code))
        .with_for_update(of=pushed_requests)
    )
    if row is None:  # 1
        raise _no_grant()
    if row.code_used_at is not None:
        await _revoke(tx, row)
        raise CodeReused
    right = (
        row.department == tx.actor.department
        and row.code_expires_at > tx.now
        and row.redirect_uri == redirect_uri
        and row.jkt == jkt
        and bool(_VERIFIER.fullmatch(code_verifier))
        and hmac.compare_digest(_s256(code_verifier), row.code_challenge)
    )
    if not right:  # 2
        raise _no_grant()
    spent = await tx.run(  # 3
        pushed_requests.update()
        .where(table.id == row.id, table.code_used_at.is_(None))
        .values(code_used_at=tx.now)
    )
    if not spent:
        raise _no_grant()
    found = await tx.all(
        sa.select(grants).where(grants.c.request_id == row.request_id).order_by(grants.c.position)
    )
    return Redeemed(row.id, row.public_id, tuple(from_row(grant) for grant in found))


async def remember_token(tx: Tx, redeemed: Redeemed, *, jti: str, lives: int) -> None:
    """Note the token that a code gave, so that it dies when the code comes again."""
    ends = tx.now + timedelta(seconds=lives)
    await tx.run(
        pushed_requests.update()
        .where(pushed_requests.c.id == redeemed.row)
        .values(token_jti=jti, token_expires_at=ends)
    )


async def _revoke(tx: Tx, row: Any) -> None:
    if row.token_jti is not None:
        expires = row.token_expires_at + timedelta(days=1)  # as for every revoked token (hub/web/caller.py)
        await use_once(tx, kind="revoked", key=row.token_jti, expires_at=expires)


async def _pushed(view: View, public_id: str) -> Any:
    return await view.first(
        sa.select(pushed_requests, consent_requests.c.state.label("request_state"))
        .join(consent_requests, pushed_requests.c.request_id == consent_requests.c.id)
        .where(consent_requests.c.public_id == public_id)
    )


async def forget_old(tx: Tx) -> int:
    """Delete pushed requests of more than a day ago: neither their reference nor their code is good; how many."""
    return await tx.run(pushed_requests.delete().where(pushed_requests.c.created_at < tx.now - timedelta(days=1)))


def _s256(verifier: str) -> str:
    return jws.b64u_encode(hashlib.sha256(verifier.encode("ascii")).digest())


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _no_grant() -> HubError:
    return Malformed(
        "oauth.invalid_grant",
        "授权码无效、已过期，或与请求不符。",
        "The code is unknown, used, expired, or does not fit this request.",
        next_zh="请重新发起授权请求。",
        next_en="Start a new authorization request.",
    )
