"""A source that is not what it was: emptied, cut off, swapped, retyped. Nothing is revoked, and somebody is told."""

from collections import Counter
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from adapters import drift, quarantine
from adapters.agent import Agent
from adapters.model import FileSource
from adapters.sources.files import DbfRows
from adapters.state import State

FILE = 'source: {file: xwzs.csv, format: csv, encoding: utf-8, end: "#END"}'
HEAD = "id,xm,sfzh,xwlx,xxmc,bydate,zsbh"


@pytest.fixture
def agent(running_hub, config_file, fill):
    line = f'agent: {{department: dg-degree, hub: "{running_hub.url}", faces: false}}\n'
    with Agent.load(
        config_file(agent=line), passphrase="agent-passphrase-1", clock=running_hub.clock
    ) as found:
        found.enrol(running_hub.code_for("dg-degree"))
        yield found


def all_valid(running_hub, count: int) -> bool:
    return Counter(running_hub.standing()) == {"current/valid": count}


def test_the_same_keys_with_other_peoples_rows_supersede_nobody(agent, running_hub, fill, legacy, resident):
    fill(1, 60)
    agent.sync()
    for id_ in range(1, 61):
        legacy.execute("update xwzs set xm = '王五', sfzh = ? where id = ?", (resident(900 - id_), id_))
    [seen] = agent.survey()
    assert (seen.changed, seen.would_hold) == (60, ("mass_change",))
    for _ in range(3):
        report = agent.sync()
        assert (report.superseded, report.revoked, report.held) == (0, 0, 60)
    assert all_valid(running_hub, 60)
    [hold] = quarantine.held(agent.state)
    assert (hold.reason, hold.rows, hold.total) == ("mass_change", 60, 60)
    quarantine.release(agent.state, hold.id, "李四")
    assert agent.sync().superseded == 60
    assert quarantine.held(agent.state) == []


def test_another_table_under_the_same_name_signs_and_revokes_nothing(agent, running_hub, fill, legacy):
    fill(1, 60)
    agent.sync()
    legacy.execute("update xwzs set id = id + 5000")
    assert agent.survey()[0].would_hold == ("strangers", "mass_revocation")
    for _ in range(3):
        report = agent.sync()
        assert (report.registered, report.revoked) == (0, 0)
    assert all_valid(running_hub, 60)
    [hold] = quarantine.held(agent.state)
    assert hold.reason == "strangers"
    quarantine.release(agent.state, hold.id, "李四")
    report = agent.sync()
    assert (report.registered, report.revoked) == (60, 0)  # the old ones still need their own release
    assert agent.sync().revoked == 0
    assert "mass_revocation" in {one.reason for one in quarantine.held(agent.state)}


def test_a_few_changes_need_nobody(agent, fill, legacy):
    fill(1, 60)
    agent.sync()
    legacy.execute("update xwzs set xxmc = '甲大学' where id <= 20")
    assert agent.sync().superseded == 20


def test_what_an_emptied_table_would_do_is_told_beforehand(agent, running_hub, fill, legacy):
    fill(1, 30)
    agent.sync()
    legacy.execute("delete from xwzs")
    [seen] = agent.survey()
    assert (seen.read, seen.gone, seen.would_hold) == (0, 30, ("few_rows", "mass_revocation"))
    assert agent.state.execute("select count(*) from outbox") == [(0,)]
    assert all_valid(running_hub, 30)


