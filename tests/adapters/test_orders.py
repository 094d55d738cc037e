"""A file that an officer handed in at the hub becomes certificates here: signed by the department, or not at all."""

import pytest

from adapters import quarantine
from adapters.agent import Agent
from hub.actor import Actor, ActorKind
from hub.certificates import workorders
from hub.registry import officers
from hub.registry.model import Role
from hub.registry.roster import OfficerRow

ORDERS = """\
max_order_rows: 20
orders:
  - id: handed_in
    type: degree
    key: [证书编号]
    holders:
      - {role: owner, name: {from: 姓名}, id_type: {const: "111"}, id_no: {from: 证件号码}}
    claims:
      education_level: {const: bachelor}
      school: {from: 学校}
      conferred_on: {from: 日期, type: date, required: true}
    number: {from: 证书编号, required: true}
"""
HEAD = "证书编号,姓名,证件号码,学校,日期"


@pytest.fixture
def agent(running_hub, config_file, legacy):
    path = config_file(agent=f'agent: {{department: dg-degree, hub: "{running_hub.url}"}}\n')
    path.write_text(path.read_text(encoding="utf-8") + ORDERS, encoding="utf-8")
    found = Agent.load(path, passphrase="agent-passphrase-1", clock=running_hub.clock)
    found.enrol(running_hub.code_for("dg-degree"))
    yield found
    found.close()


@pytest.fixture
def hand_in(running_hub):
    """Hand a file in as one officer and confirm it as another; gives the order's id."""

    async def people(tx):
        rows = [
            OfficerRow(1, "dg-degree", "maker", "甲", frozenset({Role.ISSUING.value})),
            OfficerRow(2, "dg-degree", "second", "乙", frozenset({Role.SECOND.value})),
        ]
        await officers.import_officers(tx, rows=rows, dry_run=False)
        return [(await officers.by_login(tx, "dg-degree", login)).id for login in ("maker", "second")]

    known: list = []

    def make(text: str, *, encoding: str = "utf-8", confirm: bool = True) -> str:
        if not known:
            known.extend(running_hub.in_hub(people))
        maker, second = (
            Actor(ActorKind.OFFICER, "dg-degree", officer_id=who, roles=frozenset({role.value}))
            for who, role in zip(known, (Role.ISSUING, Role.SECOND), strict=True)
        )

        async def made(tx):
            kind = running_hub.hub.types["degree"]
            order = await workorders.make(
                tx, data=text.encode(encoding), kind=kind, blobs=running_hub.hub.blobs
            )
            return order.public_id

        order = running_hub.in_hub(made, maker)
        if confirm:
            running_hub.in_hub(lambda tx: workorders.confirm(tx, public_id=order, agree=True), second)
        return order

    return make


def sheet(resident, *numbers: int, name: str = "张三") -> str:
    lines = [f"Z{number},{name},{resident(number)},东莞理工学院,2016-07-05" for number in numbers]
    return "\n".join([HEAD, *lines]) + "\n"


def state_of(running_hub, order: str) -> workorders.WorkOrder:
    return running_hub.in_hub(lambda tx: workorders.get(tx, order))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_confirmed_file_is_signed_and_counted(agent, running_hub, hand_in, resident, encoding):
    text = sheet(resident, 1, 2, 3) + f"Z9,李?,{resident(9)},校,2016-07-05\n"
    order = hand_in(text, encoding=encoding)
    [report] = agent.work_orders()
    assert (report.rows, report.signed, report.quarantined, report.code) == (4, 3, 1, "")
    ended = state_of(running_hub, order)
    assert (ended.state, ended.signed, ended.quarantined) == ("done", 3, 1)
    assert running_hub.standing() == ["current/valid"] * 3
    assert [one.finding.code for one in quarantine.listed(agent.state)] == ["lossy_text"]
    assert agent.work_orders() == []
    assert not list(agent.config.agent.state.parent.glob("yimen-order-*"))


def test_the_same_row_in_two_files_is_one_certificate(agent, running_hub, hand_in, resident):
    hand_in(sheet(resident, 1, 2))
    agent.work_orders()
    hand_in(sheet(resident, 2, 3))
    assert [report.signed for report in agent.work_orders()] == [2]
    hand_in(sheet(resident, 3, name="李四"))
    agent.work_orders()
    assert sorted(running_hub.standing()) == ["current/valid"] * 3 + ["superseded/invalid"]


def test_what_is_not_confirmed_is_not_even_seen(agent, running_hub, hand_in, resident):
    hand_in(sheet(resident, 1), confirm=False)
    assert agent.work_orders() == []
    assert running_hub.standing() == []


def test_a_file_over_the_agents_own_limit_waits(agent, running_hub, hand_in, resident):
    hand_in(sheet(resident, *range(21)))
    [report] = agent.work_orders()
    assert (report.signed, report.code) == (0, "order.too_many_rows")
    assert running_hub.standing() == []


def test_a_file_without_the_wanted_columns_waits(agent, hand_in):
    hand_in("a,b\n1,2\n")
    assert [report.code for report in agent.work_orders()] == ["source.missing_column"]


def test_an_order_killed_before_its_end_is_signed_once(agent, running_hub, hand_in, resident, monkeypatch):
    order = hand_in(sheet(resident, 1, 2))

    def killed(*_args, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr(agent.desk.client, "end_work_order", killed)
    with pytest.raises(KeyboardInterrupt):
        agent.work_orders()
    monkeypatch.undo()
    [report] = agent.work_orders()
    assert report.signed == 2
    assert state_of(running_hub, order).state == "done"
    assert running_hub.standing() == ["current/valid"] * 2


def test_each_file_holds_other_people_and_is_no_swapped_table(agent, running_hub, hand_in, resident):
    for start in (100, 300):
        lines = [f"H{n},张三,{resident(n)},校,2016-07-05" for n in range(start, start + 20)]
        hand_in("\n".join([HEAD, *lines]) + "\n")
        [report] = agent.work_orders()
        assert (report.signed, report.quarantined, report.code) == (20, 0, "")
    assert len(running_hub.certificates()) == 40
    assert quarantine.held(agent.state) == []
