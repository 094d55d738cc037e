"""Datasets with a cursor: polls between whole passes, on a real MariaDB, with writers who hold their commits open."""

import random
import threading
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from adapters.agent import Agent
from adapters.model import Cursor, SqlSource
from adapters.source import SourceFault
from adapters.sources.sql import SqlRows
from adapters.state import State
from adapters.watermark import Watermark, since

SOURCE = 'source: {{url: "{url}", page_size: 50, allow_writable: true}}'
CURSOR = """\
    cursor: {column: gxsj, lag: 15m, timezone: UTC}
    reconcile: {max_revoke: {count: 50, percent: 50}}
"""
TABLE = (
    "create table {name}.xwzs (id int primary key, xm varchar(40), sfzh char(18), xwlx char(1), xxmc varchar(40),"
    " bydate char(8), zsbh varchar(20), gxsj datetime(6)) default charset utf8mb4"
)


@pytest.fixture
def table(mariadb):
    """An empty table in a schema of its own: (engine, schema)."""
    url = f"mysql+pymysql://{mariadb.user}:{mariadb.password}@{mariadb.host}:{mariadb.port}/mysql?charset=utf8mb4"
    engine = sa.create_engine(url, isolation_level="READ COMMITTED")
    name = f"polls_{random.randrange(10**9)}"
    with engine.begin() as connection:
        connection.exec_driver_sql(f"create database {name}")
        connection.exec_driver_sql(TABLE.format(name=name))
    yield SimpleNamespace(engine=engine, name=name, url=url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"drop database {name}")
    engine.dispose()


@pytest.fixture
def put(table, resident):
    def put(connection, first: int, last: int, moment: datetime, school: str = "东莞理工学院") -> None:
        for id_ in range(first, last + 1):
            connection.exec_driver_sql(
                f"replace into {table.name}.xwzs values (%s, %s, %s, '4', %s, '20160705', %s, %s)",
                (id_, f"张{chr(0x4E00 + id_ % 900)}", resident(id_ % 1000), school, f"Z{id_:06d}", moment),
            )

    return put


@pytest.fixture
def agent(table, running_hub, config_file, degree_dataset):
    path = config_file(
        source=SOURCE.format(url=table.url),
        datasets=degree_dataset.replace("select * from xwzs", f"select * from {table.name}.xwzs")
        + CURSOR,
        agent=f'agent: {{department: dg-degree, hub: "{running_hub.url}", faces: false}}\n',
    )
    with Agent.load(path, passphrase="agent-passphrase-1", clock=running_hub.clock) as found:
        found.enrol(running_hub.code_for("dg-degree"))
        yield found


def utc(clock) -> datetime:
    return clock().replace(tzinfo=None)


def test_a_poll_reads_what_changed_and_only_a_whole_pass_sees_what_is_gone(agent, table, put, running_hub):
    early = utc(running_hub.clock) - timedelta(hours=3)
    with table.engine.begin() as db:
        put(db, 1, 60, early)
    assert agent.sync().registered == 60
    quiet = agent.sync()
    assert (quiet.read, quiet.revoked, quiet.held) == (60, 0, 0)  # all have the newest cursor: inside the lag
    with table.engine.begin() as db:
        put(db, 61, 62, utc(running_hub.clock))
        put(db, 7, 7, utc(running_hub.clock), school="华南师范大学")
        db.exec_driver_sql(f"delete from {table.name}.xwzs where id = 9")
        # a repair by hand that forgot the cursor, and one in the year 2099
        db.exec_driver_sql(f"update {table.name}.xwzs set xxmc = '甲大学' where id = 11")
        put(db, 63, 63, datetime(2099, 1, 1))
    poll = agent.sync()
    assert (poll.registered, poll.superseded, poll.revoked) == (3, 2, 0)  # id 11 was inside the lag still
    running_hub.clock.advance(minutes=20)
    with table.engine.begin() as db:
        put(db, 64, 64, utc(running_hub.clock))
        db.exec_driver_sql(f"update {table.name}.xwzs set xxmc = '乙大学' where id = 12")
    poll = agent.sync()
    assert poll.read < 10, "the row of 2099 must not drag the watermark along, nor is everything read again"
    assert (poll.registered, poll.superseded, poll.revoked) == (1, 0, 0)
    whole = agent.sync(whole=True)
    assert (whole.superseded, whole.revoked, whole.held) == (1, 0, 1)
    assert agent.sync().read < 10
    running_hub.clock.advance(hours=25)  # `every` is a day
    assert agent.sync().revoked == 1
    assert agent.sync(whole=True).unchanged == 63


