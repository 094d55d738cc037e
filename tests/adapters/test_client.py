"""The client and a real hub, over a line that drops and refuses: nothing is lost, nothing is done twice."""

from collections import Counter
from collections.abc import Callable

import httpx
import pytest

from adapters.agent import Agent
from adapters.answers import problem
from adapters.client import HubClient
from hub.errors import Conflict, HubError, Internal, Malformed, TooMany, Unauthenticated, Unavailable
from keys.signer import generate


class Line(httpx.BaseTransport):
    """A line to the real hub. `plan` decides for each request what goes wrong, by its number from 0."""

    def __init__(self, plan: Callable[[int, httpx.Request], str | None] = lambda *_: None) -> None:
        self.inner = httpx.HTTPTransport()
        self.plan = plan
        self.calls: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        number = len(self.calls)
        self.calls.append(f"{request.method} {request.url.path}")
        trouble = self.plan(number, request)
        if trouble == "refused":
            raise httpx.ConnectError("refused", request=request)
        if trouble == "busy":
            return httpx.Response(429, headers={"retry-after": "7"}, request=request)
        if trouble == "away":
            return httpx.Response(503, request=request)
        answer = self.inner.handle_request(request)
        answer.read()
        if trouble == "lost":  # the hub did it, and nobody heard
            raise httpx.ReadTimeout("lost", request=request)
        if trouble == "broken":  # 500 after the commit
            return httpx.Response(500, request=request)
        return answer

    def close(self) -> None:
        self.inner.close()


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def agent(running_hub, config_file, legacy, line, pauses):
    path = config_file(agent=f'agent: {{department: dg-degree, hub: "{running_hub.url}"}}\n')
    found = Agent.load(path, passphrase="agent-passphrase-1", clock=running_hub.clock, transport=line)
    found.desk.client._sleep = pauses.append
    found.enrol(running_hub.code_for("dg-degree"))
    yield found
    found.close()


@pytest.mark.parametrize("trouble", ["refused", "busy", "away", "lost", "broken"])
def test_every_call_survives_its_trouble(agent, running_hub, fill, legacy, line, trouble):
    """Each call of a sync goes wrong once, then goes right."""
    fill(1, 5)
    agent.sync()
    fill(6, 8)
    legacy.execute("update xwzs set xxmc = '甲大学' where id in (1, 2)")
    seen: Counter[str] = Counter()

    def plan(_: int, request: httpx.Request) -> str | None:
        seen[request.url.path] += 1
        return trouble if seen[request.url.path] == 1 else None

    line.plan = plan
    report = agent.sync()
    assert (report.registered, report.superseded) == (3, 2)
    assert Counter(running_hub.standing()) == {"current/valid": 8, "superseded/invalid": 2}
    assert agent.state.waiting() == []


def test_retry_after_is_honoured(agent, fill, line, pauses):
    fill(1, 1)
    line.plan = lambda number, _: "busy" if number == len(line.calls) - 1 and not pauses else None
    agent.sync()
    assert pauses == [7.0]


def test_a_hub_that_is_busy_for_long_is_waited_for(agent, fill, line, pauses):
    fill(1, 3)
    line.plan = lambda _, request: "busy" if request.url.path.endswith("/batch") and len(pauses) < 20 else None
    assert agent.sync().registered == 3
    assert pauses == [7.0] * 20
    line.plan = lambda _, request: "busy" if request.url.path.endswith("/batch") else None
    fill(4, 4)
    with pytest.raises(TooMany):
        agent.sync()
    assert sum(pauses[20:]) < 1000  # but not for ever
    line.plan = lambda *_: None
    assert agent.sync().registered == 1


def test_several_chunks_are_in_flight_and_one_that_fails_loses_no_other(
    agent, running_hub, fill, line, monkeypatch
):
    monkeypatch.setattr("adapters.deliver.CHUNK", 5)
    fill(1, 40)
    batches = 0

    def plan(_: int, request: httpx.Request) -> str | None:
        nonlocal batches
        batches += request.url.path.endswith("/batch")
        return "refused" if batches >= 3 and request.url.path.endswith("/batch") else None

    line.plan = plan
    with pytest.raises(Unavailable):
        agent.sync()
    assert agent.state.count_current("degree") >= 5
    line.plan = lambda *_: None
    agent.sync()
    assert agent.state.count_current("degree") == 40 == len(running_hub.certificates())
    assert line.calls.count("POST /oauth/token") == 1


def test_a_hub_that_stays_away_ends_the_sync_and_the_next_goes_on(agent, running_hub, fill, line, pauses):
    fill(1, 5)
    line.plan = lambda _, request: "lost" if request.url.path.endswith("/batch") else None
    with pytest.raises(Unavailable) as caught:
        agent.sync()
    assert caught.value.code == "hub.unreachable"
    assert len(pauses) == 6
    line.plan = lambda *_: None
    assert agent.sync().registered == 5  # replays of what the hub had done
    assert len(running_hub.certificates()) == 5


def test_tokens_are_used_until_they_end(agent, running_hub, fill, line):
    fill(1, 3)
    agent.sync()
    agent.sync()
    assert line.calls.count("POST /oauth/token") == 1
    running_hub.clock.advance(minutes=5)
    fill(4, 4)
    agent.sync()
    assert line.calls.count("POST /oauth/token") == 2


def test_a_stranger_is_not_let_in(agent, running_hub):
    stranger = HubClient(running_hub.url, "dg-degree", generate, clock=running_hub.clock)
    with pytest.raises(HubError):
        stranger.reserve(1)
    stranger.close()


def test_codes_and_keys_are_good_once(agent, running_hub):
    with pytest.raises(Conflict, match=r"key\.in_use"):  # a fresh code does not admit the same keys twice
        agent.enrol(running_hub.code_for("dg-degree"))
    with pytest.raises(Unauthenticated):
        agent.enrol("A" * 22)


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [(409, {"code": "a.b", "seq": 3, "sha256": None}, Conflict, "a.b"), (502, None, Unavailable, "http.502"),
     (500, [], Internal, "http.500"), (418, {"code": 5}, Malformed, "5"),
     (400, {"error": "invalid_client", "error_description": "x"}, Malformed, "invalid_client")],
)  # fmt: skip
def test_every_answer_becomes_an_error_of_ours(status, body, kind, code):
    found = problem(status, body)
    assert type(found) is kind
    assert found.code == code
    if status == 409:
        assert found.facts["seq"] == 3
