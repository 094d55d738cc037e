"""The second process of tests/verification/test_redeem_from_two_processes.py: redeems one grant many times at once."""

import asyncio

from parts import FixedClock
from world import AUDIENCE, ITEMS, TYPES

from hub.actor import Actor, ActorKind
from hub.cases.open import by_public_id as case_by_public_id
from hub.clock import seconds
from hub.consent.token import sign_token
from hub.consent.withdraw import by_public_id
from hub.formats.authorization import check_access_token
from hub.store.seal import Vault
from hub.store.tx import Database
from hub.verification.model import Ask
from hub.verification.verify import Redemption, verify
from keys.signer import generate


async def redeem(url: str, grant: str, case: str, kid: str, times: str) -> None:
    """Print the reason of each attempt ("accepted" for the winner), separated by spaces."""
    clock = FixedClock()
    db = Database(url, clock=clock, vault=Vault({"k1": b"k" * 32}, "k1", {1: b"p" * 32}, 1))
    actor = Actor(ActorKind.DEPARTMENT, department="dg-edu", jkt=kid)
    async with db.view(actor) as view:
        found, facts = await by_public_id(view, grant), (await case_by_public_id(view, case)).facts()
    key = generate()
    text, _ = sign_token(key, issuer=AUDIENCE, grants=[found], jkt=kid, pairwise_key=b"x" * 32, now=clock())
    token = check_access_token(text, key=key.public, issuer=AUDIENCE, audience=AUDIENCE, now=seconds(clock()))

    async def once() -> str:
        async with db.tx(actor) as tx:
            redemption = Redemption(token, (Ask("degree"),), facts)
            return (await verify(tx, [redemption], items=ITEMS, types=TYPES))[0][0].reason

    print(*await asyncio.gather(*(once() for _ in range(int(times)))))
    await db.close()
