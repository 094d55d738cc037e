"""From the legacy database to the hub's door and back: real rows, real signatures, a real hub."""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from adapters import quarantine
from adapters.agent import Agent
from adapters.deciding import commitment
from hub.catalogue import holds
from hub.certificates.model import certificate_sources, certificates
from hub.errors import HubError, NotFound, Unavailable
from hub.ledger.model import leaves


@pytest.fixture
def agent(running_hub, config_file, fill):
    agent_line = f'agent: {{department: dg-degree, hub: "{running_hub.url}", state: state.db, keys: keys}}\n'
    found = Agent.load(
        config_file(agent=agent_line), passphrase="agent-passphrase-1", clock=running_hub.clock
    )
    found.enrol(running_hub.code_for("dg-degree"))
    yield found
    found.close()


def test_rows_become_certificates_once(agent, running_hub, fill):
    fill(1, 30)
    assert all(check.ok for check in agent.check())
    first = agent.sync()
    assert (first.read, first.registered, first.quarantined) == (30, 30, 0)
    second = agent.sync()
    assert (second.unchanged, second.registered, second.superseded) == (30, 0, 0)
    rows = running_hub.certificates()
    assert len(rows) == 30
    assert {row.state for row in rows} == {"current"}
    assert running_hub.standing() == ["current/valid"] * 30


def counted(running_hub) -> Counter:
    return Counter(running_hub.standing())


def change(legacy, id_: int, **cells) -> None:
    for name, cell in cells.items():
        legacy.execute(f"update xwzs set {name} = ? where id = ?", (cell, id_))


def test_a_changed_row_supersedes_and_going_back_is_a_third_certificate(agent, running_hub, fill, legacy):
    fill(1, 3)
    agent.sync()
    change(legacy, 2, xxmc="华南师范大学")
    report = agent.sync()
    assert (report.superseded, report.unchanged) == (1, 2)
    assert counted(running_hub) == {"current/valid": 3, "superseded/invalid": 1}
    change(legacy, 2, xxmc="东莞理工学院")
    assert agent.sync().superseded == 1
    assert counted(running_hub) == {"current/valid": 3, "superseded/invalid": 2}
    assert sorted(row.version for row in running_hub.certificates()) == [1, 1, 1, 2, 3]


def test_many_changes_in_one_batch_chain_their_lists(agent, running_hub, fill, legacy):
    fill(1, 12)
    agent.sync()
    legacy.execute("update xwzs set xwlx = '3'")
    assert agent.sync().superseded == 12
    assert counted(running_hub) == {"current/valid": 12, "superseded/invalid": 12}


def test_a_vanished_row_is_revoked_at_its_second_absence_and_may_come_back(agent, running_hub, fill, legacy):
    fill(1, 40)
    agent.sync()
    legacy.execute("delete from xwzs where id = 7")
    first = agent.sync()
    assert (first.revoked, first.held) == (0, 1)
    assert counted(running_hub) == {"current/valid": 40}
    second = agent.sync()
    assert (second.revoked, second.held) == (1, 0)
    assert counted(running_hub) == {"current/valid": 39, "revoked/invalid": 1}
    fill(7, 7)
    assert agent.sync().registered == 1
    assert counted(running_hub) == {"current/valid": 40, "revoked/invalid": 1}


def test_mass_revocation_waits_for_a_named_officer(agent, running_hub, fill, legacy, config_file):
    fill(1, 100)
    agent.sync()
    legacy.execute("delete from xwzs where id <= 4")  # 96 % of the rows are left, but four are gone at once
    agent.sync()
    assert agent.sync().revoked == 0
    [hold] = quarantine.held(agent.state)
    assert (hold.reason, hold.rows, hold.total) == ("mass_revocation", 4, 100)
    assert len(agent.examples(hold)) == 4
    there, agent.desk.client.hub = agent.desk.client.hub, "http://127.0.0.1:9"
    agent.desk.client._sleep = lambda _: None
    with pytest.raises(Unavailable):
        agent.decide(hold.id, "李四")
    assert quarantine.held(agent.state) == [hold]  # nothing is decided that the hub's ledger does not know
    agent.desk.client.hub = there
    assert agent.decide(hold.id, "李四") is not None
    assert agent.decide(hold.id, "李四") is None
    assert agent.sync().revoked == 4
    assert counted(running_hub) == {"current/valid": 96, "revoked/invalid": 4}
    assert quarantine.held(agent.state) == []
    [made] = agent.decided()  # also after the release was used up
    [leaf] = running_hub.in_hub(lambda tx: tx.all(sa.select(leaves.c.data).where(leaves.c.kind == holds.KIND)))
    told = json.loads(leaf.data)
    assert {name: told[name] for name in ("department", "type", "decision", "reason", "rows", "total")} == {
        "department": "dg-degree", "type": "degree", "decision": "released", "reason": "mass_revocation", "rows": 4,
        "total": 100,
    }  # fmt: skip
    assert "李四" not in leaf.data.decode()
    assert told["official"] == commitment(made.salt, "李四") == made.commitment


