"""Pull from what departments really have: living data that ages, a nightly file, PostgreSQL; and across two hubs."""

import shutil
import sqlite3
from contextlib import ExitStack, closing

import httpx
import pytest
import sqlalchemy as sa
from parts import free_port
from pulltown import PASSPHRASE, Town, open_ledger
from pydantic import SecretStr
from runninghub import served

from adapters.agent import Agent
from hub.certificates.model import certificates
from hub.config import Settings
from hub.verification.model import pulls as pull_rows
from hub.web import pulling

PERMIT = """\
datasets:
  - id: permit
    type: residence_permit
    source: {url: "sqlite:///permits.db"}
    query: select * from jzz
    key: [bh]
    holders:
      - {role: owner, name: {from: xm}, id_type: {const: "111"}, id_no: {from: sfzh, type: resident_id}}
    claims:
      permits:
        from: jzqj
        type: list
        fields: {kind: {const: residence}, valid_from: {type: date}, valid_until: {type: date}}
      town: {from: zj}
    number: {from: bh}
    as_of: {const: today}
    coverage: {from: 2010-01-01}
    lookup: {by: [{sfzh: id_no, xm: name}, {sfzh: id_no}]}
  - id: household
    type: household_register
    source: {file: hkb.csv, format: csv}
    key: [hh]
    holders:
      - {role: head, name: {from: xm}, id_type: {const: "111"}, id_no: {from: sfzh, type: resident_id}}
    claims:
      origin: {const: elsewhere}
      area_code: {from: qh}
    number: {from: hh}
    lookup: {only: true}
"""


@pytest.fixture
def police(running_hub, config_file, tmp_path, monkeypatch):
    """Public security: residence permits in a database, household registers in a nightly file that is never synced."""
    monkeypatch.setattr(pulling, "REMEMBERED_SECONDS", 0)
    code = running_hub.code_for("dg-ps")
    open_ledger(running_hub)
    line = f'agent: {{department: dg-ps, hub: "{running_hub.url}", faces: false}}\n'
    made = Town(running_hub, tmp_path, config_file(agent=line, source="", datasets=PERMIT))
    with made.agent() as agent:
        agent.enrol(code)
    yield made
    made.verifier.close()


def test_living_data_is_fetched_anew_and_a_file_answers_for_a_day(police, running_hub, tmp_path, resident):
    database = tmp_path / "permits.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("create table jzz (bh, xm, sfzh, jzqj, zj)")
        old = resident(1)[:6] + resident(1)[8:17]
        db.execute("insert into jzz values ('J1', '张三', ?, '2018-01-01:2027-12-31', '南城')", (old,))
    file = tmp_path / "hkb.csv"
    rows = [f"H{n},张{'三四'[n - 1]},{resident(n)},441900" for n in (1, 2)]
    file.write_text("\n".join(["hh,xm,sfzh,qh", *rows, f"H9,李丙,{resident(2)},441900", ""]), encoding="gb18030")
    with police.serving(), police.agent() as agent:
        police.connected()
        both = ("residence_permit", "household_register")
        mine, other = police.consent(resident(1), types=both), police.consent(resident(2), types=both)
        [permit] = police.verify(mine, "residence_permit")  # found by its 15-digit form
        assert (permit["outcome"], permit["claims"]["town"]) == ("accepted", "南城")
        assert police.ended(other, "residence_permit") == ("undecided", "pull.not_covered")  # not all is in it
        [register] = police.verify(mine, "household_register")
        assert register["outcome"] == "accepted"
        assert police.ended(other, "household_register") == ("undecided", "pull.ambiguous")
        # the next day what was made for a day is made anew, and nothing else
        running_hub.clock.advance(days=1)
        file.write_text("\n".join(["hh,xm,sfzh,qh", *rows]), encoding="gb18030")  # half written: no closing line break
        police.connected()
        mine, nobody = police.consent(resident(1), types=both), police.consent(resident(3), types=both)
        assert police.ended(mine, "residence_permit") == ("accepted", "accepted")
        assert [one["outcome"] for one in police.verify(mine, "household_register")] == ["accepted"]
        assert police.ended(nobody, "household_register") == ("undecided", "pull.unavailable")  # half a file
        # too old by the type's own limit: fetched anew, and the old one ends
        running_hub.clock.advance(days=70)
        agent.desk.book.forget_unsent()  # as a sync begins
        agent.desk.book.refresh(force=True)
        police.connected()
        mine = police.consent(resident(1), types=both)
        assert police.ended(mine, "residence_permit") == ("accepted", "accepted")
        states = {(row.type_code, row.state, row.version) for row in police.rows(certificates)}
        assert states == {
            ("residence_permit", "superseded", 1), ("residence_permit", "current", 2),
            ("household_register", "superseded", 1), ("household_register", "current", 2),
        }  # fmt: skip
        # and when the source is away then, what is too old stays too old: this item allows no last answer
        running_hub.clock.advance(days=70)
        agent.desk.book.forget_unsent()  # as a sync begins
        agent.desk.book.refresh(force=True)
        database.unlink()
        police.connected()
        mine = police.consent(resident(1), types=both)
        [one] = police.verify(mine, "residence_permit")
        assert (one["outcome"], one["reason"]) == ("undecided", "validity.outdated")
        assert agent.sync().faults[0][0] == "permit"  # the file is not even looked at by a sync
        assert [said.code for said in police.told if hasattr(said, "code")] == []


