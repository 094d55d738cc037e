"""A citizen's contacts: an address is only used once a code that was sent to it came back.

What keeps codes from being guessed, and other people's phones from being rung: 6 digits, 10 minutes, 5 tries a code, 5
codes a day to one address and for one person, whoever asks. Addresses are sealed under the person's key.
"""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.errors import Conflict, Gone, NotFound, TooMany, Unavailable
from hub.formats.contacts import mask_contact, normal_email, normal_phone
from hub.ids import bucket_of, public_token, uuid7
from hub.notices.derive import delivery
from hub.notices.model import (
    Channel,
    DeliveryState,
    NoticeKind,
    Purpose,
    contact_codes,
    contacts,
    deliveries,
)
from hub.notices.told import Told
from hub.registry.locks import one_at_a_time
from hub.store.tx import Tx, View

MOST = 4
CODE_LIVES = timedelta(minutes=10)
TRIES = 5
CODES_A_DAY = 5
DAY = timedelta(days=1)
CONTACT_BOUND = b"contact:"
"""With the row's id: what a sealed address is bound to."""


@dataclass(frozen=True, slots=True)
class Contact:
    """One address of a person, as they see it: masked, verified or not."""

    public_id: str
    channel: Channel
    shown: str
    verified_at: datetime | None
    created_at: datetime


async def of_person(view: View, *, subject_id: UUID) -> list[Contact]:
    """The person's contacts, oldest first. Raises Gone `subject.erased`."""
    found = []
    for row in await _rows(view, subject_id):
        shown = mask_contact((await open_address(view, row)).decode())
        found.append(Contact(row.public_id, Channel(row.channel), shown, row.verified_at, row.created_at))
    return found


async def add(tx: Tx, *, subject_id: UUID, address: str, offered: Collection[Channel]) -> str:
    """Keep an address and send a code to it; its public id. An address with an @ is e-mail, else a phone.

    `offered`: the channels that this hub can send by. Raises Malformed `contact.email`, `contact.phone`; Unavailable
    `contact.channel_off`; Conflict `contact.too_many`; TooMany `contact.codes`.
    """
    channel = Channel.EMAIL if "@" in address else Channel.SMS
    if channel not in offered:
        raise Unavailable(
            "contact.channel_off",
            "平台暂时不能用这种方式通知。",
            "This hub cannot send by that channel.",
            next_zh="请换另一种联系方式，或直接在“消息”里查看。",
            next_en="Use the other kind of contact, or read your messages here.",
        )
    normal = normal_email(address) if channel is Channel.EMAIL else normal_phone(address)
    await one_at_a_time(tx, b"contacts:" + subject_id.bytes)
    held = await _rows(tx, subject_id)
    for row in held:
        if (await open_address(tx, row)).decode() == normal:
            if row.verified_at is None:
                await _send_code(tx, row.id, subject_id, channel, normal)
            return str(row.public_id)
    if len(held) >= MOST:
        raise Conflict(
            "contact.too_many",
            f"最多 {MOST} 个联系方式，请先删除一个。",
            f"At most {MOST} contacts: remove one first.",
        )
    contact_id, public_id = uuid7(), public_token()
    await tx.insert(
        contacts,
        {
            "bucket": bucket_of(subject_id),
            "id": contact_id,
            "public_id": public_id,
            "subject_id": subject_id,
            "channel": channel,
            "sealed": await tx.vault.seal_for(tx, subject_id, normal.encode(), bound_to=_bound(contact_id)),
            "created_at": tx.now,
            "verified_at": None,
            "removed_at": None,
        },
    )
    await _send_code(tx, contact_id, subject_id, channel, normal)
    return public_id


async def try_code(tx: Tx, *, subject_id: UUID, public_id: str, code: str) -> bool:
    """Count one try, then compare; True makes the contact verified. The caller commits a wrong try as well.

    Gone `contact.code_over` when no code of this contact can be tried any more; NotFound `contact.unknown`.
    """
    row = await _row(tx, subject_id, public_id)
    newest = await tx.first(
        sa.select(contact_codes)
        .where(contact_codes.c.contact_id == row.id, contact_codes.c.used_at.is_(None))
        .order_by(contact_codes.c.id.desc())
        .limit(1)
    )
    counted = newest is not None and await tx.run(
        contact_codes.update()
        .where(
            contact_codes.c.id == newest.id,
            contact_codes.c.tries < TRIES,
            contact_codes.c.expires_at > tx.now,
            contact_codes.c.used_at.is_(None),
        )
        .values(tries=contact_codes.c.tries + 1)
    )
    if newest is None or not counted:
        raise Gone(
            "contact.code_over",
            "验证码已过期或试得太多。",
            "The code has expired, or was tried too often.",
            next_zh="请重新发送验证码。",
            next_en="Have a new code sent.",
        )
    if not secrets.compare_digest(newest.code_hash, _hash(tx, newest.id, code.strip())):
        return False
    await tx.run(contact_codes.update().where(contact_codes.c.id == newest.id).values(used_at=tx.now))
    await tx.run(contacts.update().where(_is(row)).values(verified_at=tx.now))
    return True