def test_bad_rows_are_quarantined_and_keep_their_old_certificate(agent, running_hub, fill, legacy):
    fill(1, 30)
    agent.sync()
    change(legacy, 3, xm="张?")
    change(legacy, 4, xwlx="9")
    change(legacy, 5, bydate="20160230")
    report = agent.sync()
    assert (report.quarantined, report.revoked, report.superseded) == (3, 0, 0)
    codes = {(one.key, one.finding.code) for one in quarantine.listed(agent.state)}
    assert codes == {('["3"]', "lossy_text"), ('["4"]', "code_unknown"), ('["5"]', "date_impossible")}
    assert counted(running_hub) == {"current/valid": 30}
    change(legacy, 3, xm="张䶮")
    report = agent.sync()
    assert (report.superseded, report.quarantined) == (1, 2)
    assert len(quarantine.listed(agent.state)) == 2


def test_a_source_gone_bad_does_not_count_as_a_pass(agent, running_hub, fill, legacy):
    fill(1, 30)
    agent.sync()
    legacy.execute("update xwzs set xm = '?' where id <= 15")
    report = agent.sync()
    assert report.quarantined == 15
    assert [hold.reason for hold in quarantine.held(agent.state)] == ["quarantine_share"]
    assert counted(running_hub) == {"current/valid": 30}


def test_a_source_so_bad_that_reading_stops_is_told(agent, running_hub, fill, legacy):
    fill(1, 260)
    agent.sync()
    legacy.execute("update xwzs set xm = '?' where id <= 150")
    for _ in range(2):
        report = agent.sync()
        assert report.read < 260
        assert (report.revoked, report.superseded) == (0, 0)
    assert [hold.reason for hold in quarantine.held(agent.state)] == ["quarantine_share"]
    legacy.execute("delete from xwzs where id <= 150")
    fill(1, 150)
    agent.sync()
    assert "quarantine_share" not in [hold.reason for hold in quarantine.held(agent.state)]


def test_repeated_keys_are_never_signed(agent, running_hub, fill):
    fill(1, 30)
    fill(5, 5)
    report = agent.sync()
    assert (report.read, report.registered, report.quarantined) == (31, 29, 1)
    assert [one.finding.code for one in quarantine.listed(agent.state)] == ["duplicate_key"]


def test_rows_without_a_key_stop_revocation(agent, fill, legacy):
    fill(1, 30)
    agent.sync()
    legacy.execute("update xwzs set id = null where id = 3")
    for _ in range(3):
        report = agent.sync()
        assert (report.revoked, report.held) == (0, 1)


def test_what_a_person_revoked_stays_revoked_until_the_row_says_something_else(
    agent, running_hub, fill, legacy
):
    fill(1, 5)
    agent.sync()
    agent.revoke("degree", "3", "issued-in-error")
    assert counted(running_hub) == {"current/valid": 4, "revoked/invalid": 1}
    assert (agent.sync().registered, agent.sync().skipped) == (0, 1)
    change(legacy, 3, xxmc="华南师范大学")
    assert agent.sync().registered == 1
    assert counted(running_hub) == {"current/valid": 5, "revoked/invalid": 1}
    with pytest.raises(NotFound):
        agent.revoke("degree", "99", "issued-in-error")


def test_lists_are_signed_anew_before_they_end(agent, running_hub, fill):
    fill(1, 2)
    agent.sync()
    [before] = agent.state.lists()
    running_hub.clock.advance(days=5)
    agent.sync()
    [after] = agent.state.lists()
    assert after.seq == before.seq + 1
    assert after.expires > before.expires
    running_hub.clock.advance(days=5)
    assert counted(running_hub) == {"current/valid": 2}
    running_hub.clock.advance(days=3)
    assert counted(running_hub) == {"current/stale": 2}  # the agent was away: no statement, not "valid"


def test_a_changed_mapping_waits_for_an_officer(running_hub, agent, fill, config_file):
    fill(1, 25)
    agent.sync()
    agent.close()
    path = agent.config.agent.state.parent / "agent.yaml"
    path.write_text(
        path.read_text().replace("school: {from: xxmc}", "school: {from: xxmc}\n      major: {from: zsbh}")
    )
    with Agent.load(path, passphrase="agent-passphrase-1", clock=running_hub.clock) as changed:
        report = changed.sync()
        assert (report.read, report.superseded, report.held) == (0, 0, 25)
        [hold] = quarantine.held(changed.state)
        assert (hold.reason, hold.rows) == ("mapping_changed", 25)
        quarantine.release(changed.state, hold.id, "李四")
        assert changed.sync().superseded == 25  # one release is enough
        assert quarantine.held(changed.state) == []


