"""Readiness says no while a part is not right, says which, and says yes again by itself."""

import shutil

import pytest
import sqlalchemy as sa
from web.api.apiworld import ApiWorld

from hub.web.health import Health


async def ready(world: ApiWorld) -> tuple[int, str]:
    answer = await world.http.get("/readyz")
    return answer.status_code, answer.json().get("code", "")


@pytest.fixture
async def published(world: ApiWorld) -> ApiWorld:
    await world.publish()
    return world


def renewed(world: ApiWorld, **other: str) -> None:
    """As after a restart of the process."""
    world.app.state.health = Health(world.hub, **other)


async def test_a_process_that_is_told_to_end_is_not_ready(published: ApiWorld):
    assert await ready(published) == (200, "")
    published.app.state.health.drain()
    assert await ready(published) == (503, "hub.draining")
    assert (await published.http.get("/healthz")).status_code == 200
    served = await published.http.get("/v1/types")
    assert (served.status_code, served.headers["connection"]) == (200, "close")


async def test_tables_of_another_release_are_told_with_the_command(published: ApiWorld):
    renewed(published, revision="0009")
    answer = await published.http.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "hub.tables")
    assert "yimen migrate" in answer.json()["next"]["en"]
    async with published.tx() as tx:
        await tx.run(sa.text("CREATE TABLE alembic_version (version_num varchar(32))"))
        await tx.run(sa.text("INSERT INTO alembic_version VALUES ('0009')"))
    assert await ready(published) == (200, "")


async def test_a_blob_store_that_was_never_seen_stops_a_process_one_that_went_away_does_not(published: ApiWorld):
    away = published.settings.blobs_dir.with_name("away")
    shutil.move(published.settings.blobs_dir, away)
    renewed(published)
    assert await ready(published) == (503, "ledger.unpublished")
    shutil.move(away, published.settings.blobs_dir)
    assert await ready(published) == (200, "")
    shutil.move(published.settings.blobs_dir, away)
    answer = await published.http.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "degraded": ["blobs"]})
    shutil.move(away, published.settings.blobs_dir)
    assert (await published.http.get("/readyz")).json() == {"status": "ready"}
