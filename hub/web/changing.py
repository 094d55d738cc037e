"""A step of many changes at work: new certificates looked at by the workers, everything done in one commit."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, StringConstraints

from hub.actor import Actor
from hub.certificates.changes import Change, change_all
from hub.certificates.examine import Terms
from hub.certificates.model import CertificateState, StatusEvent
from hub.certificates.register import Handed, terms_of
from hub.certificates.steps import SUPERSEDED
from hub.consent.withdraw import end_all_resting_on
from hub.errors import HubError
from hub.oversight.reliance import tell_all_who_relied
from hub.web.answer import issuance_of
from hub.web.body import Body
from hub.web.deps import Hub
from hub.web.registering import registered_all
from hub.web.registration import Short, SourceBody, Token

MOST = 500
MOST_LISTS = 64
MOST_BYTES = 8 * 1024 * 1024

Reason = Annotated[str, StringConstraints(pattern="^[a-z0-9_.-]{1,48}$")]


class StatusStep(Body):
    """A certificate is revoked, suspended or reinstated, and why."""

    certificate_id: Short
    event: Literal["revoke", "suspend", "reinstate"]
    reason: Reason


class Replacement(Body):
    """A certificate is superseded by the new one that comes with it."""

    certificate_id: Short
    event: Literal["supersede"]
    reason: Reason = SUPERSEDED
    sd_jwt: Annotated[str, StringConstraints(min_length=1, max_length=512 * 1024)]
    source: SourceBody


class ChangesBody(Body):
    """Up to 500 changes, and one new version of each status list that they concern."""

    status_lists: Annotated[list[Token], Field(max_length=MOST_LISTS)]
    changes: Annotated[list[StatusStep | Replacement], Field(min_length=1, max_length=MOST)]


async def change_many(hub: Hub, actor: Actor, body: ChangesBody) -> dict[str, Any]:
    """Do all the changes or none, with everything that each brings with it. Raises those of `change_all`."""
    with hub.batches.one():
        looked = await _looked(hub, actor, body)
        changes = [
            Change(
                one.certificate_id,
                StatusEvent(one.event),
                one.reason,
                looked.pop(0) if isinstance(one, Replacement) else None,
            )
            for one in body.changes
        ]
        async with hub.tx(actor, by_key=True) as tx:
            changed = await change_all(tx, lists=body.status_lists, changes=changes)
            moved = [one for one in changed if not one.replayed]
            # whoever was proved by it is not any more, and its next version may say something else
            ended = [one.certificate for one in moved if one.state is not CertificateState.CURRENT]
            await end_all_resting_on(tx, evidence=ended)
            await tell_all_who_relied(tx, certificates=[one.certificate for one in moved])
    new = iter(registered_all([one.new for one in changed if one.new is not None], issuance_of(hub)))
    return {
        "results": [
            {
                "certificate_id": one.certificate,
                "state": one.state,
                "replayed": one.replayed,
                "new": None if one.new is None else next(new),
            }
            for one in changed
        ]
    }


async def _looked(hub: Hub, actor: Actor, body: ChangesBody) -> list[Handed | HubError]:
    """What looking at the new certificates came to, in order; as lines, because that is what the workers take."""
    lines: Sequence[bytes] = [
        orjson.dumps({"sd_jwt": one.sd_jwt, "source": one.source.model_dump()})
        for one in body.changes
        if isinstance(one, Replacement)
    ]
    if not lines:
        return []
    async with hub.view(actor) as view:
        terms: Terms = await terms_of(view, base_url=hub.settings.public_url)
    return await hub.batches.examine(lines, terms, hub.types)