def test_a_state_from_a_backup_finds_its_lists_again(running_hub, agent, fill, legacy, tmp_path):
    fill(1, 4)
    agent.sync()
    agent.state.db.execute("vacuum into ?", (str(tmp_path / "backup.db"),))
    change(legacy, 1, xxmc="甲大学")
    agent.sync()
    agent.close()
    agent.config.agent.state.unlink()
    for leftover in ("-wal", "-shm"):
        Path(f"{agent.config.agent.state}{leftover}").unlink(missing_ok=True)
    (tmp_path / "backup.db").rename(agent.config.agent.state)
    with Agent.load(
        tmp_path / "agent.yaml", passphrase="agent-passphrase-1", clock=running_hub.clock
    ) as back:
        change(legacy, 2, xxmc="乙大学")
        back.sync()
        assert counted(running_hub) == {"current/valid": 4, "superseded/invalid": 2}
        change(legacy, 1, xxmc="丙大学")  # its certificate is one that this state never signed
        assert back.sync().superseded == 1
        assert counted(running_hub) == {"current/valid": 4, "superseded/invalid": 3}


def test_a_hub_that_is_away_loses_nothing(agent, running_hub, fill, monkeypatch):
    fill(1, 10)
    monkeypatch.setattr("adapters.client.LONGEST_PAUSE", 0.0)
    there, agent.desk.client.hub = agent.desk.client.hub, "http://127.0.0.1:9"
    with pytest.raises(HubError) as caught:
        agent.sync()
    assert caught.value.code == "hub.unreachable"
    agent.desk.client.hub = there
    assert agent.sync().registered == 10


def test_what_the_hub_refuses_is_quarantined_and_not_asked_again(agent, running_hub, fill, legacy):
    fill(1, 30)
    long_name = "张" * 200  # the hub takes names of at most 128 characters; the type's schema does not say so
    change(legacy, 3, xm=long_name)
    report = agent.sync()
    assert (report.registered, report.quarantined) == (29, 1)
    [one] = quarantine.listed(agent.state)
    assert one.finding.code == "refused_by_hub"
    assert one.finding.detail == "certificate.holders_invalid"
    free = agent.state.count_free()
    assert agent.sync().quarantined == 1
    assert agent.state.count_free() == free  # nothing was signed for it again
    change(legacy, 3, xm="张三")
    assert agent.sync().registered == 1
    assert quarantine.listed(agent.state) == []


def test_one_huge_row_does_not_block_the_others(agent, fill, legacy, config_file):
    fill(1, 30)
    path = agent.config.agent.state.parent / "agent.yaml"
    path.write_text(
        path.read_text().replace("school: {from: xxmc}", "school: {from: xxmc, type: list, separator: ','}")
    )
    legacy.execute("update xwzs set xxmc = ? where id = 3", (",".join(["长" * 3000] * 300),))
    findings = [row.findings for row in agent.preview(3)]
    assert findings[2]  # a text longer than any claim is told before signing
    assert agent.sync().quarantined == 1
    assert agent.state.waiting() == []


def test_lists_signed_by_a_retired_key_are_still_ours(agent, running_hub, fill, legacy):
    fill(1, 3)
    agent.sync()
    [record] = [one for one in agent.keyring.inventory() if one.purpose == "status"]
    agent.rotate("status")
    running_hub.clock.advance(minutes=3)
    agent.keyring.retire(record.kid, running_hub.clock())
    agent.desk.book.adopt()
    change(legacy, 1, xxmc="甲大学")
    assert agent.sync().superseded == 1


def test_without_faces_no_token_stays_in_the_state(running_hub, config_file, fill):
    fill(1, 3)
    line = f'agent: {{department: dg-degree, hub: "{running_hub.url}", faces: false}}\n'
    with Agent.load(
        config_file(agent=line), passphrase="agent-passphrase-1", clock=running_hub.clock
    ) as quiet:
        quiet.enrol(running_hub.code_for("dg-degree"))
        assert quiet.sync().registered == 3
        assert quiet.state.execute("select count(*) from unprinted") == [(0,)]


def test_preview_and_status_show_nothing_personal(agent, fill, resident):
    fill(1, 3)
    rows = agent.preview(2)
    assert len(rows) == 2
    text = repr(rows)
    assert resident(1) not in text
    assert "张一" not in text
    assert "东莞理工学院" in text
    agent.sync()
    status = agent.status()
    assert status.datasets[0].current == 3
    assert status.waiting == 0


