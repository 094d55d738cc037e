"""The same walk from the database servers that departments run: PostgreSQL and MariaDB, with what they hold."""

from collections import Counter
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from adapters import quarantine
from adapters.agent import Agent
from adapters.model import SqlSource
from adapters.source import SourceFault
from adapters.sources.sql import SqlRows

DATASET = """\
datasets:
  - id: degree
    type: degree
    query: select id, xm, sfzh, xxmc, bydate, zsbh from legacy.xwzs
    key: [id]
    holders:
      - {role: owner, name: {from: xm, bytes_as: gb18030}, id_type: {const: "111"}, id_no: {from: sfzh}}
    claims:
      education_level: {const: bachelor}
      school: {from: xxmc}
      conferred_on: {from: bydate, type: date, null_values: ["0000-00-00"], required: true}
    number: {from: zsbh}
"""
NAMES = ["张三丰", "䶮一", "㑇二", "李娜", "欧阳·买买提"]


@pytest.fixture
def enrolled(running_hub, config_file):
    agents = []

    def make(url: str) -> Agent:
        path = config_file(
            source=f'source: {{url: "{url}", page_size: 7, allow_writable: true}}',
            datasets=DATASET,
            agent=f'agent: {{department: dg-degree, hub: "{running_hub.url}"}}\n',
        )
        agent = Agent.load(path, passphrase="agent-passphrase-1", clock=running_hub.clock)
        agents.append(agent)
        agent.enrol(running_hub.code_for("dg-degree"))
        return agent

    yield make
    for agent in agents:
        agent.close()


def reasons(agent: Agent) -> Counter:
    return Counter(one.finding.code for one in quarantine.listed(agent.state))


def test_mariadb_with_gbk_bytes_in_latin1_and_zero_dates(enrolled, running_hub, mariadb, resident):
    url = f"mysql+pymysql://{mariadb.user}:{mariadb.password}@{mariadb.host}:{mariadb.port}/mysql?charset=utf8mb4"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("set sql_mode = ''")
        for statement in (
            "create database if not exists legacy", "drop table if exists legacy.xwzs",
            "create table legacy.xwzs (id int, xm varchar(40) charset latin1, sfzh char(18), xxmc varchar(40),"
            " bydate date, zsbh varchar(20)) default charset utf8mb4",
        ):  # fmt: skip
            connection.exec_driver_sql(statement)
        for place in range(30):
            raw = NAMES[place % 5].encode("gb18030").hex()
            day = "0000-00-00" if place == 3 else "2016-07-05"
            values = f"{place}, x'{raw}', '{resident(place)}', '东莞理工学院', '{day}', 'Z{place}'"
            connection.exec_driver_sql(f"insert into legacy.xwzs values ({values})")
        # what a non-strict server does to a character it cannot hold: the loss happened in the department
        connection.exec_driver_sql(
            f"insert into legacy.xwzs values (99, '李?', '{resident(99)}', '校', '2016-07-05', 'Z99')"
        )
    agent = enrolled(url)
    report = agent.sync()
    assert (report.registered, report.quarantined) == (29, 2)
    assert reasons(agent) == {"missing_value": 1, "lossy_text": 1}
    assert dict(report.notes) == {"bytes_recovered": 29}
    assert [row.holders[0]["name"][0] for row in agent.preview(3)] == ["张", "䶮", "㑇"]
    with engine.begin() as connection:
        connection.exec_driver_sql("update legacy.xwzs set xxmc = '甲大学' where id in (1, 2)")
        connection.exec_driver_sql("delete from legacy.xwzs where id = 7")
    assert agent.sync().superseded == 2
    assert agent.sync().revoked == 1
    engine.dispose()


def test_postgresql_with_infinity_and_padded_columns(enrolled, running_hub, postgres, resident):
    url = postgres.url("postgres", "postgresql+psycopg")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in (
            "create schema if not exists legacy", "drop table if exists legacy.xwzs",
            "create table legacy.xwzs (id int, xm char(20), sfzh char(20), xxmc text, bydate date,"
            " zsbh numeric(12, 0))",
        ):  # fmt: skip
            connection.exec_driver_sql(statement)
        insert = sa.text("insert into legacy.xwzs values (:i, :n, :s, '东莞理工学院', :d, :i)")
        for place in range(30):
            day = "infinity" if place == 11 else "2016-07-05"
            connection.execute(insert, {"i": place, "n": NAMES[place % 5], "s": resident(place), "d": day})
    agent = enrolled(url)
    report = agent.sync()
    assert (report.read, report.registered, report.quarantined) == (30, 29, 1)
    [bad] = quarantine.listed(agent.state)
    assert (bad.key, bad.finding.code) == ('["11"]', "fetch_failed")
    assert agent.sync().unchanged == 29
    assert isinstance(agent.config.datasets[0].source, SqlSource)
    engine.dispose()


def rows_of(kind: str, resident, numbers: range, school: str = "东莞理工学院") -> list[dict]:
    return [
        {"i": n, "n": f"张{chr(0x4E00 + n)}", "s": resident(n % 900), "x": school, "z": f"{kind}{n}"} for n in numbers
    ]