class Through(httpx.BaseTransport):
    """A proxy: the public address, another process behind it."""

    def __init__(self, port: int) -> None:
        self.port, self.inner = port, httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(port=self.port)
        return self.inner.handle_request(request)


def test_one_hub_is_asked_another_holds_the_line(
    postgres, postgresql_database, clock, hub_keys, config_file, degree_dataset, tmp_path, resident, monkeypatch
):
    monkeypatch.setattr(pulling, "REMEMBERED_SECONDS", 0)
    ports = [free_port(), free_port()]
    settings = Settings(
        public_url=f"http://127.0.0.1:{ports[0]}", data_dir=tmp_path / "hub",
        database_url=postgresql_database.replace("+asyncpg", ""), key_passphrase=SecretStr("test-only-passphrase"),
    )  # fmt: skip
    shutil.copytree(hub_keys, settings.keyring_dir)
    url = postgres.url("postgres", "postgresql+psycopg")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in (
            "create schema if not exists pulled", "drop table if exists pulled.xwzs",
            "create table pulled.xwzs (id int, xm text, sfzh char(18), xwlx text, xxmc text, bydate text, zsbh text)",
        ):  # fmt: skip
            connection.exec_driver_sql(statement)
        for n in (1, 2, 3):
            connection.execute(
                sa.text("insert into pulled.xwzs values (:n, '张三', :no, '4', '东莞理工学院', '20160705', :z)"),
                {"n": n, "no": resident(n), "z": f"Z{n}"},
            )
    with ExitStack() as stack:
        first, _ = (stack.enter_context(served(settings, clock, port)) for port in ports)
        code = first.code_for("dg-degree")
        open_ledger(first)
        datasets = degree_dataset.replace("from xwzs", "from pulled.xwzs") + "    lookup: {}\n"
        path = config_file(
            source=f'source: {{url: "{url}", allow_writable: true}}', datasets=datasets,
            agent=f'agent: {{department: dg-degree, hub: "{first.url}", faces: false}}\n',
        )  # fmt: skip
        town = Town(first, tmp_path, path)
        stack.callback(lambda: town.verifier.close())
        agent = stack.enter_context(
            closing(Agent.load(path, passphrase=PASSPHRASE, clock=clock, transport=Through(ports[1])))
        )
        agent.enrol(code)
        stack.enter_context(town.serving(agent))
        town.connected()
        consents = [town.consent(resident(n)) for n in (1, 2, 3)]
        threads = [town.at_once(lambda one=one: town.ended(one)) for one in consents]
        for thread, _ in threads:
            thread.join(20)
        ended = [found for _, found in threads]
        assert ended == [[("accepted", "accepted")]] * 3, (town.told, [tuple(row) for row in town.rows(pull_rows)])
        assert {row.outcome for row in town.rows(pull_rows)} == {"registered"}
    engine.dispose()
