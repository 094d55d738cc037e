"""A one-use grant on PostgreSQL, 64 redemptions at once from two processes: one wins, the others are recorded."""

import asyncio
import sys
from pathlib import Path

import sqlalchemy as sa
from parts import FixedClock
from world import World

from hub.access import history
from hub.access.model import Outcome, accesses
from hub.consent.model import Grant
from hub.consent.withdraw import by_public_id

EACH = 32

CHILD = """
import asyncio, sys
sys.path[:0] = [{root!r}, {tests!r}]
from redeemer import redeem
asyncio.run(redeem(*sys.argv[1:]))
"""


async def test_64_at_once_from_two_processes(postgresql_database: str, clock: FixedClock) -> None:
    world, attempts = World(postgresql_database, clock), 2 * EACH
    try:
        wang = world.person("王小莞")
        await world.certificate("degree", (wang, "owner"))
        case, grants = await world.grant(wang, ["degree"])
        department = await world.department("dg-edu")
        outcomes = await asyncio.gather(
            *(_process(postgresql_database, grants[0], case.public_id, department.client.kid) for _ in range(2))
        )
        won = [word for group in outcomes for word in group]
        assert len(won) == attempts
        assert won.count(str(Outcome.ACCEPTED)) == 1
        assert won.count("grant.spent") == attempts - 1
        async with world.view() as view:
            rows = await history.of_subject(view, subject_id=await world.subject(wang), limit=100)
            recorded = await view.value(sa.select(sa.func.count()).select_from(accesses))
            grant = await by_public_id(view, grants[0].public_id)
        assert recorded == attempts
        assert grant.uses == 1
        assert not any(row.gap for row in rows)
    finally:
        await world.close()


async def _process(url: str, grant: Grant, case: str, kid: str) -> list[str]:
    here = Path(__file__).resolve()
    code = CHILD.format(root=str(here.parents[2]), tests=str(here.parents[1]))
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        url,
        grant.public_id,
        case,
        kid,
        str(EACH),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(child.communicate(), 120)
    assert child.returncode == 0
    return out.decode().split()