async def remove(tx: Tx, *, subject_id: UUID, public_id: str) -> None:
    """Forget an address at once; what was on its way to it is dropped. NotFound `contact.unknown`."""
    row = await _row(tx, subject_id, public_id)
    await tx.run(contacts.update().where(_is(row)).values(removed_at=tx.now, sealed=None))
    await tx.run(
        deliveries.update()
        .where(deliveries.c.contact_id == row.id, deliveries.c.state == DeliveryState.WAITING)
        .values(state=DeliveryState.DROPPED, ended_at=tx.now, fault="contact.removed", payload=None)
    )


def changed(subject_id: UUID, public_id: str, change: str, now: datetime) -> Told:
    """The notice that a contact was added or removed, which nobody can silence: it may not have been them."""
    return Told(
        subject_id=subject_id,
        kind=NoticeKind.CONTACT,
        source=f"{public_id}:{change}",
        at=now,
        ref=public_id,
        facts={"change": change},
    )


async def open_address(view: View, row: Any) -> bytes:
    """The address of a row of `contacts`. Raises Gone `subject.erased`."""
    return await view.vault.open_for(view, row.subject_id, row.sealed, bound_to=_bound(row.id))


async def forget_codes(tx: Tx) -> int:
    """Delete codes of more than a day ago: until then they count."""
    return await tx.run(contact_codes.delete().where(contact_codes.c.created_at < tx.now - DAY))


async def _send_code(tx: Tx, contact_id: UUID, subject_id: UUID, channel: Channel, address: str) -> None:
    """A fresh code on its way, unless too many were sent; an older one of this contact is good no longer."""
    blind, since = tx.vault.blind("contact", address), tx.now - DAY
    await one_at_a_time(tx, b"contact:" + blind)
    for mine in (contact_codes.c.subject_id == subject_id, contact_codes.c.blind == blind):
        sent = await tx.value(
            sa.select(sa.func.count()).select_from(contact_codes).where(mine, contact_codes.c.created_at > since)
        )
        if int(sent or 0) >= CODES_A_DAY:
            raise TooMany(
                "contact.codes",
                f"24 小时内最多发送 {CODES_A_DAY} 次验证码。",
                f"At most {CODES_A_DAY} codes are sent within 24 hours.",
                next_zh="请明天再试；消息照常出现在“消息”里。",
                next_en="Try again tomorrow; messages still appear here.",
            )
    stale = sa.and_(contact_codes.c.contact_id == contact_id, contact_codes.c.used_at.is_(None))
    await tx.run(contact_codes.update().where(stale).values(expires_at=tx.now))
    key, code = uuid7(), f"{secrets.randbelow(10**6):06d}"
    await tx.insert(
        contact_codes,
        {
            "id": key,
            "contact_id": contact_id,
            "subject_id": subject_id,
            "blind": blind,
            "code_hash": _hash(tx, key, code),
            "tries": 0,
            "created_at": tx.now,
            "expires_at": tx.now + CODE_LIVES,
            "used_at": None,
        },
    )
    row = delivery(
        tx.now, channel=channel, purpose=Purpose.CODE, subject_id=subject_id, contact_id=contact_id, due_at=tx.now,
        expires_at=tx.now + CODE_LIVES,
    )  # fmt: skip
    row["payload"] = await tx.vault.seal_for(tx, subject_id, code.encode(), bound_to=row["id"].bytes)
    await tx.insert(deliveries, row)


async def _rows(view: View, subject_id: UUID) -> Sequence[sa.Row[Any]]:
    return await view.all(
        sa.select(contacts)
        .where(
            contacts.c.bucket == bucket_of(subject_id),
            contacts.c.subject_id == subject_id,
            contacts.c.removed_at.is_(None),
        )
        .order_by(contacts.c.id)
    )


async def _row(view: View, subject_id: UUID, public_id: str) -> sa.Row[Any]:
    for row in await _rows(view, subject_id):
        if row.public_id == public_id:
            return row
    raise NotFound("contact.unknown", "没有这个联系方式。", "There is no such contact.")


def _is(row: Any) -> sa.ColumnElement[bool]:
    return sa.and_(contacts.c.bucket == row.bucket, contacts.c.id == row.id)


def _bound(contact_id: UUID) -> bytes:
    return CONTACT_BOUND + contact_id.bytes


def _hash(view: View, code_id: UUID, code: str) -> bytes:
    return view.vault.blind("contact-code", f"{code_id}:{code}")