def test_no_key_of_the_source_reaches_the_hub(agent, running_hub, fill):
    fill(1, 3)
    agent.sync()

    async def work(tx):
        return await tx.all(sa.select(certificate_sources))

    for row in running_hub.in_hub(work):
        assert len(row.ref) == 43
        assert row.dataset == "degree"


# --- killed anywhere ---


class Killed(BaseException):
    """Stands for the process ending here: nothing after it runs, and nothing catches it."""


def final(running_hub) -> list[tuple[str, str]]:
    async def work(tx):
        columns = (certificate_sources.c.ref, certificate_sources.c.generation, certificates.c.state)
        joined = certificate_sources.join(
            certificates, certificates.c.id == certificate_sources.c.certificate_id
        )
        return sorted(tuple(row) for row in await tx.all(sa.select(*columns).select_from(joined)))

    return running_hub.in_hub(work)


def reopened(agent: Agent, running_hub) -> Agent:
    agent.close()
    path = agent.config.agent.state.parent / "agent.yaml"
    return Agent.load(path, passphrase="agent-passphrase-1", clock=running_hub.clock)


def disturbed(legacy, agent, fill) -> None:
    """Everything that can happen to a row, waiting for the next sync."""
    fill(1, 6)
    agent.sync()
    legacy.execute("update xwzs set xxmc = '甲大学' where id in (1, 2)")
    legacy.execute("delete from xwzs where id = 6")
    agent.sync()
    fill(7, 9)
    legacy.execute("update xwzs set xxmc = '乙大学' where id in (2, 3)")


def settled(running_hub, agent) -> None:
    """What must be at the hub after `disturbed`, however often the agent died on the way.

    How many complete passes the dying ones were is chance, and the vanished row needs two.
    """
    for _ in range(2):
        agent.sync()
    report = agent.sync()
    assert (report.registered, report.superseded, report.revoked) == (0, 0, 0)
    generations = Counter((generation, state) for _, generation, state in final(running_hub))
    assert generations == {
        (1, "current"): 5, (1, "superseded"): 3, (2, "current"): 2, (2, "superseded"): 1, (3, "current"): 1,
        (1, "revoked"): 1,
    }  # fmt: skip
    assert counted(running_hub) == {"current/valid": 8, "superseded/invalid": 4, "revoked/invalid": 1}
    assert agent.state.waiting() == []


@pytest.mark.parametrize("order", ["one further each time", "anywhere", "anywhere else"])
def test_a_sync_killed_at_any_commit_or_call_ends_the_same(agent, running_hub, fill, legacy, rng, order):
    """Every commit of the state file and every call to the hub is a place to die: before it, and after it."""
    disturbed(legacy, agent, fill)
    for run in range(80):
        step = run if order.startswith("one") else rng.randrange(48)
        if not dies_at(agent, step):
            break
        agent = reopened(agent, running_hub)
    else:
        pytest.fail("the sync never came to its end")
    settled(running_hub, agent)
    agent.close()


def test_a_process_killed_for_real_ends_the_same(agent, running_hub, fill, legacy, rng):
    disturbed(legacy, agent, fill)
    path = agent.config.agent.state.parent / "agent.yaml"
    script = (
        "from datetime import UTC, datetime; from adapters.agent import Agent\n"
        f"agent = Agent.load({str(path)!r}, passphrase='agent-passphrase-1',"
        " clock=lambda: datetime(2026, 11, 23, 1, 30, tzinfo=UTC))\n"
        "print('ready', flush=True)\n"
        "agent.sync()\n"
    )
    for _ in range(4):
        child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.02, 0.5))
        child.kill()
        child.wait()
    agent.sync()
    settled(running_hub, agent)


def dies_at(agent: Agent, step: int) -> bool:
    """Sync, and die at the `step`th commit or answered call; each run gets one step further. False when it ended."""
    left = step

    def tick() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    send = agent.desk.client._http.request
    commit = agent.state.db

    class Dying:
        """The connection, dying after its Nth commit."""

        def __getattr__(self, name):
            return getattr(commit, name)

        def execute(self, sql, *values):
            found = commit.execute(sql, *values)
            if sql == "commit":
                tick()
            return found

    def request(*args, **kwargs):
        tick()
        answer = send(*args, **kwargs)
        tick()
        return answer

    agent.desk.client._http.request = request
    agent.state.db = Dying()
    try:
        agent.sync()
    except Killed:
        return True
    finally:
        agent.state.db = commit
        agent.desk.client._http.request = send
    return False
