"""Pull: a real hub, a real agent over HTTP beside its own database, a citizen's consent; every way that it can end."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from pulltown import Town, open_ledger

from adapters import guard, pulls
from adapters.consent import Judge
from adapters.guard import Guard
from adapters.state import State
from hub.access.model import accesses
from hub.actor import Actor, ActorKind
from hub.catalogue.sources import pull_sources
from hub.certificates.model import certificates
from hub.consent.withdraw import withdraw
from hub.errors import Conflict, HubError, Malformed, NotFound, Unavailable, Unprocessable
from hub.formats import jws, pullorder
from hub.registry import subjects
from hub.verification import pull
from hub.verification.model import pulls as pull_rows
from hub.web import pulling
from keys.signer import generate

DATES = """
    valid: {from: {from: bydate, type: date, formats: ["%Y%m%d"], null_values: ["00000000"]}}
    lookup: {rate: 1000}
"""


@pytest.fixture
def town(running_hub, config_file, legacy, degree_dataset, tmp_path, fill, monkeypatch):
    """Nine people with a degree in the department's database; nothing is registered, nothing synced."""
    monkeypatch.setattr(pulling, "REMEMBERED_SECONDS", 0)
    fill(1, 9)
    code = running_hub.code_for("dg-degree")  # the department is there before its rights are published
    open_ledger(running_hub)
    line = f'agent: {{department: dg-degree, hub: "{running_hub.url}", faces: false}}\n'
    path = config_file(agent=line, datasets=degree_dataset.rstrip() + DATES)
    made = Town(running_hub, tmp_path, path)
    with made.agent() as agent:
        agent.enrol(code)
    yield made
    made.verifier.close()


def test_every_way_that_a_pull_can_end(town, running_hub, legacy, resident, monkeypatch):
    monkeypatch.setattr(guard, "REST", 0.1)
    legacy.execute("insert into xwzs select 40, xm, sfzh, xwlx, xxmc, bydate, zsbh || 'b' from xwzs where id = 4")
    legacy.execute("update xwzs set xwlx = '9' where id = 5")
    legacy.execute("update xwzs set bydate = '20270101' where id = 6")
    legacy.execute("update xwzs set sfzh = lower(sfzh) where id = 2")
    wanted = {
        77: ("no_record", "pull.not_found"), 4: ("undecided", "pull.ambiguous"), 5: ("undecided", "pull.unusable"),
        6: ("no_record", "pull.not_current"), 7: ("undecided", "pull.name_differs"),
        2: ("accepted", "accepted"), 3: ("accepted", "accepted"),
    }  # fmt: skip
    consents = {n: town.consent(resident(n)) for n in wanted}
    seven = town.subject(resident(7))
    running_hub.in_hub(
        lambda tx: subjects.remember_face(tx, subject_id=seven, name="王大", id_type="111", id_no=resident(7))
    )
    assert town.ended(consents[77]) == ("no_record", "certificate.none_registered")  # nobody was ever at the line
    with town.serving():
        town.connected()
        assert {n: town.ended(consents[n]) for n in wanted} == wanted
        assert town.ended(consents[3]) == ("accepted", "accepted")  # held by now: nothing is pulled
        page = town.gathers(resident(4), consents[4])  # the citizen, on their own page
        assert "发证部门查到多条记录，须人工核对" in page
        database = Path(str(running_hub.settings.data_dir)).parent / "legacy.db"
        database.rename(database.with_suffix(".gone"))
        for n in (8, 9, 1):
            consents[n] = town.consent(resident(n))
            assert town.ended(consents[n]) == ("undecided", "pull.unavailable")
        [source] = running_hub.in_hub(pull_sources).values()
        assert source.resting  # three in a row: left alone
        asked = len(town.rows(pull_rows))
        assert town.ended(consents[8]) == ("undecided", "pull.unavailable")
        assert len(town.rows(pull_rows)) == asked  # and nobody was asked
        database.with_suffix(".gone").rename(database)
        running_hub.clock.advance(seconds=31)  # half open: one may try
        town.connected()
        assert town.ended(consents[9]) == ("accepted", "accepted")
        [source] = running_hub.in_hub(pull_sources).values()
        assert not source.resting
    assert town.ended(consents[1]) == ("undecided", "pull.unavailable")  # the agent has left: that is no "no record"
    looks = [(row.outcome, row.reason) for row in _looks_at(town, resident(3))]
    assert looks == [("undecided", "pull.asked"), ("accepted", "accepted"), ("accepted", "accepted")]
    ends = {row.outcome for row in town.rows(pull_rows)}
    assert ends == {"registered", "not_found", "ambiguous", "unusable", "not_current", "name_differs", "unavailable"}
    reasons = {said.reason for said in town.told if getattr(said, "outcome", "") == "unavailable"}
    assert "source.no_database" in reasons
    with town.agent() as agent:
        assert [row[0] for row in agent.state.execute("select code from quarantine")] == ["code_unknown"]
        report = agent.sync()
    assert (report.registered, report.unchanged, report.superseded) == (5, 3, 0)  # nothing twice
    assert len(town.rows(certificates)) == 8
    assert not any(resident(n) in str(said) for said in town.told for n in wanted)


