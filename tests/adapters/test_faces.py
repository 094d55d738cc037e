"""Printed faces: rendered by the agent after the hub's ack, taken by a real hub, and forgotten here afterwards."""

import pytest

from adapters.agent import Agent
from adapters.faces import face_of
from hub.formats.sdjwt import SD, issue
from hub.registry.types import load_types
from keys.signer import generate


@pytest.fixture
def agent(running_hub, config_file, fill):
    line = f'agent: {{department: dg-degree, hub: "{running_hub.url}", state: state.db, keys: keys}}\n'
    found = Agent.load(config_file(agent=line), passphrase="agent-passphrase-1", clock=running_hub.clock)
    found.enrol(running_hub.code_for("dg-degree"))
    yield found
    found.close()


def waiting(agent: Agent) -> int:
    return int(agent.state.execute("select count(*) from unprinted")[0][0])


def test_each_new_certificate_gets_a_face_once(agent, running_hub, fill):
    fill(1, 3)
    agent.sync()
    assert waiting(agent) == 3
    first = agent.faces(limit=2)
    assert (first.made, first.refused, first.left) == (2, (), 1)
    assert (agent.faces().made, agent.faces().made, waiting(agent)) == (1, 0, 0)
    assert all(row.face_key for row in running_hub.certificates())


def test_what_was_superseded_or_revoked_is_not_printed(agent, legacy, fill):
    fill(1, 2)
    agent.sync()
    legacy.execute("update xwzs set xxmc = '华南师范大学' where id = 1")
    agent.sync()
    assert waiting(agent) == 2
    agent.revoke(agent.config.datasets[0].id, "2", "issued-in-error")
    assert waiting(agent) == 1
    assert agent.faces().made == 1


def test_only_the_certificates_that_are_named(agent, fill):
    fill(1, 2)
    agent.sync()
    [(wanted,), _] = agent.state.execute("select certificate_id from unprinted order by certificate_id")
    report = agent.faces(certificates=[wanted])
    assert (report.made, report.left) == (1, 1)


def test_a_face_masks_resident_numbers_and_names_codes():
    claims = {
        "iss": "https://hub.test/dept/dg-degree",
        "vct": "urn:yimen:certificate:degree:1",
        "iat": 1_795_363_200,
        "status": {"status_list": {"idx": 1, "uri": "https://hub.test/v1/status-lists/a"}},
        "holders": [
            {"role": SD("owner"), "name": SD("陈䶮"), "id_type": SD("111"), "id_no": SD("11010519491231002X")}
        ],
        "number": SD("9999942010000001"),
        "education_level": SD("bachelor"),
        "school": SD("东江学院"),
    }
    token = issue(claims, signer=generate("ES256"))
    document = load_types()["degree"].document
    face = face_of(
        token, document, certificate_id="abcdefgh", hub="https://hub.test", issuer=("学位", "Degrees")
    )
    printed = [value for _, _, value in face.rows]
    assert printed[0] == "陈䶮  1101**********002X"
    assert "11010519491231002X" not in "".join(face.texts())
    assert "bachelor" not in printed
    assert face.verify_url == "https://hub.test/v/abcdefgh"
    assert face.valid_until is None