@pytest.fixture(params=["mariadb", "postgresql"])
def served(request, mariadb, postgres):
    """A server of either kind with a database of its own: its address for an owner, and for a reader."""
    name, host = f"trouble{request.param[:2]}", "127.0.0.1"
    if request.param == "mariadb":
        root = f"mysql+pymysql://{mariadb.user}:{mariadb.password}@{host}:{mariadb.port}/mysql?charset=utf8mb4"
        reader = f"mysql+pymysql://reader:reader-1@{host}:{mariadb.port}/{name}?charset=utf8mb4"
        grants = (
            f"drop database if exists {name}", f"create database {name} charset utf8mb4",
            f"create or replace user reader@'{host}' identified by 'reader-1'",
            f"grant select on {name}.* to reader@'{host}'",
        )  # fmt: skip
        running = "select id from information_schema.processlist where user = 'reader'"
        found = SimpleNamespace(kill="kill %s", deny=f"revoke select on {name}.* from reader@'{host}'")
        owner = root.replace("/mysql?", f"/{name}?")
    else:
        root = postgres.url("postgres", "postgresql+psycopg")
        owner = postgres.url(name, "postgresql+psycopg")
        reader = sa.make_url(owner).set(username="reader", password="reader-1").render_as_string(hide_password=False)
        grants = (
            f"drop database if exists {name} with (force)", "drop role if exists reader",
            "create role reader login password 'reader-1'", f"create database {name}",
        )  # fmt: skip
        running = "select pid from pg_stat_activity where usename = 'reader'"
        found = SimpleNamespace(kill="select pg_terminate_backend(%s)", deny="revoke select on xwzs from reader")
    admin = sa.create_engine(root, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        for statement in grants:
            connection.exec_driver_sql(statement)
    engine = sa.create_engine(owner, isolation_level="AUTOCOMMIT")
    found.url, found.reader, found.postgres = owner, reader, request.param == "postgresql"

    def sql(*statements: str, rows: list[dict] | None = None) -> None:
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
            if rows:
                connection.execute(sa.text("insert into xwzs values (:i, :n, :s, :x, '2016-07-05', :z)"), rows)

    def cut() -> None:
        """The server drops the reader's line, as it does when somebody restarts it."""
        with admin.connect() as connection:
            for (number,) in connection.exec_driver_sql(running).fetchall():
                connection.exec_driver_sql(found.kill % number)

    found.sql, found.cut = sql, cut
    columns = "id int, xm varchar(40), sfzh varchar(18), xxmc varchar(40), bydate date, zsbh varchar(20)"
    found.table = f"create table xwzs ({columns})"
    yield found
    engine.dispose()
    admin.dispose()


def test_whatever_becomes_of_a_table_nobody_loses_a_certificate(
    running_hub, config_file, served, resident, monkeypatch, capfd
):
    """Emptied, cut off in the middle, a column gone, a column more, swapped, denied: told, and nothing is revoked."""
    readable = ["grant select on xwzs to reader"] if served.postgres else []
    served.sql(served.table, *readable, rows=rows_of("Z", resident, range(1, 41)))
    path = config_file(
        source=f'source: {{url: "{served.reader}", page_size: 7}}',
        datasets=DATASET.replace("select id, xm, sfzh, xxmc, bydate, zsbh from legacy.xwzs", "select * from xwzs"),
        agent=f'agent: {{department: dg-degree, hub: "{running_hub.url}", faces: false}}\n',
    )
    with Agent.load(path, passphrase="agent-passphrase-1", clock=running_hub.clock) as agent:
        agent.enrol(running_hub.code_for("dg-degree"))
        assert agent.sync().registered == 40

        def troubled(code: str, *, held: bool = False) -> None:
            for _ in range(2):  # twice: absence is believed after two complete passes
                report = agent.sync()
                assert (report.registered, report.superseded, report.revoked) == (0, 0, 0), code
            told = [one.reason for one in quarantine.held(agent.state)] if held else [one[1] for one in report.faults]
            assert told[-1:] == [code]
            assert Counter(running_hub.standing()) == {"current/valid": 40}

        served.sql("alter table xwzs rename to xwzs_full", served.table, *readable)
        troubled("few_rows", held=True)  # emptied
        assert quarantine.ADVICE["few_rows"][0].startswith("先查数据源")
        served.sql(rows=rows_of("Q", resident, range(5001, 5041)))
        troubled("strangers", held=True)  # swapped for another one
        served.sql("drop table xwzs", "alter table xwzs_full rename to xwzs")
        with monkeypatch.context() as between_pages:
            between_pages.setattr(SqlRows, "_throttle", lambda *_: served.cut())
            troubled("source.database")  # half read
        assert "Traceback" not in capfd.readouterr().err
        served.sql("alter table xwzs add beizhu varchar(9)")
        report = agent.sync()
        assert (report.told, report.unchanged, report.faults) == ((("degree", "new_column", "beizhu"),), 40, ())
        assert agent.sync().told == ()  # once
        served.sql("alter table xwzs drop column bydate")
        troubled("source.missing_column")
        served.sql("alter table xwzs add bydate date", "update xwzs set bydate = '2016-07-05'", served.deny)
        troubled("source.denied")
        assert quarantine.held(agent.state) == []


def test_what_is_wrong_with_the_address_or_the_query_is_told_apart(served):
    served.sql(served.table)
    good = {"query": "select id from xwzs", "url": served.url}
    wrong = {
        "source.login": {"url": served.reader.replace("reader-1", "wrong")},
        "source.no_database": {"url": served.url.replace("/trouble", "/trouble0")},
        "source.no_table": {"query": "select id from nothing"},
        "source.no_column": {"query": "select id, nothing from xwzs"},
        "source.query": {"query": "select id from xwzs where where"},
        "source.database": {"url": sa.make_url(served.url).set(port=9).render_as_string(hide_password=False)},
    }
    for code, change in wrong.items():
        asked = good | change
        with pytest.raises(SourceFault) as caught:
            SqlRows(SqlSource(asked["url"], allow_writable=True), asked["query"], ("id",))
        assert caught.value.code == code
        assert caught.value.next_zh
        for secret in ("wrong", "reader", "nothing", "trouble"):
            assert secret not in f"{caught.value.zh} {caught.value.en}"
