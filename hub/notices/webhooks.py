"""Calls of departments' endpoints: signed by the hub's own webhook key, and stopped when nobody answers for long.

The key is Ed25519, is used for nothing else, and is published. While one key follows another both sign.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from hub.clock import seconds
from hub.formats import webhook
from hub.notices.egress import Egress
from hub.notices.message import Attempt
from hub.notices.model import DeliveryState, EndpointState, deliveries, webhook_endpoints
from hub.store.tx import Tx, View
from keys.algorithms import EDDSA
from keys.errors import KeyFault
from keys.files import Keyring
from keys.signer import Signer

PURPOSE = "webhook"
BOTH_SIGN = timedelta(days=2)
"""So long after a new key took over the one before signs too."""
DISABLED_AFTER = timedelta(days=3)
"""So long without one success, and the hub stops calling."""

log = structlog.get_logger()


class Webhooks:
    """Sends events. `signers` gives the keys that sign now, the newest first."""

    def __init__(self, *, signers: Callable[[datetime], Sequence[Signer]], egress: Egress) -> None:
        self._signers = signers
        self._egress = egress

    async def find(self, view: View, row: Any) -> Any | None:
        """The endpoint of a delivery, unless it was disabled or removed."""
        table = webhook_endpoints.c
        return await view.first(
            sa.select(webhook_endpoints).where(table.id == row.endpoint_id, table.state == EndpointState.ACTIVE)
        )

    async def send(self, endpoint: Any, row: Any, now: datetime) -> Attempt:
        """One attempt; the time that is signed is that of the attempt."""
        headers = webhook.sign(
            self._signers(now), message_id=row.public_id, timestamp=seconds(now), payload=row.payload
        )
        attempt = await self._egress.post(endpoint.url, row.payload, headers)
        log.info(
            "webhook.attempt", department=endpoint.department, endpoint=endpoint.public_id, message=row.public_id,
            attempt=row.attempts, fault=attempt.fault,
        )  # fmt: skip
        return attempt

    async def heard(self, tx: Tx, row: Any, attempt: Attempt) -> bool:
        """Note success or failure; after long failure, or when told that it is gone, the endpoint is disabled: True."""
        table = webhook_endpoints.c
        mine = sa.and_(table.id == row.endpoint_id, table.state == EndpointState.ACTIVE)
        if attempt.sent:
            await tx.run(webhook_endpoints.update().where(mine).values(failing_since=None, fault=None))
            return False
        since = sa.func.coalesce(table.failing_since, sa.bindparam(None, tx.now, type_=table.failing_since.type))
        await tx.run(webhook_endpoints.update().where(mine).values(failing_since=since, fault=attempt.fault))
        over = sa.true() if attempt.fault == "webhook.gone" else table.failing_since <= tx.now - DISABLED_AFTER
        ended = await tx.first(sa.select(webhook_endpoints).where(mine, over))
        if ended is None:
            return False
        await tx.run(
            webhook_endpoints.update().where(mine).values(state=EndpointState.DISABLED, disabled_at=tx.now)
        )
        await tx.run(
            deliveries.update()
            .where(
                deliveries.c.endpoint_id == row.endpoint_id,
                deliveries.c.id != row.id,
                deliveries.c.state == DeliveryState.WAITING,
            )
            .values(state=DeliveryState.DEAD, fault="webhook.disabled", ended_at=tx.now)
        )
        log.warning(
            "webhook.disabled", department=ended.department, endpoint=ended.public_id, fault=attempt.fault
        )
        return True


def signers(keyring: Keyring, now: datetime) -> list[Signer]:
    """The keys that sign at `now`: the active one, made when there is none yet, and the one it followed lately."""
    try:
        active = keyring.active(PURPOSE, now)
    except KeyFault as fault:
        if fault.code != "keyring.no_active":
            raise
        active = keyring.create(PURPOSE, alg=EDDSA, not_before=now)
    followed = [
        record.kid
        for record in keyring.inventory()
        if record.purpose == PURPOSE and record.retired_at is None and record.kid != active.kid
        if record.not_after is not None and now - BOTH_SIGN < record.not_after <= now
    ]
    return [active, *(keyring.signer(kid) for kid in followed)]


def published_keys(keyring: Keyring) -> list[dict[str, Any]]:
    """Every key that signs, signed lately, or will sign: as the standard writes it, with its time."""
    found = []
    for record in keyring.inventory():
        if record.purpose == PURPOSE and record.retired_at is None:
            public = keyring.signer(record.kid).public
            found.append(
                {
                    "kid": record.kid,
                    "key": webhook.write_key(public),
                    "not_before": seconds(record.not_before),
                    "not_after": None if record.not_after is None else seconds(record.not_after),
                }
            )
    return found