def test_a_half_read_file_supersedes_and_revokes_nothing(
    running_hub, config_file, degree_dataset, resident, tmp_path
):
    rows = [f"{i},张{chr(0x4E00 + i)},{resident(i)},4,东莞理工学院,20160705,Z{i}" for i in range(1, 31)]
    line = f'agent: {{department: dg-degree, hub: "{running_hub.url}", faces: false}}\n'
    datasets = degree_dataset.replace("    query: select * from xwzs\n", "")
    path = config_file(agent=line, source=FILE, datasets=datasets)

    def write(lines: list[str], end: str = "#END\n") -> None:
        (tmp_path / "xwzs.csv").write_text("\n".join([HEAD, *lines]) + "\n" + end, encoding="utf-8")

    write(rows)
    with Agent.load(path, passphrase="agent-passphrase-1", clock=running_hub.clock) as agent:
        agent.enrol(running_hub.code_for("dg-degree"))
        assert agent.sync().registered == 30
        write([row.replace("理工", "职业") for row in rows[:28]], end="")
        for _ in range(3):
            report = agent.sync()
            assert (report.superseded, report.revoked) == (0, 0)
        assert all_valid(running_hub, 30)
        write([row.replace("理工", "职业") for row in rows[:20]] + rows[20:])
        assert agent.sync().superseded == 20


def test_a_retyped_column_waits_for_a_named_person(
    running_hub, config_file, degree_dataset, mariadb, resident
):
    url = f"mysql+pymysql://{mariadb.user}:{mariadb.password}@{mariadb.host}:{mariadb.port}/mysql?charset=utf8mb4"
    engine = sa.create_engine(url)
    with engine.begin() as db:
        for statement in (
            "create database if not exists drift", "drop table if exists drift.xwzs",
            "create table drift.xwzs (id int, xm varchar(40), sfzh char(18), xwlx char(1), xxmc varchar(40),"
            " bydate char(8), zsbh varchar(20)) default charset utf8mb4",
        ):  # fmt: skip
            db.exec_driver_sql(statement)
        for i in range(30):
            values = (i, f"张{chr(0x4E00 + i)}", resident(i), "东莞理工学院", f"{20160705 + i}")
            db.exec_driver_sql("insert into drift.xwzs values (%s, %s, %s, '4', %s, '20160705', %s)", values)
    path = config_file(
        agent=f'agent: {{department: dg-degree, hub: "{running_hub.url}", faces: false}}\n',
        source=f'source: {{url: "{url}", allow_writable: true}}',
        datasets=degree_dataset.replace("select * from xwzs", "select * from drift.xwzs"),
    )
    with Agent.load(path, passphrase="agent-passphrase-1", clock=running_hub.clock) as agent:
        agent.enrol(running_hub.code_for("dg-degree"))
        assert agent.sync().registered == 30
        with engine.begin() as db:
            db.exec_driver_sql("alter table drift.xwzs modify zsbh bigint, add beizhu text")
        told = next(one for one in agent.check() if one.name == "source.degree")
        assert not told.ok
        assert "zsbh text→integer" in told.zh
        assert agent.survey()[0].would_hold == ("column_retyped",)
        for _ in range(2):
            report = agent.sync()
            assert [code for _, code, _ in report.faults] == ["source.retyped_column"]
            assert report.read == 0
        [hold] = quarantine.held(agent.state)
        quarantine.release(agent.state, hold.id, "李四")
        report = agent.sync()
        assert (report.faults, report.unchanged) == ((), 30)  # the same text came out of it
        assert agent.sync().told == ()
    engine.dispose()


def test_a_field_of_a_dbf_that_is_a_number_now(tmp_path, dbf):
    def source(kind: str) -> DbfRows:
        path = tmp_path / f"{kind}.dbf"
        path.write_bytes(dbf([("XH", kind, 8, 0)], [[b"1"]]))
        return DbfRows(FileSource(path, "dbf"), ("XH",), tmp_path)

    state = State(tmp_path / "state.db")
    dataset = SimpleNamespace(
        id="d", key=("XH",), holders=(), claims={}, valid_from=None, valid_until=None, as_of=None, cursor=None,
        lookup=None,
    )  # fmt: skip
    assert drift.enter(state, dataset, source("C"), "now") == drift.Drift()
    assert drift.look(state, dataset, source("N")).retyped == (("XH", "C", "N"),)
    state.close()
