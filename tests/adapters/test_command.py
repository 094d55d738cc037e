"""`yimen-agent` for a person at a shell: it says what to do next, shows nothing personal, and never a traceback."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters import config, quarantine
from adapters.agent import Agent
from adapters.command import CODE, PASSPHRASE, app
from hub.errors import HubError

ENV = {PASSPHRASE: "agent-passphrase-1", "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}


def run(*arguments: str, code: int = 0) -> str:
    found = CliRunner().invoke(app, list(arguments), env=ENV)
    assert found.exit_code == code, (found.output, found.exception)
    assert "Traceback" not in found.output
    return found.output + (found.stderr if found.stderr not in found.output else "")


def test_the_sample_is_a_configuration(tmp_path):
    path = tmp_path / "agent.yaml"
    assert "样例" in run("init", "-c", str(path))
    found = config.load(path, environment={})
    assert found.agent.department == "dg-degree"
    assert len(re.findall(r"✓", run("init", "-c", str(path)))) == 3
    before = path.read_text()
    run("init", "-c", str(path))
    assert path.read_text() == before


def test_a_mistake_is_told_with_line_and_remedy(tmp_path):
    path = tmp_path / "agent.yaml"
    run("init", "-c", str(path))
    path.write_text(path.read_text().replace("type: degree ", "typ: degree "))
    told = run("check", "-c", str(path), code=1)
    assert "agent.yaml:18:10:" in told
    assert '"type"' in told


def test_a_wrong_passphrase_is_told_as_such(tmp_path):
    path = tmp_path / "agent.yaml"
    run("init", "-c", str(path))
    run("init", "-c", str(path))
    found = CliRunner().invoke(
        app, ["status", "-c", str(path)], env={**ENV, PASSPHRASE: "another-passphrase-2"}
    )
    assert found.exit_code == 1
    assert "key.passphrase" in found.output + found.stderr


def test_a_code_that_begins_with_a_hyphen_is_no_option(running_hub, config_file, monkeypatch):
    path = config_file(agent=f'agent: {{department: dg-degree, hub: "{running_hub.url}"}}\n')
    load = Agent.load
    monkeypatch.setattr(
        Agent, "load", staticmethod(lambda file, **more: load(file, **more, clock=running_hub.clock))
    )
    assert "enrolment.refused" in run("enrol", "-x" + "A" * 20, "-c", str(path), code=1)


@pytest.fixture
def enrolled(running_hub, config_file, fill, monkeypatch) -> Path:
    """A configuration whose keys the hub knows; commands run on the hub's clock."""
    path = config_file(agent=f'agent: {{department: dg-degree, hub: "{running_hub.url}"}}\n')
    load = Agent.load
    monkeypatch.setattr(
        Agent, "load", staticmethod(lambda file, **more: load(file, **more, clock=running_hub.clock))
    )
    run("init", "-c", str(path))
    monkeypatch.setenv(
        CODE, running_hub.code_for("dg-degree")
    )  # as an argument it would be in the shell's history
    run("enrol", "-c", str(path))
    fill(1, 30)
    return path


def test_a_day_at_the_shell(enrolled, legacy, resident):
    at = ("-c", str(enrolled))
    assert run("check", *at).count("✓") == 5
    shown = run("preview", "-n", "2", *at)
    assert resident(1) not in shown
    assert "东莞理工学院" in shown
    assert "30" in run("sync", *at)
    legacy.execute("update xwzs set xm = '张?' where id = 1")
    legacy.execute("delete from xwzs where id > 28")
    run("sync", *at)
    listed = run("quarantine", *at)
    assert "姓名里有 ?" in listed
    assert "✓ 1" in run("quarantine", "--retry", "--officer", "李四", *at)
    assert "degree" in run("status", *at)
    assert "few_rows" in run("held", *at)
    assert "--officer" in run("held", "--release", "1", *at, code=1)
    assert "✓" in run("held", "--release", "1", "--officer", "李四", *at)
    run("held", "--release", "1", "--officer", "李四", *at, code=1)
    run("revoke", "degree", "5", "issued-in-error", *at)
    assert "agent.no_certificate" in run("revoke", "degree", "5", "issued-in-error", *at, code=1)
    assert "agent.no_dataset" in run("sync", "-d", "nothing", *at, code=1)


def test_a_source_that_cannot_be_read_is_told_and_fails(enrolled, legacy):
    legacy.execute("alter table xwzs rename column xm to name")
    told = run("sync", "-c", str(enrolled), code=1)
    assert "source.missing_column" in told
    assert "xm" in told
    assert "✗" in run("check", "-c", str(enrolled), code=1)


def test_rounds_go_on_by_themselves(enrolled, legacy):
    legacy.execute("delete from xwzs where id > 1")
    told = run("run", "--rounds", "1", "-c", str(enrolled))
    assert "read 1 · new 1" in told
    assert "✓ 0" in run("faces", "-c", str(enrolled))  # made already
    assert "✓" not in run("orders", "-c", str(enrolled))


@pytest.mark.parametrize("purpose", ["certificate", "status", "client"])
def test_keys_are_replaced_one_purpose_at_a_time(enrolled, running_hub, legacy, purpose):
    at = ("-c", str(enrolled))
    run("sync", *at)
    run("rotate", purpose, *at)
    running_hub.clock.advance(minutes=3)
    legacy.execute("update xwzs set xxmc = '甲大学' where id = 3")
    with Agent.load(enrolled, passphrase="agent-passphrase-1") as agent:
        assert agent.sync().superseded == 1
        assert quarantine.listed(agent.state) == []
    assert running_hub.standing().count("current/valid") == 30


def test_an_interrupted_rotation_is_taken_up_with_the_same_key(enrolled, running_hub):
    with Agent.load(enrolled, passphrase="agent-passphrase-1") as agent:
        client = agent.desk.client
        there, client.hub = client.hub, "http://127.0.0.1:9"
        client._sleep = lambda _: None
        with pytest.raises(HubError, match=r"hub\.unreachable"):
            agent.rotate("certificate")
        client.hub = there
        waiting = agent.state.get("rotating:certificate")
        assert agent.rotate("certificate") == waiting
        running_hub.clock.advance(minutes=3)
        assert agent.sync().registered == 30
        with pytest.raises(HubError, match=r"agent\.purpose"):
            agent.rotate("anything")
