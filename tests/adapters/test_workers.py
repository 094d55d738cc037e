"""Several processes over one table say what one says; one that dies breaks the pass off, and nothing is revoked."""

from collections import Counter
from datetime import date

import pytest
import sqlalchemy as sa

from adapters import config, quarantine, workers
from adapters.agent import Agent
from adapters.judge import judged
from adapters.model import SqlSource
from adapters.source import SourceFault
from adapters.sources import open_source
from adapters.sources.sql import SqlRows
from adapters.workers import workers_of

TODAY = date(2026, 11, 23)


def agent_with(running_hub, config_file, source: str, datasets: str) -> Agent:
    line = f'agent: {{department: dg-degree, hub: "{running_hub.url}", faces: false}}\n'
    path = config_file(agent=line, source=source, datasets=datasets)
    found = Agent.load(path, passphrase="agent-passphrase-1", clock=running_hub.clock)
    found.enrol(running_hub.code_for("dg-degree"))
    return found


def test_a_sync_of_three_processes(running_hub, config_file, degree_dataset, mariadb, resident):
    url = f"mysql+pymysql://{mariadb.user}:{mariadb.password}@{mariadb.host}:{mariadb.port}/mysql?charset=utf8mb4"
    engine = sa.create_engine(url)
    with engine.begin() as db:
        for statement in (
            "create database if not exists parts", "drop table if exists parts.xwzs",
            "create table parts.xwzs (id varchar(9), xm varchar(40), sfzh char(18), xwlx char(1),"
            " xxmc varchar(40), bydate char(8), zsbh varchar(20)) default charset utf8mb4",
        ):  # fmt: skip
            db.exec_driver_sql(statement)
        for i in range(60):
            cells = (f"K{i:03d}", f"张{chr(0x4E00 + i)}", resident(i), "东莞理工学院", f"Z{i}")
            db.exec_driver_sql("insert into parts.xwzs values (%s, %s, %s, '4', %s, '20160705', %s)", cells)
        db.exec_driver_sql("insert into parts.xwzs values (null, '无', '', '4', '', '', '')")
        db.exec_driver_sql("update parts.xwzs set xm = '张?' where id = 'K007'")
    source = f'source: {{url: "{url}", allow_writable: true, page_size: 7, workers: 2}}'
    datasets = degree_dataset.replace("select * from xwzs", "select * from parts.xwzs")
    with agent_with(running_hub, config_file, source, datasets) as agent:
        report = agent.sync()
        assert (report.read, report.registered, report.quarantined) == (61, 59, 2)
        with engine.begin() as db:
            db.exec_driver_sql("delete from parts.xwzs where id is null or id in ('K020', 'K059')")
        report = agent.sync()
        assert (report.unchanged, report.revoked, report.held) == (57, 0, 2)
        assert Counter(running_hub.standing()) == {"current/valid": 59}
        assert {one.key for one in quarantine.listed(agent.state)} == {'["K007"]'}
        [dataset] = agent.config.datasets
        with_bounds = SqlRows(dataset.source, dataset.query, dataset.key)
        assert len(with_bounds.bounds(3)) == 2
        with_bounds.close()
    engine.dispose()


def test_ranges_hold_every_row_once(tmp_path, legacy, fill, config_file):

    fill(1, 40)
    [dataset] = config.load(config_file(source='source: {url: "sqlite:///legacy.db", workers: 3}')).datasets
    source = open_source(dataset, tmp_path)
    one = [found.key for found in judged(source.rows(), dataset, "v", today=TODAY)]
    many = workers_of(dataset, tmp_path, "v", today=TODAY, corrections={}, source=source)
    assert many is not None
    try:
        found = [row.key for row in many.rows()]
    finally:
        many.close()
        source.close()
    assert many.complete
    assert sorted(found) == sorted(one)
    assert len(found) == 40
    assert isinstance(dataset.source, SqlSource)


def test_a_process_that_dies_breaks_the_pass_off(tmp_path, legacy, fill, config_file, monkeypatch):

    fill(1, 40)
    [dataset] = config.load(config_file(source='source: {url: "sqlite:///legacy.db", workers: 2}')).datasets
    source = open_source(dataset, tmp_path)
    monkeypatch.setattr(workers, "_work", exit)  # ends at once, saying nothing
    many = workers_of(dataset, tmp_path, "v", today=TODAY, corrections={}, source=source)
    try:
        with pytest.raises(SourceFault, match=r"source\.worker"):
            list(many.rows())
        assert not many.complete
    finally:
        many.close()
        source.close()
