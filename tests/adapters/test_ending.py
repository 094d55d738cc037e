"""A night of changes: hundreds of certificates end with one new list, and nothing that goes wrong ends one too many."""

from collections import Counter

import pytest
import sqlalchemy as sa

from adapters import ending, quarantine
from adapters.agent import Agent
from adapters.deliver import deliver
from hub.certificates.model import status_list_tokens
from hub.errors import Conflict, Malformed, Unavailable, Unprocessable


@pytest.fixture
def agent(running_hub, config_file):
    line = f'agent: {{department: dg-degree, hub: "{running_hub.url}", state: state.db, keys: keys, faces: false}}\n'
    path = config_file(agent=line)
    path.write_text(path.read_text() + "    reconcile: {max_changed_percent: 100, max_revoke: {count: 90, percent: 90},"
                    " min_rows_percent: 1}\n")  # fmt: skip
    found = opened(path, running_hub)
    found.enrol(running_hub.code_for("dg-degree"))
    yield found
    found.close()


def opened(path, running_hub) -> Agent:
    return Agent.load(path, passphrase="agent-passphrase-1", clock=running_hub.clock)


class Killed(BaseException):
    """Stands for the process ending here."""


def counted(running_hub) -> Counter:
    return Counter(running_hub.standing())


def lists(running_hub) -> int:
    async def work(tx):
        return await tx.value(sa.select(sa.func.count()).select_from(status_list_tokens))

    return int(running_hub.in_hub(work))


class Calls:
    """Every step that goes to the hub; `before` and `after` are called with its number from 0."""

    def __init__(self, agent: Agent) -> None:
        self.sent: list[tuple[list[str], list]] = []
        self.before = self.after = lambda number: None
        self.real = agent.desk.client.change_many
        agent.desk.client.change_many = self

    def __call__(self, tokens, endings):
        number = len(self.sent)
        self.sent.append((list(tokens), list(endings)))
        self.before(number)
        found = self.real(tokens, endings)
        self.after(number)
        return found


def moved(legacy, *ids: int, to: str = "甲大学") -> None:
    legacy.execute(f"update xwzs set xxmc = ? where id in ({', '.join(map(str, ids))})", (to,))


def test_a_night_of_changes_is_one_step_and_one_list(agent, running_hub, fill, legacy, monkeypatch):
    fill(1, 40)
    agent.sync()
    calls, before = Calls(agent), lists(running_hub)
    moved(legacy, *range(1, 31))
    legacy.execute("delete from xwzs where id > 30")
    assert agent.sync().superseded == 30
    assert agent.sync().revoked == 10
    assert [len(endings) for _, endings in calls.sent] == [30, 10]
    assert lists(running_hub) == before + 2
    assert counted(running_hub) == {"current/valid": 30, "superseded/invalid": 30, "revoked/invalid": 10}

    calls.sent.clear()
    moved(legacy, *range(1, 8), to="乙大学")
    monkeypatch.setattr(ending, "MOST", 3)
    assert agent.sync().superseded == 7
    assert [len(endings) for _, endings in calls.sent] == [3, 3, 1]
    monkeypatch.setattr(ending, "MOST_BYTES", 1)
    moved(legacy, 1, 2, to="丙大学")
    assert agent.sync().superseded == 2
    assert [len(endings) for _, endings in calls.sent][3:] == [1, 1]


def test_one_refused_row_among_many_does_not_stop_the_others(agent, running_hub, fill, legacy):
    fill(1, 12)
    agent.sync()
    calls = Calls(agent)
    moved(legacy, *range(1, 11))
    legacy.execute("update xwzs set xm = ? where id in (3, 7)", ("张" * 200,))  # longer than the hub takes a name
    report = agent.sync()
    assert (report.superseded, report.quarantined) == (8, 2)
    assert [len(endings) for _, endings in calls.sent] == [10, 8]
    assert {one.finding.detail for one in quarantine.listed(agent.state)} == {"certificate.holders_invalid"}
    assert counted(running_hub) == {"current/valid": 12, "superseded/invalid": 8}
    assert agent.state.waiting() == []
    assert agent.state.step() is None


