"""The same walk from the database servers that departments run: PostgreSQL and MariaDB, with what they hold."""

from collections import Counter

import pytest
import sqlalchemy as sa

from adapters import quarantine
from adapters.agent import Agent
from adapters.model import SqlSource

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
