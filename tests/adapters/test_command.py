"""`yimen-agent` for a person at a shell: it says what to do next, shows nothing personal, and never a traceback."""

import datetime
import json
import re
from pathlib import Path

import openpyxl
import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from adapters import config, quarantine, shell, yamltree
from adapters.agent import Agent
from adapters.command import CODE, PASSPHRASE, app
from hub.errors import HubError

ENV = {PASSPHRASE: "agent-passphrase-1", "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}


def run(*arguments: str, code: int = 0) -> str:
    shell.console.width = 200  # it took the width of whatever imported it first
    found = CliRunner().invoke(app, list(arguments), env=ENV)
    assert found.exit_code == code, (found.output, found.exception)
    assert "Traceback" not in found.output
    return found.output + (found.stderr if found.stderr not in found.output else "")


def told_as_json(*arguments: str, code: int = 0):
    """The JSON that a command prints; the hub of the test logs into the same stream."""
    lines = run(*arguments, "--json", code=code).splitlines()
    return json.loads("\n".join(line for line in lines if not re.match(r"\d{4}-\d\d-\d\d ", line)))


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
    assert "agent.yaml:23:10:" in told
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
    assert "学历层次 Education level: 本科" in shown  # as the citizen will read it
    assert "30" in run("sync", *at)
    legacy.execute("update xwzs set xm = '张?' where id = 1")
    legacy.execute("delete from xwzs where id > 28")
    run("sync", *at, code=3)  # something waits for a person
    listed = run("quarantine", *at)
    assert "姓名里有 ?" in listed
    assert "✓ 1" in run("quarantine", "--retry", "--officer", "李四", *at)
    assert "degree" in run("status", *at)
    assert "few_rows" in run("held", *at)
    assert told_as_json("held", *at)[0]["reason"] == "few_rows"
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
    legacy.execute("drop table xwzs")
    told = run("sync", "-c", str(enrolled), code=1)  # time does not mend it: no 75
    assert "source.no_table" in told
    assert "表改名或被删了吗" in told


def test_rounds_go_on_by_themselves(enrolled, legacy):
    legacy.execute("delete from xwzs where id > 1")
    told = run("serve", "--rounds", "1", "-c", str(enrolled))
    assert "read 1 · new 1" in told
    assert "✓ 0" in run("faces", "-c", str(enrolled))  # made already
    assert told_as_json("serve", "--rounds", "1", "-c", str(enrolled))["unchanged"] == 1
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


def test_every_answer_is_also_there_for_programs(enrolled, legacy):
    at = ("-c", str(enrolled))
    seen = told_as_json("sync", "--dry-run", *at)
    assert (seen[0]["new"], seen[0]["would_hold"]) == (30, [])
    assert told_as_json("status", *at)["datasets"][0]["current"] == 0
    assert told_as_json("sync", *at)["registered"] == 30
    assert told_as_json("reconcile", *at)["unchanged"] == 30
    assert {one["name"] for one in told_as_json("doctor", *at, code=1)} >= {"clock", "disk", "outbox", "hub"}
    assert told_as_json("preview", "-n", "1", *at)[0]["claims"]["school"] == "东莞理工学院"
    legacy.execute("update xwzs set xm = '张?' where id = 1")
    assert told_as_json("sync", *at)["quarantined"] == 1
    [row] = told_as_json("quarantine", *at)
    assert (row["finding"]["code"], row["finding"]["detail"]) == ("lossy_text", "汉?")
    assert told_as_json("sync", "-d", "nothing", *at, code=1)["error"]["code"] == "agent.no_dataset"
    assert len(told_as_json("init", *at)["keys"]) == 3
    assert told_as_json("orders", *at) == []
    assert told_as_json("faces", "--dry-run", *at)["left"] == 30
    assert told_as_json("revoke", "degree", "5", "test", "--dry-run", *at)["dry_run"]
    assert told_as_json("held", "--past", *at) == []


def test_dry_runs_change_nothing(enrolled, running_hub, legacy):
    at = ("--dry-run", "-c", str(enrolled))
    run("sync", *at)
    assert running_hub.certificates() == []
    run("sync", "-c", str(enrolled))
    legacy.execute("delete from xwzs")
    assert "mass_revocation" in run("reconcile", *at)
    run("revoke", "degree", "5", "issued-in-error", *at)
    run("rotate", "status", *at)
    run("orders", *at)
    run("enrol", *at)  # a code is good once: nothing was sent
    assert "mass_revocation" in run("serve", *at)
    assert "样例" in run("init", "--dry-run", "-c", str(enrolled.with_name("none.yaml")))
    assert not enrolled.with_name("none.yaml").exists()
    assert "30" in run("faces", *at)
    assert running_hub.standing() == ["current/valid"] * 30
    assert run("held", "-c", str(enrolled)).count("degree") == 0


def test_a_hub_that_is_away_is_told_by_its_own_exit_code(enrolled, monkeypatch):
    monkeypatch.setattr("adapters.client.LONGEST_PAUSE", 0.0)
    enrolled.write_text(re.sub(r'hub: "[^"]+"', 'hub: "http://127.0.0.1:9"', enrolled.read_text()))
    assert "hub.unreachable" in run("sync", "-c", str(enrolled), code=75)


def test_quarantined_rows_go_out_to_excel_and_come_back_mended(enrolled, running_hub, legacy, tmp_path, resident):
    at = ("-c", str(enrolled))
    run("sync", *at)
    legacy.execute("update xwzs set xm = '张?' where id in (1, 2, 3)")
    legacy.execute("update xwzs set bydate = '20160230' where id = 4")
    run("sync", *at)
    book = tmp_path / "mend.xlsx"
    assert "4 行" in run("quarantine", "-d", "degree", "--export", str(book), *at)
    assert book.stat().st_mode & 0o077 == 0
    sheet = openpyxl.load_workbook(book)
    table = sheet.active
    head = [cell.value for cell in table[1]]
    name, day, number = head.index("xm") + 1, head.index("bydate") + 1, head.index("sfzh") + 1
    by_key = {table.cell(line, 2).value: line for line in range(2, 6)}
    assert table.cell(by_key['["1"]'], number).value == resident(1)  # 18 digits, whole
    table.cell(by_key['["1"]'], name).value = "张䶮"
    table.cell(by_key['["2"]'], name).value = "=张㑇"  # somebody's slip: no formula, but no name either
    table.cell(by_key['["3"]'], name).value = "张三"
    table.cell(by_key['["4"]'], day).value = datetime.date(2016, 2, 29)  # Excel makes dates of what is typed
    sheet.save(book)
    legacy.execute("update xwzs set xm = '张叁' where id = 3")  # mended at the source meanwhile
    assert "--officer" in run("quarantine", "-d", "degree", "--mend", str(book), *at, code=1)
    told = run("quarantine", "-d", "degree", "--mend", str(book), "--officer", "李四", *at)
    assert '✗ ["3"]' in told
    assert "采用 taken 3" in told
    before = len(running_hub.certificates())
    run("sync", *at)
    assert len(running_hub.certificates()) == before + 3  # 1, 3 (by the source) and 4
    with Agent.load(enrolled, passphrase="agent-passphrase-1") as agent:
        assert {one.key for one in quarantine.listed(agent.state)} == {'["2"]'}
        assert agent.sync().unchanged == 29  # the corrections go on counting
        legacy.execute("update xwzs set xm = '张彦' where id = 1")  # now the source itself says something else
        assert agent.sync().superseded == 1
    wrong = ("--mend", str(enrolled), "--officer", "李四")
    assert "agent.workbook" in run("quarantine", "-d", "degree", *wrong, *at, code=1)


def test_the_published_schema_says_what_the_reader_accepts(monkeypatch, tmp_path):
    schema = json.loads(run("schema"))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    house = Path(config.__file__).parent
    files = [house / "sample.yaml", *(house / "demo").rglob("*.yaml")]
    assert len(files) > 10
    known: dict[str, set[str]] = {}
    members = yamltree.Value.members

    def record(self, *names, required=()):
        known.setdefault(re.sub(r"\[\d+\]|(claims|fields)\.\w+", r"\1", self.path), set()).update(names)
        return members(self, *names, required=required)

    monkeypatch.setattr(yamltree.Value, "members", record)
    for file in files:
        config.load(file, environment={"YIMEN_HUB": "http://hub.test"})
        assert not [*validator.iter_errors(yaml.safe_load(file.read_text(encoding="utf-8")))], file
    everything = tmp_path / "all.yaml"
    everything.write_text(EVERYTHING, encoding="utf-8")
    config.load(everything)
    assert not [*validator.iter_errors(yaml.safe_load(EVERYTHING))]
    defs = schema["$defs"]
    dataset = defs["dataset"]["properties"]
    places = {
        "": schema, "agent": schema["properties"]["agent"], "datasets": defs["dataset"],
        "datasets.holders": dataset["holders"]["items"], "datasets.valid": dataset["valid"],
        "datasets.cursor": dataset["cursor"], "datasets.coverage": dataset["coverage"],
        "datasets.coverage.gaps": dataset["coverage"]["properties"]["gaps"], "datasets.reconcile": dataset["reconcile"],
        "datasets.reconcile.max_revoke": dataset["reconcile"]["properties"]["max_revoke"],
        "datasets.number": defs["field"],
    }  # fmt: skip
    for place, described in places.items():
        assert known[place] == set(described["properties"]), place
    offered = set().union(*(one["properties"] for one in defs["source"]["oneOf"]))
    assert known["source"] | known["datasets.source"] == offered
    assert [*validator.iter_errors({"agent": {"department": "dg-x", "hub": "h", "typ": 1}, "datasets": []})]


EVERYTHING = """\
agent: {department: dg-degree, hub: "http://hub.test"}
source: {file: a.txt, format: fixed, fields: [{name: XH, width: 3}, {name: XM}]}
max_order_rows: 10
datasets:
  - id: one
    type: degree
    source: {url: "sqlite:///x.db"}
    query: select 1
    key: [id]
    cursor: {column: gx, lag: 15m, timezone: Asia/Shanghai}
    reconcile: {every: 12h, max_revoke: {count: 1, percent: 1}}
    coverage: {from: "1998-01-01", gaps: {zh: "纸质", en: paper}}
    holders: [{role: owner, name: {from: a}, id_type: {const: "111"}, id_no: {from: b}}]
    claims: {list: {from: c, type: list, fields: {a: {type: text}}}}
    number: {from: n}
    valid: {from: {from: d, type: date}}
  - id: two
    type: degree
    source: {rest: "https://x.test/rows", rows: data, total: total}
    key: [id]
    holders: [{role: owner, name: {from: a}, id_type: {const: "111"}, id_no: {from: b}}]
    claims: {}
  - id: three
    type: degree
    source: {soap: "https://x.test/ws", rows: row, body: "<a>{page}</a>"}
    key: [id]
    holders: [{role: owner, name: {from: a}, id_type: {const: "111"}, id_no: {from: b}}]
    claims: {}
"""