def _looks_at(town, number):
    subject = town.subject(number)
    return sorted(
        (row for row in town.rows(accesses) if row.subject_id == subject), key=lambda row: row.subject_seq
    )


@pytest.fixture
def order(town, resident):
    """Let a verifier ask; gives (agent, order token, the thread and its verdicts). Nobody answers by itself."""
    agent = town.agent()
    agent.poll.pull_orders(["degree"], wait=0, room=1)  # it is at the line

    def take(consent):
        thread, found = town.at_once(lambda: town.verify(consent))
        [token], _ = agent.poll.pull_orders(["degree"], wait=5, room=1)
        return token, thread, found

    yield agent, take
    agent.close()


def _answer(agent, token, **changed):
    """As the line does it."""
    guards = {one.id: Guard(one.lookup) for one in agent.config.datasets}
    desk = replace(agent.desk, **changed)
    judge = Judge(desk.client, desk.me.department, desk.me.log_key, desk.clock)
    return pulls.answer(desk, agent.config.datasets, judge, lambda one: guards[one.id].entered(), token)


def test_the_agent_checks_the_consent_itself_and_answers_once(
    town, running_hub, resident, order, legacy, monkeypatch
):
    monkeypatch.setattr(pull, "WAIT_SECONDS", 4)
    agent, take = order
    consent = town.consent(resident(3))
    other = town.consent(resident(4))
    token, thread, found = take(consent)
    key, clock = running_hub.hub.signer("token"), running_hub.clock
    real = pullorder.read_order(
        token, issuer=running_hub.url, department="dg-degree", key=key.public, now=int(clock().timestamp())
    )
    assert real.subject == pullorder.Subject("111", resident(3))

    def forged(signer=key, **changed):
        said = jws.split(token).payload
        return jws.sign({**said, "jti": "another-" + str(len(changed)), **changed}, signer, typ=pullorder.TYP)

    def said(order_token):
        answered = _answer(agent, order_token)
        return answered.outcome, answered.reason

    def is_none(order_token):
        with pytest.raises((Malformed, Unprocessable)):
            _answer(agent, order_token)

    legacy.execute("alter table xwzs rename to away")  # a look-up now would fail loudly: none is made
    payload = jws.split(token).payload
    # what is no order of ours: nothing is answered
    is_none(forged(signer=generate()))
    is_none(forged(aud=f"{running_hub.url}/dept/dg-edu"))
    is_none(forged(iss="https://hub.example"))
    is_none(forged(exp=payload["iat"] + 3600))
    is_none(forged(iat=payload["iat"] - 300, exp=payload["iat"] - 240))
    is_none(jws.sign(payload, key, typ="at+jwt"))
    # what the consent does not say: refused, also when the hub itself signed it
    person = {"id_type": "111", "id_no": resident(5), "name": None}
    refused = {
        "pull.other_person": {"subject": person},
        "pull.widened": {"fields": [*payload["fields"], ["certificate_identifier"]]},
        "pull.other_grant": {"verifier": "dg-si"},
        "pull.not_in_ledger": {"evidence": {**payload["evidence"], "body": payload["evidence"]["body"] + " "}},
    }
    _, other_thread, _ = take(other)
    for number, (code, changed) in enumerate(refused.items()):
        assert said(forged(**changed, **{"x" * (number + 1): 1})) == ("refused", "pull.unknown"), code
        with pytest.raises(HubError) as why:
            Judge(agent.desk.client, "dg-degree", None, clock).consent(
                agent.state, _read(running_hub, forged(**changed))
            )
        assert why.value.code == code
    widened = forged(type="qualification")
    with pytest.raises(HubError, match=r"pull\.widened"):
        Judge(agent.desk.client, "dg-degree", None, clock).consent(agent.state, _read(running_hub, widened))
    judge = Judge(agent.desk.client, "dg-degree", str(_another_ledger()), clock)
    with pytest.raises(HubError, match=r"pull\.other_ledger"):
        judge.consent(agent.state, real)
    legacy.execute("alter table away rename to xwzs")
    # the real one is answered, once, also after a restart
    assert said(token) == ("registered", "")
    thread.join(10)
    assert found[0][0]["outcome"] == "accepted"
    with town.agent() as again:
        replayed = _answer(again, token)
        assert (replayed.outcome, replayed.reason) == ("", "pull.replayed")
        with pytest.raises(Conflict, match=r"pull\.ended"):
            again.desk.client.answer_pull(real.jti, "not_found")
    with pytest.raises(NotFound, match=r"pull\.unknown"):
        town.verifier.answer_pull(real.jti, "not_found")  # another department's
    other_thread.join(15)


