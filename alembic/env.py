"""Runs the migrations, on SQLite and PostgreSQL alike.

The database is, in this order: a connection or URL handed over in `config.attributes` ("connection", "url"), the
option `-x url=...`, or the hub's own settings (YIMEN_DATABASE_URL and the rest).

A new revision is written by `make revision MESSAGE="what changed"` and then read by a person. The test
tests/store/test_migrations.py fails while the revisions and `hub.schema` do not say the same.
"""

import asyncio
from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from hub.schema import metadata
from hub.store.base import Instant
from hub.store.engine import async_url


def database_url() -> sa.URL:
    """Which database to migrate."""
    given = context.config.attributes.get("url") or context.get_x_argument(as_dictionary=True).get("url")
    if given is None:
        from hub.config import Settings  # only here: a migration that was told its database needs no settings

        given = Settings().database_url
    return async_url(str(given))


def render_item(kind: str, thing: object, context_: Any) -> str | Literal[False]:
    """In a new revision, write our column types as what they are in the database: revisions outlive our code."""
    if kind == "type" and isinstance(thing, Instant):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(thing, sa.JSON):
        context_.imports.add("from sqlalchemy.dialects import postgresql")
        return "sa.JSON().with_variant(postgresql.JSONB(), 'postgresql')"
    return False


def migrate(connection: sa.Connection) -> list[str]:
    """Run on an open connection; on PostgreSQL one migrator at a time. The revisions that were missing."""
    done: list[str] = []

    def applied(step: Any, **_: Any) -> None:
        done.extend(step.up_revision_ids)

    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch="batch" in context.get_x_argument(as_dictionary=True),
        compare_type=True,
        compare_server_default=True,
        transaction_per_migration=True,
        render_item=render_item,
        on_version_apply=applied,
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(7956301)"))
        context.run_migrations()
    return done


async def connect_and_migrate() -> None:
    """Open the database for this one run."""
    engine = create_async_engine(database_url(), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            done = await connection.run_sync(migrate)
            await connection.commit()
            if done and connection.dialect.name == "postgresql":
                # What was rewritten has no statistics before autovacuum comes, and whoever plans by none reads it all.
                await connection.execute(sa.text("ANALYZE"))
                await connection.commit()
    finally:
        await engine.dispose()


if context.is_offline_mode():
    context.configure(
        dialect_name=database_url().get_backend_name(), target_metadata=metadata, literal_binds=True
    )
    with context.begin_transaction():
        context.run_migrations()
elif (connection := context.config.attributes.get("connection")) is not None:
    migrate(connection)
else:
    asyncio.run(connect_and_migrate())
