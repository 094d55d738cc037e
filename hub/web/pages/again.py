"""A dangerous act interrupted: the form is kept sealed until its person has proved anew who they are.

Kept for ten minutes under the hub's key, bound to the session that sent it; nobody else can open it again.
"""

import json
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from hub.errors import Gone, Unauthenticated
from hub.ids import public_token
from hub.registry.model import interrupted_forms
from hub.store.seal import seal, unseal_hub
from hub.store.tx import Tx, View

LIVES = timedelta(minutes=10)
PURPOSE = "interrupted form"
_OURS = frozenset({"csrf"})
"""Never kept: the form is sent again under the form token of then."""


class ProveAgain(Unauthenticated):
    """The act asks for a fresh proof; `where` is the page that asks for it."""

    def __init__(self, where: str) -> None:
        super().__init__(
            "session.prove_again",
            "这件事须先确认是您本人。",
            "This act asks you to prove first that it is you.",
        )
        self.where = where


@dataclass(frozen=True, slots=True)
class Interrupted:
    """What was being done: the address that it was sent to, and the fields of its form."""

    path: str
    fields: tuple[tuple[str, str], ...]


async def interrupt(tx: Tx, *, session: str, path: str, texts: dict[str, list[str]]) -> str:
    """Keep a form for the session (public id); returns the ticket that leads back to it."""
    fields = [(name, value) for name, values in texts.items() for value in values if name not in _OURS]
    ticket = public_token()
    await tx.insert(
        interrupted_forms,
        {
            "ticket": ticket,
            "session": session,
            "path": path,
            "sealed": seal(tx.vault.hub_key(PURPOSE), json.dumps(fields).encode(), bound_to=_bound(session, ticket)),
            "expires_at": tx.now + LIVES,
        },
    )
    return ticket


async def interrupted(view: View, *, session: str, ticket: str) -> Interrupted:
    """The form of a ticket, for the session that sent it. Gone `form.expired`, alike for unknown, late and others'."""
    table = interrupted_forms.c
    row = await view.first(
        sa.select(interrupted_forms).where(
            table.ticket == ticket, table.session == session, table.expires_at > view.now
        )
    )
    if row is None:
        raise Gone(
            "form.expired",
            "刚才填写的内容已经过期，没有办理。",
            "What you were about to send has expired; nothing was done.",
            next_zh="请回到原来的页面重新填写。",
            next_en="Go back to the page and fill it in again.",
        )
    fields = json.loads(unseal_hub(view.vault, PURPOSE, row.sealed, bound_to=_bound(session, ticket)))
    return Interrupted(row.path, tuple((name, value) for name, value in fields))


async def forget_expired(tx: Tx) -> int:
    """Delete forms whose ten minutes are over; how many."""
    return await tx.run(interrupted_forms.delete().where(interrupted_forms.c.expires_at < tx.now))


def _bound(session: str, ticket: str) -> bytes:
    return f"{session}\x00{ticket}".encode()