def _another_ledger():
    from hub.ledger.head import log_key

    return log_key("other.example/ledger", generate("EdDSA"))


def _read(running_hub, token):
    return pullorder.read_order(
        token, issuer=running_hub.url, department="dg-degree", key=running_hub.hub.signer("token").public,
        now=int(running_hub.clock().timestamp()),
    )  # fmt: skip


def test_withdrawn_in_between_another_persons_certificate_and_a_killed_agent(
    town, running_hub, resident, order
):
    agent, take = order
    # withdrawn between order and answer: nothing is registered, nothing is shown
    consent = town.consent(resident(3))
    token, thread, found = take(consent)
    citizen = Actor(ActorKind.CITIZEN, subject_id=town.subject(resident(3)))
    running_hub.in_hub(lambda tx: withdraw(tx, grant=consent.grants[0]), citizen)
    assert _answer(agent, token).reason == "pull.withdrawn"
    agent.desk.client.answer_pull(_read(running_hub, token).jti, "refused", reason="pull.withdrawn")
    thread.join(15)
    [one] = found[0]
    assert (one["outcome"], one["reason"], one["claims"]) == ("refused", "grant.withdrawn", None)
    assert town.rows(certificates) == []
    assert agent.state.waiting() == []
    # killed after it had signed, before the hub heard of it: the same order again, the same certificate, once
    consent = town.consent(resident(4))
    token, thread, found = take(consent)

    class Dead:
        def __getattr__(self, name):
            if name == "answer_pull":
                raise Unavailable("hub.unreachable", "断了", "gone")
            return getattr(agent.desk.client, name)

    with pytest.raises(Unavailable):
        _answer(agent, token, client=Dead())
    [promised] = agent.state.waiting()
    running_hub.clock.advance(seconds=7)  # the lease is over, the verifier still waits
    with town.serving():
        thread.join(15)
    assert found[0][0]["outcome"] == "accepted"
    with closing(State(agent.config.agent.state)) as state:
        assert state.waiting() == []
        assert state.entry("degree", promised.ref).generation == 1
    [row] = town.rows(certificates)
    assert row.jti == jws.split(promised.sd_jwt.partition("~")[0]).payload["jti"]
