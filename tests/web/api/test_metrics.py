"""What a process counts: by route pattern, code and department, never by anything that a person is or sent."""

import re
import time

import httpx
import pytest
from parts import free_port
from prometheus_client.parser import text_string_to_metric_families
from registry.makers import AUDIENCE
from web.api.apiworld import ApiWorld

from hub.consent.token import sign_token
from hub.errors import Conflict
from hub.web import gauges, metrics


def value(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


def requests(method: str, route: str, status: int) -> float:
    return value("yimen_requests_total", method=method, route=route, status=str(status))


async def test_requests_are_counted_by_pattern_and_refusals_by_code(world: ApiWorld):
    before = requests("GET", "/v1/types/{code}", 404), value("yimen_refusals_total", code="type.unknown")
    for name in ("nobody", "nothing"):
        await world.http.get(f"/v1/types/{name}?who=somebody")
    after = requests("GET", "/v1/types/{code}", 404), value("yimen_refusals_total", code="type.unknown")
    assert (after[0] - before[0], after[1] - before[1]) == (2, 2)
    assert value("yimen_request_seconds_count", method="GET", route="/v1/types/{code}") >= 2


async def test_what_strangers_invent_becomes_no_label(world: ApiWorld):
    await world.http.request("INVENTED", "/no/such/place")
    assert requests("other", "-", 404) + requests("other", "-", 405) >= 1
    labels = {sample.labels.get("method") for family in metrics.REGISTRY.collect() for sample in family.samples}
    assert "INVENTED" not in labels
    routes = {sample.labels.get("route") for family in metrics.REGISTRY.collect() for sample in family.samples}
    assert not [route for route in routes if route and "such" in route]


async def test_verdicts_and_agents_are_counted(world: ApiWorld):
    wang = world.person("王小明")
    await world.certificate("degree", (wang, "owner"))
    await world.publish()
    _, granted = await world.grant(wang, ["degree"])
    edu = world.departments["dg-edu"]
    spent = value("yimen_verdicts_total", outcome="refused", reason="grant.spent")
    for _ in range(2):
        token, _ = sign_token(
            world.hub.signer("token"), issuer=AUDIENCE, grants=granted, jkt=edu.client.kid,
            pairwise_key=world.hub.keyring.secret("pairwise"), now=world.clock(),
        )  # fmt: skip
        answer = await world.call(edu, "POST", "/v1/verifications", {"asks": [{"type": "degree"}]}, token=token)
        assert answer.status_code == 200
    assert value("yimen_verdicts_total", outcome="refused", reason="grant.spent") == spent + 1
    await world.call(world.departments["dg-degree"], "GET", "/v1/status-lists/mine")
    await gauges.sample(world.hub, world.app.state.health)
    assert time.time() - value("yimen_agent_seen_timestamp_seconds", department="dg-degree") < 60


async def test_lag_lists_pools_and_parts_are_read(world: ApiWorld):
    wang = world.person("王小明")
    await world.certificate("degree", (wang, "owner"))
    world.clock.advance(seconds=42)
    await gauges.sample(world.hub, world.app.state.health)
    assert value("yimen_ledger_lag_seconds") == 42
    assert value("yimen_ledger_pending_leaves") > 0
    assert value("yimen_ready") == 0  # no checkpoint is out yet
    await world.publish()
    await gauges.sample(world.hub, world.app.state.health)
    assert (value("yimen_ledger_lag_seconds"), value("yimen_ledger_pending_leaves")) == (0, 0)
    assert value("yimen_ledger_size_leaves") > 0
    assert value("yimen_ready") == value("yimen_part_up", part="blobs") == 1
    ends = value("yimen_status_list_expires_timestamp_seconds", department="dg-degree")
    signed = value("yimen_status_list_signed_timestamp_seconds", department="dg-degree")
    assert ends - signed == 7 * 86_400
    assert value("yimen_database_connections_most") >= 2
    assert value("yimen_data_free_bytes") > 0


def test_a_port_of_its_own_answers_prometheus_and_ends():
    port = free_port()
    end = metrics.listen("127.0.0.1", port)
    try:
        with pytest.raises(Conflict, match=r"hub\.metrics_port"):
            metrics.listen("127.0.0.1", port)
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    finally:
        end()
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"yimen_requests", "yimen_request_seconds", "process_cpu_seconds", "python_info"} <= names
    assert not re.search(r"[\u4e00-\u9fff]", text)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)


async def test_metrics_are_not_at_the_public_doors(world: ApiWorld):
    assert (await world.http.get("/metrics")).status_code == 404