def test_a_list_that_moved_is_signed_again_on_top(agent, running_hub, fill, legacy):
    fill(1, 5)
    agent.sync()
    calls = Calls(agent)
    calls.before = lambda number: number == 0 and agent.desk.book.refresh(force=True)
    moved(legacy, 1, 2, 3)
    assert agent.sync().superseded == 3
    assert len(calls.sent) == 2
    assert calls.sent[0][0] != calls.sent[1][0]
    assert counted(running_hub) == {"current/valid": 5, "superseded/invalid": 3}

    calls.sent.clear()
    calls.before = lambda number: agent.desk.book.refresh(force=True)
    moved(legacy, 1, 2, to="乙大学")
    with pytest.raises(Conflict) as caught:
        agent.sync()
    assert (caught.value.code, len(calls.sent)) == ("agent.stuck", 4)
    calls.before = lambda number: None
    agent.sync()
    assert counted(running_hub) == {"current/valid": 5, "superseded/invalid": 5}


def test_what_was_ended_by_other_means_stops_nobody(agent, running_hub, fill, legacy):
    """Somebody else of this department revoked two certificates; this agent does not know."""
    fill(1, 8)
    agent.sync()
    entries = {one.key: one for one in agent.state.entries("degree")}
    for key in ('["1"]', '["8"]'):
        one = entries[key]
        token = agent.desk.book.ending(one.uri, [one.idx])
        agent.desk.client.change_status(one.certificate_id, "revoke", "fraud", token)
        agent.desk.book.acked(token)
    agent.desk.book.forget_unsent()
    moved(legacy, 1, 2, 3)
    legacy.execute("delete from xwzs where id in (7, 8)")
    report = agent.sync()
    assert (report.superseded, report.registered, report.quarantined) == (2, 1, 0)
    assert agent.sync().revoked == 1
    assert counted(running_hub) == {"current/valid": 6, "superseded/invalid": 2, "revoked/invalid": 3}
    assert agent.sync().unchanged == 6


def test_a_step_is_sent_again_byte_for_byte(agent, running_hub, fill, legacy):
    fill(1, 6)
    agent.sync()
    legacy.execute("delete from xwzs where id = 6")
    path = agent.config.agent.state.parent / "agent.yaml"

    def dies(number: int) -> None:
        raise Killed

    for moment, word in (("before", "甲大学"), ("after", "乙大学")):
        moved(legacy, 1, 2, 3, to=word)
        calls = Calls(agent)
        setattr(calls, moment, dies)
        with pytest.raises(Killed):
            agent.sync()
        agent.close()
        agent = opened(path, running_hub)
        echo = Calls(agent)
        agent.sync()
        assert echo.sent[0] == calls.sent[0], moment
        assert agent.state.waiting() == []
    agent.sync()
    assert counted(running_hub) == {"current/valid": 5, "superseded/invalid": 6, "revoked/invalid": 1}
    agent.close()


def test_trouble_with_a_step_leaves_it_to_the_next_sync(agent, running_hub, fill, legacy):
    fill(1, 4)
    agent.sync()
    moved(legacy, 1, 2)
    calls = Calls(agent)

    def fails(fault: BaseException) -> None:
        def before(number: int) -> None:
            raise fault

        calls.before = before
        with pytest.raises((Unavailable, Killed)):
            agent.sync()

    fails(Unavailable("store.try_again", "", ""))
    kept = agent.state.step()
    assert kept is not None
    assert agent.state.execute("select attempts, last_error from outbox") == [(1, "store.try_again")] * 2
    for said in ([], [{"change": 3, "kind": "conflict", "code": "x"}], [{"change": 1, "kind": "odd", "code": "x"}], 7):
        fails(Unprocessable("changes.refused", "", "", refused=said))  # no answer of the contract
    assert [tokens for tokens, _ in calls.sent] == [kept[0]] * 5
    calls.before, send = (lambda number: None), agent.desk.client._send

    def without_the_door(*_: object) -> None:
        raise Malformed("http.method", "", "")  # as a hub of before answers

    agent.desk.client._send = without_the_door
    with pytest.raises(Unavailable, match="too_old"):
        deliver(agent.desk)
    agent.desk.client._send = send
    assert agent.state.step() == kept
    # Half a step, as after a hand in the state file; and lists that an older agent signed for single promises.
    agent.state.execute("delete from step_part where place = 1")
    agent.state.execute("update outbox set list_token = 'as an older agent left it'")
    assert agent.state.step() is not None
    agent.state.execute("delete from step_part")
    calls.before = lambda number: None
    assert agent.sync().superseded == 2
    assert counted(running_hub) == {"current/valid": 4, "superseded/invalid": 2}
