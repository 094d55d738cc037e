"""Revision 0022 takes over every look as it was, more than one batch of them, and gives them back."""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine
from store.test_migrations import config

from hub.access.model import accesses, profiles
from hub.access.profiles import WORDS
from hub.formats.jcs import canonical
from hub.ids import bucket_of, public_token
from hub.schema import metadata
from hub.store.small import SmallInstant

MORE = 2_100
"""More than a batch of the revision."""


def old_rows() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    grant = {
        "bucket": 0, "id": uuid.uuid4(), "public_id": public_token(), "position": 0, "holder": uuid.uuid4(),
        "approver": uuid.uuid4(), "basis": "holder", "assurance": "login", "department": "dg-edu", "item_code": "i",
        "case_id": "c", "purpose": "p", "detail": {}, "valid_until": datetime(2027, 1, 1), "max_uses": 1, "seq": 1,
        "state": "standing", "created_at": datetime(2026, 1, 1),
    }  # fmt: skip
    found, people = [], [uuid.uuid4() for _ in range(7)]
    grant["bucket"] = bucket_of(people[0])
    for number in range(MORE):
        who = people[number % 7]
        found.append(
            {
                "bucket": bucket_of(who), "id": uuid.uuid4(), "public_id": public_token(), "subject_id": who,
                "subject_seq": number // 7 + 1, "department": f"dg-{number % 3}",
                "officer_id": who if number % 2 else None,
                "item_code": "item", "case_id": ("案件", public_token(), "A=", "")[number % 4], "purpose": "p",
                "basis": "holder", "grant_id": grant["id"] if number % 7 == 0 else None,
                "type_code": "degree" if number % 2 else None, "certificate": public_token() if number % 2 else None,
                "fields": [["holders", 0, "姓名"], ["a", None]] if number % 2 else [],
                "predicates": [{"op": "min", "n": 5}],
                "outcome": "accepted", "reason": "accepted",
                "at": datetime(2026, 11, 1) + timedelta(microseconds=number),
                "leaf_hash": uuid.uuid4().bytes * 2, "commit": uuid.uuid4().bytes * 2,
                "previous_commit": uuid.uuid4().bytes * 2,
                "visible_at": datetime(2027, 1, 1) if number % 5 == 0 else None,
            }
        )  # fmt: skip
    return found, grant


async def test_looks_move_to_their_new_rows_and_back(empty_database: str) -> None:
    def run(connection: sa.Connection, what: Callable[[Config, str], None], revision: str) -> None:
        settings = config(empty_database)
        settings.attributes["connection"] = connection
        what(settings, revision)

    async def all_of(table: Any) -> list[dict[str, Any]]:
        return [dict(row._mapping) for row in await connection.execute(sa.select(table))]

    def reflected(connection: sa.Connection, name: str) -> sa.Table:
        return sa.Table(name, sa.MetaData(), autoload_with=connection)

    rows, grant = old_rows()
    engine = create_async_engine(empty_database)
    async with engine.connect() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.run_sync(run, command.stamp, "head")
        await connection.run_sync(run, command.downgrade, "0021")
        before = await connection.run_sync(reflected, "accesses")
        for column in before.c:  # reflection of SQLite does not know which letters are a UUID
            column.type = sa.Uuid() if column.name in ("id", "subject_id", "officer_id", "grant_id") else column.type
        grants = await connection.run_sync(reflected, "grants")
        for name in ("id", "holder", "approver"):
            grants.c[name].type = sa.Uuid()
        aware = connection.dialect.name == "postgresql"
        moments = ("at", "visible_at", "valid_until", "created_at")
        if aware:
            for one in [*rows, grant]:
                one |= {name: one[name].astimezone() for name in moments if one.get(name)}
        await connection.execute(before.insert(), rows)
        await connection.execute(grants.insert(), grant)
        await connection.commit()
        kept = {row["public_id"]: row for row in await all_of(before)}
        await connection.run_sync(run, command.upgrade, "0022")
        moved = await all_of(accesses)
        assert len(moved) == MORE
        for new in moved:
            old = kept[new["public_id"]]
            same = ("bucket", "subject_id", "subject_seq", "officer_id", "case_id", "certificate", *WORDS)
            assert {name: new[name] for name in same} == {name: old[name] for name in same}
            assert (new["commit"], new["previous_commit"]) == (old["commit"], old["previous_commit"])
            assert new["grant_public_id"] == (grant["public_id"] if old["grant_id"] else None)
            moment = SmallInstant().process_bind_param
            for name in ("at", "visible_at"):
                was = old[name] if aware or old[name] is None else old[name].replace(tzinfo=new["at"].tzinfo)
                assert moment(new[name], connection.dialect) == moment(was, connection.dialect)
        said = await all_of(profiles)
        assert len(said) == 6
        for one in said:
            assert one["hash"] == sha256(canonical({name: one[name] for name in WORDS})).digest()
        await connection.run_sync(run, command.downgrade, "0021")
        back = {row["public_id"]: row for row in await all_of(before)}
        for public_id, row in kept.items():
            drop = ("id", "leaf_hash")
            assert {k: v for k, v in back[public_id].items() if k not in drop} == {
                k: v for k, v in row.items() if k not in drop
            }
    await engine.dispose()