def test_adversarial_writers_hide_nothing_from_the_next_whole_pass(agent, table, put, running_hub):
    """Four writers stamp rows first and commit them up to 0.3 s later, while polls go on."""
    with table.engine.begin() as db:
        put(db, 1, 20, utc(running_hub.clock) - timedelta(hours=1))
    agent.sync()
    numbers, lock, stop = iter(range(21, 10_000)), threading.Lock(), threading.Event()
    written: list[int] = []

    def write(seed: int) -> None:
        rng = random.Random(seed)
        while not stop.is_set():
            with lock:
                id_ = next(numbers)
            with table.engine.begin() as db:
                put(db, id_, id_, utc(running_hub.clock))
                time.sleep(rng.uniform(0, 0.3))
            written.append(id_)

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for writer in writers:
        writer.start()
    try:
        polls = 0
        while polls < 4 or len(written) < 8:  # both went on side by side, however slow the machine
            polls += 1
            running_hub.clock.advance(seconds=1)
            assert agent.sync().revoked == 0
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    agent.sync(whole=True)
    with table.engine.begin() as db:
        rows = db.exec_driver_sql(f"select count(*) from {table.name}.xwzs").scalar_one()
    assert rows == 20 + len(written)
    assert agent.state.count_current("degree") == rows == len(running_hub.certificates())
    assert agent.sync(whole=True).unchanged == rows


def test_a_poll_that_dies_before_the_ack_moves_no_cursor(agent, table, put, running_hub, monkeypatch):
    with table.engine.begin() as db:
        put(db, 1, 5, utc(running_hub.clock) - timedelta(hours=1))
    agent.sync()
    before = agent.state.get("cursor:degree")
    running_hub.clock.advance(minutes=30)
    with table.engine.begin() as db:
        put(db, 6, 6, utc(running_hub.clock))
    there, agent.desk.client.hub = agent.desk.client.hub, "http://127.0.0.1:9"
    monkeypatch.setattr("adapters.client.LONGEST_PAUSE", 0.0)
    with pytest.raises(Exception, match=r"hub\.unreachable"):
        agent.sync()
    assert agent.state.get("cursor:degree") == before
    agent.desk.client.hub = there
    assert agent.sync().registered in (0, 1)  # the outbox delivered it, or this pass did
    assert agent.state.get("cursor:degree") != before
    assert agent.state.count_current("degree") == 6


@pytest.mark.parametrize(
    ("cursor", "seen", "expected"),
    [
        (Cursor("c", lag=60, timezone="Asia/Shanghai"), [datetime(2026, 11, 23, 9, 0)], datetime(2026, 11, 23, 8, 59)),
        (Cursor("c", lag=60, timezone="Asia/Shanghai"), [datetime(2099, 1, 1)], datetime(2026, 11, 23, 9, 29)),
        (Cursor("c", lag=60), [datetime(2026, 11, 23, 1, 0, tzinfo=UTC)], datetime(2026, 11, 23, 0, 59, tzinfo=UTC)),
        (Cursor("c"), [date(2026, 11, 20), date(2026, 11, 22)], date(2026, 11, 21)),
        (Cursor("c", lag=100), [5000, 7000], 6900),
        (Cursor("c", lag=100), [Decimal(5000)], Decimal(4900)),
        (Cursor("c", lag=60, format="%Y%m%d%H%M%S"), ["20261123090000", "长期"], "20261123085900"),
    ],
)  # fmt: skip
def test_how_far_back_a_poll_goes(cursor, seen, expected, tmp_path):
    state = State(tmp_path / "state.db")
    mark = Watermark(cursor, datetime(2026, 11, 23, 1, 30, tzinfo=UTC))
    for cell in seen:
        mark.see(cell)
    mark.keep(state, "degree")
    assert since(state, SimpleNamespace(id="degree", cursor=cursor)) == expected
    back = Watermark(cursor, datetime(2020, 1, 1, tzinfo=UTC))  # a clock that went back moves nothing
    back.see(seen[0])
    back.keep(state, "degree")
    assert since(state, SimpleNamespace(id="degree", cursor=cursor)) == expected
    state.close()


def test_text_without_a_format_is_no_cursor():
    with pytest.raises(SourceFault, match=r"source\.cursor_type"):
        Watermark(Cursor("c"), datetime(2026, 11, 23, tzinfo=UTC)).see("2026-11-23")


def test_a_poll_of_postgresql_keeps_the_zone_of_an_instant(postgres):
    url = postgres.url("postgres", "postgresql+psycopg")
    query = (
        "select 1 as id, timestamptz '2026-11-23 09:00+08' as t"
        " union all select 2, timestamptz '2026-11-23 10:00+08'"
    )
    after = ("t", datetime(2026, 11, 23, 1, 30, tzinfo=UTC))  # 09:30 in Shanghai
    source = SqlRows(SqlSource(url, allow_writable=True), query, ("id",), since=after)
    try:
        assert [row["id"] for row in source.rows()] == [2]
        assert source.complete
        assert source.kinds == {"id": "integer", "t": "instant"}
    finally:
        source.close()
