"""Status lists: take in department-signed lists, change one certificate's status, say what a list says.

The hub stores and serves lists; it can sign none (DESIGN section 3, rule 4; Token Status List draft).
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from hub.certificates import steps
from hub.certificates.indices import LIST_SIZE, ListHead, acting_department, not_owner
from hub.certificates.model import (
    Certificate,
    CertificateState,
    StatusEvent,
    status_list_tokens,
    status_lists,
)
from hub.certificates.steps import Move
from hub.clock import from_seconds, seconds
from hub.errors import Conflict, NotFound, Unprocessable
from hub.formats import jws, statuslist
from hub.formats.statuslist import StatusList, StatusToken
from hub.ledger.append import append
from hub.registry.keys import key_at
from hub.registry.model import KeyPurpose
from hub.store.rows import rows_of
from hub.store.tx import Tx, View

HEAD = tuple(getattr(status_lists.c, name).label(f"list_{name}") for name in ("uri", "seq", "sha256", "iat", "exp"))
"""What `standing_in` needs of a list, as columns of a statement that reads something else too."""


class Standing(StrEnum):
    """What the newest department-signed list says of an index; STALE and MISSING say nothing at all."""

    VALID = "valid"
    INVALID = "invalid"
    SUSPENDED = "suspended"
    STALE = "stale"
    MISSING = "missing"


async def push(tx: Tx, *, token: str) -> ListHead:
    """Take in a re-signed list whose entries did not change (first version: all valid).

    A change of entries is refused here: it comes with its event (`change`, or a supersession), so that nothing
    is revoked by accident. Raises Conflict `status.list_conflict` with the current seq and hash.
    """
    return await accept_list(tx, token=token, changes={})


async def change(
    tx: Tx, *, certificate: Certificate, event: StatusEvent, reason: str, token: str
) -> CertificateState:
    """Revoke, suspend or reinstate one certificate, with the list that says so, in one commit."""
    if certificate.department != tx.actor.department:
        raise not_owner()
    after = steps.after(certificate, event)
    uri, idx = steps.entry(certificate)
    await accept_list(tx, token=token, changes={idx: steps.VALUES[event]}, uri=uri)
    await steps.take(tx, [Move(certificate, after, reason)])
    return after


async def hold(tx: Tx, tokens: Sequence[str]) -> tuple[dict[str, str], bool]:
    """The tokens by the list of which each is a version, and whether the hub has stored every one of these very tokens.

    From here to the end of `tx` nobody else changes these lists: what is asked of their certificates afterwards holds.
    They are locked in one order, so that no two callers wait for each other. Raises Unprocessable `changes.list_twice`.
    """
    said = {str(payload.get("sub", "")): (payload, token) for token in tokens for payload in [jws.split(token).payload]}
    if len(said) < len(tokens):
        raise Unprocessable(
            "changes.list_twice",
            "同一状态列表只能给出一个新版本。",
            "There can be only one new version of each status list in a request.",
            next_zh="请把同一列表的全部变更合并，签成一个新版本。",
            next_en="Sign all changes of one list into one new version.",
        )
    lists = status_lists.c
    owned = lists.department == acting_department(tx)
    await tx.all(
        sa.select(lists.uri).where(lists.uri.in_(sorted(said)), owned).order_by(lists.uri).with_for_update()
    )
    table = status_list_tokens.c
    query = sa.select(table.uri, table.sha256)
    versions = [(uri, payload.get("seq")) for uri, (payload, _) in said.items()]
    numbered = {place for place in versions if type(place[1]) is int and 0 < place[1] < 1 << 31}
    held = {row.uri: row.sha256 for row in await rows_of(tx, query, sa.tuple_(table.uri, table.seq), numbered)}
    stored = bool(said) and all(held.get(uri) == _digest(token) for uri, (_, token) in said.items())
    return {uri: token for uri, (_, token) in said.items()}, stored


async def accept_list(
    tx: Tx, *, token: str, changes: Mapping[int, int], uri: str | None = None
) -> ListHead:
    """Check and store the next version of a list; only the entries in `changes` may differ.

    1. the list is this department's; 2. signed by its status key in force now; 3. seq follows and `previous` is
    the hash of what we hold; 4. iat is newer; 5. the same bits and size; 6. entries differ exactly as announced,
    and none leaves INVALID.
    """
    department = acting_department(tx)
    unverified = jws.split(token)
    header, claimed = unverified.header, str(unverified.payload.get("sub", ""))
    row = await tx.first(
        sa.select(status_lists)
        .where(status_lists.c.uri == claimed, status_lists.c.department == department)
        .with_for_update()
    )
    if row is None or (uri is not None and uri != claimed):
        raise _unknown_list()
    key = await key_at(
        tx, department=department, kid=str(header.get("kid", "")), purpose=KeyPurpose.STATUS, moment=tx.now
    )
    new = statuslist.verify_token(
        token, key=key, expected_sub=claimed, now=seconds(tx.now), max_size=LIST_SIZE
    )
    held = row.sha256.hex() if row.sha256 else None
    if new.seq != row.seq + 1 or new.previous != held or (row.iat is not None and new.iat < seconds(row.iat)):
        raise Conflict(
            "status.list_conflict",
            "状态列表不是当前版本的下一版。",
            "This is not the next version of the status list.",
            next_zh="请以当前版本为基础重新签名后再推送。",
            next_en="Sign again on top of the current version and push once more.",
            uri=claimed,
            seq=row.seq,
            sha256=held,
        )
    await _compare(tx, row, new, changes)
    return await _store(tx, token, new, department, str(header["kid"]))


async def _compare(
    tx: Tx, row: sa.Row[tuple[object, ...]], new: StatusToken, changes: Mapping[int, int]
) -> None:
    if new.lst.size != row.size or new.lst.bits != row.bits:
        raise Unprocessable(
            "status.list_resized",
            "状态列表的长度和位宽一经签发不能改变。",
            "The size and width of a status list can never change.",
        )
    old = StatusList(bits=row.bits, size=row.size)
    if row.seq:
        old = _decoded.get(row.sha256) or decoded(await _token(tx, row.uri, row.seq))
    if any(old.get(i) == statuslist.INVALID and value != statuslist.INVALID for i, value in changes.items()):
        raise Conflict("status.revocation_is_final", "已撤销的状态不能恢复。", "A revocation is final.")
    expected = old.with_changes(changes)
    if expected.packed() != new.lst.packed():
        off = expected.differing(new.lst)
        missing = sum(index in changes for index in off)
        raise Unprocessable(
            "status.unannounced_change",
            f"新状态列表与宣布的变更不一致：多出 {len(off) - missing} 处，缺少 {missing} 处。",
            f"The new status list does not differ from the current one as announced: {len(off) - missing} entries more,"
            f" {missing} fewer.",
            next_zh="请使用 POST /v1/certificates/{id}/status 或 /v1/certificates/changes，并只改变所列证照的状态位。",
            next_en="Use POST /v1/certificates/{id}/status or /v1/certificates/changes, and change exactly the indices"
            " of the certificates named there.",
            uri=new.sub,
            more=len(off) - missing,
            fewer=missing,
        )


async def _store(tx: Tx, token: str, new: StatusToken, department: str, kid: str) -> ListHead:
    digest = _digest(token)
    leaf = await append(
        tx,
        kind="status_list",
        event={
            "v": 1,
            "event": "status_list",
            "department": department,
            "uri": new.sub,
            "seq": new.seq,
            "sha256": digest.hex(),
            "at": seconds(tx.now),
        },
    )
    await tx.insert(
        status_list_tokens,
        {
            "uri": new.sub,
            "seq": new.seq,
            "token": token,
            "sha256": digest,
            "iat": from_seconds(new.iat),
            "exp": from_seconds(new.exp),
            "kid": kid,
            "leaf_hash": leaf.leaf_hash,
            "stored_at": tx.now,
        },
    )
    await tx.run(
        status_lists.update()
        .where(status_lists.c.uri == new.sub)
        .values(seq=new.seq, sha256=digest, iat=from_seconds(new.iat), exp=from_seconds(new.exp))
    )
    _keep_decoded(digest, new.lst)
    return ListHead(new.sub, new.lst.size, new.lst.bits, new.seq, digest.hex())


async def standing(view: View, *, uri: str, idx: int) -> tuple[Standing, datetime | None]:
    """What the newest list says of an index now, and when that list was signed. Never guesses."""
    head = await view.first(sa.select(*HEAD).where(status_lists.c.uri == uri))
    return await standing_in(view, head, idx)


async def standing_in(view: View, head: Any | None, idx: int) -> tuple[Standing, datetime | None]:
    """The same of a list whose `HEAD` was read just now; its bits are read only when the list is a new one."""
    if head is None or not head.list_seq:
        return Standing.MISSING, None
    if head.list_exp <= view.now:
        return Standing.STALE, head.list_iat
    return await _entry(view, head, idx), head.list_iat


async def _entry(view: View, head: Any, idx: int) -> Standing:
    bits = _decoded.get(head.list_sha256)
    if bits is None:
        bits = decoded(await _token(view, head.list_uri, head.list_seq))
    try:
        value = bits.get(idx)
    except IndexError:
        return Standing.MISSING
    words = {statuslist.VALID: Standing.VALID, statuslist.SUSPENDED: Standing.SUSPENDED}
    return words.get(value, Standing.INVALID)


async def list_token(view: View, *, uri: str, at: datetime | None = None) -> str:
    """The signed list as it is now, or as it was in force at `at` (historical query of the draft)."""
    query = sa.select(status_list_tokens.c.token).where(status_list_tokens.c.uri == uri)
    if at is not None:
        query = query.where(status_list_tokens.c.iat <= at, status_list_tokens.c.exp >= at)
    token = await view.value(query.order_by(status_list_tokens.c.seq.desc()).limit(1))
    if token is None:
        raise _unknown_list()
    return str(token)


async def lists_of(view: View, *, department: str) -> list[ListHead]:
    """All lists of one department, newest version each."""
    rows = await view.all(
        sa.select(status_lists)
        .where(status_lists.c.department == department)
        .order_by(status_lists.c.created_at)
    )
    return [ListHead(r.uri, r.size, r.bits, r.seq, r.sha256.hex() if r.sha256 else None) for r in rows]


_decoded: OrderedDict[bytes, StatusList] = OrderedDict()
_DECODED_AT_MOST = 256


def decoded(token: str) -> StatusList:
    """The bits of a list that was verified when it was stored; kept by its hash, so they can never be out of date."""
    digest = _digest(token)
    found = _decoded.get(digest)
    if found is None:
        found = statuslist.read_bits(token, max_size=LIST_SIZE)
        _keep_decoded(digest, found)
    return found


def _keep_decoded(digest: bytes, bits: StatusList) -> None:
    """A list just verified is the base of the next: kept by its hash, it is right even if nothing was stored."""
    _decoded[digest] = bits
    if len(_decoded) > _DECODED_AT_MOST:
        _decoded.popitem(last=False)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


async def _token(view: View, uri: str, seq: int) -> str:
    return str(
        await view.value(
            sa.select(status_list_tokens.c.token).where(
                status_list_tokens.c.uri == uri, status_list_tokens.c.seq == seq
            )
        )
    )


def _unknown_list() -> NotFound:
    return NotFound("status.list_unknown", "没有这个状态列表。", "There is no such status list.")
