"""Twelve departments of the demo, each with its own old store, to one hub: SQL, GB18030 CSV and DBF."""

from collections import Counter

import pytest
import sqlalchemy as sa

from adapters import quarantine
from adapters.agent import Agent
from adapters.demo import stores
from hub.certificates.model import certificates


@pytest.fixture
def agents(running_hub, tmp_path, monkeypatch):
    stores.write(tmp_path / "city", today=running_hub.clock().date())
    monkeypatch.setenv("YIMEN_HUB", running_hub.url)
    found = {}
    for file in sorted((tmp_path / "city").glob("*/agent.yaml")):
        agent = Agent.load(file, passphrase="agent-passphrase-1", clock=running_hub.clock)
        found[agent.config.agent.department] = agent
        agent.enrol(running_hub.code_for(agent.config.agent.department))
    yield found
    for agent in found.values():
        agent.close()


def test_every_department_registers_what_its_old_store_holds(agents, running_hub):
    reports = {slug: agent.sync() for slug, agent in agents.items()}
    assert not [report.faults for report in reports.values() if report.faults]
    reasons = Counter(
        (slug, one.finding.code) for slug, agent in agents.items() for one in quarantine.listed(agent.state)
    )
    assert set(reasons) <= {
        ("dg-degree", "lossy_text"), ("dg-degree", "date_impossible"), ("dg-degree", "code_unknown"),
        ("dg-degree", "missing_value"), ("dg-si", "id_check_digit"),
    }, reasons  # fmt: skip
    assert sum(reasons.values()) <= 6

    async def work(tx):
        query = sa.select(certificates.c.department, certificates.c.type_code, sa.func.count()).group_by(
            certificates.c.department, certificates.c.type_code
        )
        return {(row[0], row[1]): row[2] for row in await tx.all(query)}

    held = running_hub.in_hub(work)
    assert len(held) >= 14
    assert sum(held.values()) == sum(report.registered for report in reports.values()) > 200
    again = {slug: agent.sync() for slug, agent in agents.items()}
    assert all(report.registered == report.superseded == report.revoked == 0 for report in again.values())


def test_a_living_certificate_is_signed_again_half_way_to_its_greatest_age(agents, running_hub):
    agent = agents["dg-ps"]
    first = agent.sync(dataset="juzhuzheng")
    running_hub.clock.advance(days=30)
    assert agent.sync(dataset="juzhuzheng").superseded == 0
    running_hub.clock.advance(days=1)
    assert agent.sync(dataset="juzhuzheng").superseded == first.registered
