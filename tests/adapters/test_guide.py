"""docs/connect-a-department.md, done as it is written, on a schema that no mapping of ours has seen."""

import re
import shlex
import time
from datetime import date
from pathlib import Path

import pymysql
import pytest
from typer.testing import CliRunner

from adapters import quarantine
from adapters.agent import Agent
from adapters.command import CODE, PASSPHRASE, app
from hub.catalogue.sources import sources
from hub.registry.publish import publish_types

PAGE = (Path(__file__).parents[2] / "docs" / "connect-a-department.md").read_text(encoding="utf-8")
ROWS = 40
NAMES = ("张三丰", "李娜", "欧阳建国", "䶮一鸣")


@pytest.fixture
def old_table(mariadb, resident):
    """T_JNRY of 1998: latin1 columns with GBK bytes, three spellings of a grade, dates of zeros, 15-digit numbers."""
    connection = pymysql.connect(
        host=mariadb.host, port=mariadb.port, user=mariadb.user, password=mariadb.password, autocommit=True
    )
    with connection.cursor() as cursor:
        for statement in (
            "set sql_mode = ''", "drop database if exists jnjd", "create database jnjd",
            "create table jnjd.T_JNRY (LSH varchar(12) primary key, RYXM varchar(30), ZJHM varchar(18),"
            " JNDJ varchar(8), GZMC varchar(40), FZRQ varchar(10), ZSZT char(1), GXSJ datetime) charset latin1",
            "create user if not exists 'reader'@'127.0.0.1' identified by 'reader-1'",
            "grant select on jnjd.* to 'reader'@'127.0.0.1'",
        ):  # fmt: skip
            cursor.execute(statement)
        for number in range(ROWS):
            id_no = resident(number)
            if number == 1:
                id_no = f"{id_no[:6]}{id_no[8:17]}"  # of before 1999
            cells = [
                f"2016{number:05d}", NAMES[number % 4], id_no, ("3", "03", "五级", "4")[number % 4], "电工",
                "00000000" if number == 7 else "1998.05.06", "9" if number == 9 else "0",
            ]  # fmt: skip
            if number == 8:
                cells[3] = "X"  # a grade that nobody can explain
            raw = [cell.encode("gb18030").hex() for cell in cells]
            values = ", ".join(f"unhex({part!r})" for part in raw)
            cursor.execute(f"insert into jnjd.T_JNRY values ({values}, '2016-05-06 10:00:00')")
    yield f"mysql+pymysql://reader:reader-1@{mariadb.host}:{mariadb.port}/jnjd?charset=utf8mb4"
    connection.close()


def test_the_page_connects_a_department(running_hub, old_table, tmp_path, monkeypatch):
    [written] = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    (tmp_path / "agent.yaml").write_text(written, encoding="utf-8")
    commands = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S) for line in block.splitlines() if line]
    assert len(commands) >= 9
    monkeypatch.chdir(tmp_path)
    load = Agent.load
    monkeypatch.setattr(
        Agent, "load", staticmethod(lambda file, **more: load(file, **more, clock=running_hub.clock))
    )
    code = running_hub.code_for("dg-hrss")
    running_hub.in_hub(lambda tx: publish_types(tx, running_hub.hub.types.values()))  # as `yimen department add` does
    environment = {
        PASSPHRASE: "agent-passphrase-1", CODE: code, "YIMEN_HUB": running_hub.url,
        "YIMEN_SOURCE": old_table, "COLUMNS": "200", "TERM": "dumb",
    }  # fmt: skip
    said = {}
    began = time.monotonic()
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "yimen-agent"
        found = CliRunner().invoke(app, arguments, env=environment)
        # the clock of this hub stands still, so doctor may find that ours differs; all else must be well
        assert found.exit_code == 0 or arguments == ["doctor"], (command, found.output, found.exception)
        said[" ".join(arguments)] = found.output
    assert time.monotonic() - began < 120
    assert "coverage_refused" not in said["sync"]
    source = running_hub.in_hub(sources)["qualification"]
    assert (source.covers_from, source.gaps["zh-CN"]) == (date(1998, 1, 1), "1998年以前的证书只有纸质")
    assert "张*丰" in said["preview -n 5"]
    assert "五级" not in said["preview -n 5"]
    for monkey in ("YIMEN_HUB", "YIMEN_SOURCE"):
        monkeypatch.setenv(monkey, environment[monkey])
    with Agent.load("agent.yaml", passphrase="agent-passphrase-1") as agent:
        waiting = {one.finding.code for one in quarantine.listed(agent.state)}
        assert agent.state.count_current("jineng") == ROWS - 3
    assert waiting == {"code_unknown", "missing_value"}
    assert len(running_hub.certificates()) == ROWS - 3
