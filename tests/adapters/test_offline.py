"""What a verifying department checks for itself: it holds for what is genuine, and for nothing else."""

import secrets

import pytest

from adapters.agent import Agent
from adapters.client import Registration
from adapters.demo.refusals import signed_degree
from adapters.offline import Checker
from hub.errors import HubError, Malformed
from hub.formats.note import ED25519, Vkey


@pytest.fixture
def agent(running_hub, config_file, fill):
    line = f'agent: {{department: dg-degree, hub: "{running_hub.url}", state: state.db, keys: keys}}\n'
    found = Agent.load(config_file(agent=line), passphrase="agent-passphrase-1", clock=running_hub.clock)
    found.enrol(running_hub.code_for("dg-degree"))
    fill(1, 2)
    found.sync()
    yield found
    found.close()


@pytest.fixture
def checker(agent, running_hub) -> Checker:
    return Checker(agent.desk.client, Vkey("hub.test/ledger", ED25519, bytes(32)), clock=running_hub.clock)


@pytest.fixture
def token(agent) -> str:
    return str(agent.state.execute("select sd_jwt from unprinted order by certificate_id")[0][0])


def test_a_standing_certificate_holds(checker, token):
    assert checker.certificate(token, "dg-degree")["school"] == "东莞理工学院"


def test_a_changed_character_does_not(checker, token):
    head, payload, rest = token.split(".", 2)
    changed = payload[:20] + ("A" if payload[20] != "A" else "B") + payload[21:]
    with pytest.raises(HubError):
        checker.certificate(f"{head}.{changed}.{rest}", "dg-degree")


def test_another_departments_keys_do_not_fit(checker, token, running_hub):
    running_hub.code_for("dg-tax")
    with pytest.raises(HubError):
        checker.certificate(token, "dg-tax")


def test_a_revoked_certificate_does_not_hold(agent, checker, token):
    [(certificate_id,)] = agent.state.execute(
        "select certificate_id from unprinted where sd_jwt = ?", (token,)
    )
    entry = agent.state.by_certificate(certificate_id)
    agent.revoke(entry.dataset, entry.ref, "issued-in-error")
    with pytest.raises(Malformed, match=r"offline\.not_valid|Revoked"):
        checker.certificate(token, "dg-degree")


def test_a_receipt_names_its_leaf_and_only_this_hub_can_sign_it(agent, checker, running_hub):
    desk = agent.desk
    desk.book.ensure(1)
    token = signed_degree(
        desk.certificate_type("degree"),
        ("张三", "11010519491231002X"),
        issuer=f"{running_hub.url}/dept/dg-degree",
        signer=desk.signer(),
        status=desk.state.take_indices(1)[0],
        now=running_hub.clock(),
    )
    made = desk.client.register(
        Registration(token, "degree", secrets.token_urlsafe(16), 1, secrets.token_hex(32))
    )
    receipt = checker.receipt(made.receipt)
    assert receipt.kind == "certificate.registered"
    assert receipt.leaf_hash in {row.leaf_hash for row in running_hub.certificates()}
    head, payload, signature = made.receipt.split(".")
    with pytest.raises(HubError):
        checker.receipt(f"{head}.{payload}.{signature[:-4]}AAAA")
