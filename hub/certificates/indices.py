"""Status indices: reserved at random for one department before it signs, used once, never given twice.

Indices are unpredictable and lists large, so that neither tells how many certificates there are, or whose
(Token Status List draft, HAIP; DESIGN section 3, rule 4).
"""

import secrets
from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from hub.certificates.model import status_indices, status_lists
from hub.errors import Conflict, Forbidden, HubError, Unprocessable
from hub.ids import public_token
from hub.store.rows import Taken, among, rows_of
from hub.store.tx import Tx, View

BITS = 2
LIST_SIZE = 1 << 17
"""Indices a list: 32 KiB of bits, large enough that no list is specific to one citizen or school."""
OPEN_UNTIL = 0.75
MAX_RESERVE = 1000

Place = tuple[str, int]
"""Where a certificate's status stands: list and index."""


@dataclass(frozen=True, slots=True)
class ListHead:
    """The newest accepted version of one list; seq 0 means that nobody signed it yet."""

    uri: str
    size: int
    bits: int
    seq: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Reservation:
    """Random (uri, index) pairs for this department, and the lists that they belong to."""

    reserved: tuple[tuple[str, int], ...]
    lists: tuple[ListHead, ...]


async def reserve(tx: Tx, *, count: int, base_url: str) -> Reservation:
    """Set aside `count` (1 to 1,000) unpredictable indices for the calling department.

    Unused ones are burned: an index is never given twice. A fresh list is opened when the open one is 75 % taken.
    """
    department = acting_department(tx)
    if not 1 <= count <= MAX_RESERVE:
        raise Unprocessable(
            "status.count_out_of_range",
            f"一次可预留 1 到 {MAX_RESERVE} 个状态位。",
            f"Between 1 and {MAX_RESERVE} status indices can be reserved at once.",
            next_zh="请分多次预留。",
            next_en="Reserve in several calls.",
        )
    uri = await _open_list(tx, department, count, base_url)
    taken = set(await tx.conn.scalars(sa.select(status_indices.c.idx).where(status_indices.c.uri == uri)))
    drawn: set[int] = set()
    while len(drawn) < count:
        index = secrets.randbelow(LIST_SIZE)
        if index not in taken:
            drawn.add(index)
    picked = list(drawn)
    await tx.insert(
        status_indices,
        [{"uri": uri, "idx": index, "reserved_at": tx.now, "used_at": None} for index in picked],
    )
    return Reservation(tuple((uri, index) for index in picked), (await list_head(tx, uri),))


async def _open_list(tx: Tx, department: str, count: int, base_url: str) -> str:
    for uri in await tx.conn.scalars(
        sa.select(status_lists.c.uri).where(status_lists.c.department == department, status_lists.c.open)
    ):
        # The guarded update also locks the row, so two callers never draw from the same free set at once.
        won = await tx.run(
            status_lists.update()
            .where(status_lists.c.uri == uri, status_lists.c.taken + count <= int(LIST_SIZE * OPEN_UNTIL))
            .values(taken=status_lists.c.taken + count)
        )
        if won:
            return str(uri)
        await tx.run(status_lists.update().where(status_lists.c.uri == uri).values(open=False))
    uri = f"{base_url}/v1/status-lists/{public_token()}"
    await tx.insert(
        status_lists,
        {
            "uri": uri,
            "department": department,
            "bits": BITS,
            "size": LIST_SIZE,
            "open": True,
            "taken": count,
            "seq": 0,
            "created_at": tx.now,
        },
    )
    return uri


async def refusals(view: View, places: Collection[Place]) -> dict[Place, HubError]:
    """Which of these indices cannot be used now, and why: each must be this department's, unused, its list signed."""
    uris = {uri for uri, _ in places}
    query = sa.select(status_lists.c.uri, status_lists.c.seq).where(
        status_lists.c.department == view.actor.department
    )
    signed = {row.uri: row.seq for row in await rows_of(view, query, status_lists.c.uri, uris)}
    free: set[Place] = set()
    columns = sa.select(status_indices.c.idx).where(status_indices.c.used_at.is_(None))
    for uri in uris:
        found = columns.where(status_indices.c.uri == uri)
        wanted = [idx for place, idx in places if place == uri]
        free.update((uri, row.idx) for row in await rows_of(view, found, status_indices.c.idx, wanted))
    refused: dict[Place, HubError] = {}
    for place in places:
        if place[0] not in signed:
            refused[place] = _not_reserved()
        elif signed[place[0]] == 0:
            refused[place] = _unsigned()
        elif place not in free:
            refused[place] = _used()
    return refused


async def take(tx: Tx, places: Collection[Place]) -> None:
    """Use these indices, each for one certificate. Raises Taken when somebody was faster with one of them."""
    for uri in sorted({uri for uri, _ in places}):
        wanted = sorted(idx for place, idx in places if place == uri)
        won = 0
        for condition in among(tx.dialect, status_indices.c.idx, wanted):
            won += await tx.run(
                status_indices.update()
                .where(status_indices.c.uri == uri, condition, status_indices.c.used_at.is_(None))
                .values(used_at=tx.now)
            )
        if won != len(wanted):
            raise Taken(uri)


def _not_reserved() -> Unprocessable:
    return Unprocessable(
        "status.index_not_reserved",
        "状态位不是由本部门预留的。",
        "The status index was not reserved by this department.",
        next_zh="请先调用 POST /v1/status-lists/reserve，再用得到的状态位签发。",
        next_en="Call POST /v1/status-lists/reserve first and sign with an index from its answer.",
    )


def _unsigned() -> Conflict:
    return Conflict(
        "status.list_unsigned",
        "该状态列表还没有部门签名的首版。",
        "This status list has no department-signed first version yet.",
        next_zh="请先签发并推送第 1 版状态列表（全部有效）。",
        next_en="Sign and push version 1 of the list (all valid) first.",
    )


def _used() -> Conflict:
    return Conflict(
        "status.index_taken",
        "状态位未预留或已被使用，不能重复使用。",
        "The status index is not reserved, or already used; an index is never used twice.",
        next_zh="请重新预留状态位后再签发。",
        next_en="Reserve a new index and sign again.",
    )


async def list_head(view: View, uri: str) -> ListHead:
    """The newest version of one list."""
    row = (await view.all(sa.select(status_lists).where(status_lists.c.uri == uri)))[0]
    return ListHead(row.uri, row.size, row.bits, row.seq, row.sha256.hex() if row.sha256 else None)


def acting_department(tx: Tx) -> str:
    """The slug of the calling department; Forbidden for anybody else."""
    if tx.actor.department is None:
        raise not_owner()
    return tx.actor.department


def not_owner() -> Forbidden:
    """The refusal for somebody else's certificate."""
    return Forbidden(
        "certificate.not_owner",
        "只有签发部门可以改变这份证照。",
        "Only the department that issued this certificate may change it.",
    )
