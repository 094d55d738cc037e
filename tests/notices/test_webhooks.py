"""Verifying departments are called when something they relied on changes: signed, retried, stopped, never inside."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from notices.servers import answering, tls
from notices.telling import Telling
from web.api.apiworld import own_keys

from adapters.webhooks import KEYS_PATH, Receiver
from hub.certificates.model import StatusEvent
from hub.clock import seconds
from hub.consent.withdraw import withdraw
from hub.errors import HubError
from hub.formats import webhook
from hub.notices.egress import Egress, networks
from hub.notices.endpoints import EVENTS
from hub.notices.webhooks import DISABLED_AFTER, signers
from hub.oversight.reliance import tell_who_relied
from hub.verification.model import Ask
from keys.files import Keyring


async def registered(telling: Telling, url: str, by: str = "dg-edu", **other: Any) -> dict[str, Any]:
    department = await telling.department(by)
    answer = await telling.call(department, "POST", "/v1/webhooks", {"url": url, "events": list(EVENTS), **other})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def relied(telling: Telling) -> str:
    """The education bureau looked at a degree; its public id."""
    wang = telling.person("王小明")
    held = await telling.certificate("degree", (wang, "owner"))
    case, grants = await telling.grant(wang, ["degree"])
    await telling.verify(case, grants, [Ask("degree")])
    return held.certificate


async def revoked(telling: Telling, certificate: str) -> None:
    await telling.change(certificate, StatusEvent.REVOKE, by="dg-degree")
    async with telling.tx() as tx:
        await tell_who_relied(tx, certificate=certificate)


async def receiver(telling: Telling, department: str = "dg-edu") -> Receiver:
    """The department's side, given what the hub's door says."""
    published = (await telling.http.get(KEYS_PATH)).content
    asked = httpx.MockTransport(lambda request: httpx.Response(200, content=published))
    return Receiver("https://hub.example", department=department, transport=asked, clock=telling.clock)


async def test_a_department_is_told_what_changed_and_can_check_it(telling: Telling, tmp_path: Path) -> None:
    context, ca = tls(tmp_path / "tls")
    telling.trusting(ca)
    with answering(context) as edu, answering(context) as other:
        await registered(telling, f"https://localhost:{edu.port}/hook?x=1")
        await registered(telling, f"https://localhost:{other.port}/", by="dg-si")
        certificate = await relied(telling)
        await revoked(telling, certificate)
        await telling.tell(telling.sending({}))
        assert other.came == [], "another department relied on nothing"
        assert len(edu.came) == 1
        path, headers, body = edu.came[0]
        wang = await telling.citizen(telling.person("李大勇"))
        case, grants = await telling.grant(telling.person("赵六"), ["degree"])
        async with telling.tx(type(wang)(wang.kind, subject_id=grants[0].holder)) as tx:
            await withdraw(tx, grant=grants[0].public_id)
        await telling.tell(telling.sending({}))
    assert path == "/hook?x=1"
    assert headers["host"] == f"localhost:{edu.port}"
    said = json.loads(body)
    assert (said["type"], said["department"]) == ("certificate.revoked", "dg-edu")
    assert said["data"] == {"certificate_id": certificate, "type": "degree", "replaced_by": None, "case_ids": []}
    assert "王" not in body.decode()
    withdrawn = json.loads(edu.came[1][2])
    assert (withdrawn["type"], withdrawn["data"]["case_id"]) == ("grant.withdrawn", case.public_id)

    mine = await receiver(telling)
    event = mine.read(headers, body)
    assert event is not None
    assert (event.id, event.type) == (headers["webhook-id"], "certificate.revoked")
    assert mine.read(headers, body) is None, "a repetition is known by its id"
    for wrong in (body.replace(b"revoked", b"renewed"), body[:-1]):
        with pytest.raises(HubError, match=r"webhook\.signature"):
            mine.read(headers, wrong)
    with pytest.raises(HubError, match=r"webhook\.department"):
        (await receiver(telling, "dg-si")).read(headers, body)
    telling.clock.advance(minutes=6)
    with pytest.raises(HubError, match=r"webhook\.time"):
        (await receiver(telling)).read(headers, body)


async def test_a_failed_call_is_made_again_with_the_same_id_and_a_new_time(small: Telling) -> None:
    telling = small
    with answering() as server:
        one = await registered(telling, f"http://localhost:{server.port}/")
        department = await telling.department("dg-edu")
        sent = await telling.call(department, "POST", f"/v1/webhooks/{one['id']}/test", {})
        assert sent.status_code == 202
        server.answer = lambda _: (500, {}, b"secret of theirs")
        await telling.tell()
        server.answer = lambda _: (503, {"retry-after": "120"}, b"")
        telling.clock.advance(seconds=6)
        await telling.tell()
        telling.clock.advance(seconds=60)
        await telling.tell()
        assert len(server.came) == 2, "patience was asked for"
        server.answer = lambda _: (302, {"location": f"http://localhost:{server.port}/elsewhere"}, b"")
        telling.clock.advance(seconds=80)
        await telling.tell()
        server.answer = lambda _: (204, {}, b"")
        telling.clock.advance(seconds=400)
        await telling.tell()
        shown = (await telling.call(department, "GET", f"/v1/webhooks/{one['id']}/deliveries")).json()["deliveries"]
        listed = (await telling.call(department, "GET", "/v1/webhooks")).json()["webhooks"]
    assert [path for path, _, _ in server.came] == ["/"] * 4, "no redirect is followed"
    assert len({headers["webhook-id"] for _, headers, _ in server.came}) == 1
    assert len({headers["webhook-timestamp"] for _, headers, _ in server.came}) == 4
    assert [(one["state"], one["attempts"], one["fault"]) for one in shown] == [("sent", 4, None)]
    assert shown[0]["message_id"] == sent.json()["message_id"]
    assert (listed[0]["failing_since"], listed[0]["state"]) == (None, "active")


async def test_after_long_failure_it_is_disabled_told_and_resumed(small: Telling) -> None:
    telling = small
    with answering() as server:
        server.answer = lambda _: (500, {}, b"")
        one = await registered(telling, f"http://localhost:{server.port}/")
        department = await telling.department("dg-edu")
        for _ in range(2):
            await telling.call(department, "POST", f"/v1/webhooks/{one['id']}/test", {})
        for _ in range(4):
            await telling.tell()
            telling.clock.advance(seconds=DISABLED_AFTER.total_seconds() / 3)
        listed = (await telling.call(department, "GET", "/v1/webhooks")).json()["webhooks"][0]
        assert (listed["state"], listed["fault"], listed["waiting"], listed["dead"]) == (
            "disabled", "webhook.status_500", 0, 2,
        )  # fmt: skip
        many = len(server.came)
        await revoked(telling, await relied(telling))
        await telling.tell()
        assert len(server.came) == many, "it is left alone"
        refused = await telling.call(department, "POST", f"/v1/webhooks/{one['id']}/test", {})
        assert refused.status_code == 409
        server.answer = lambda _: (200, {}, b"")
        again = await telling.call(department, "POST", f"/v1/webhooks/{one['id']}/resume", {})
        assert again.json() == {"again": 2}
        await telling.tell()
        assert len({headers["webhook-id"] for _, headers, _ in server.came}) == 2
        server.answer = lambda _: (410, {}, b"")
        await telling.call(department, "POST", f"/v1/webhooks/{one['id']}/test", {})
        await telling.tell()
        listed = (await telling.call(department, "GET", "/v1/webhooks")).json()["webhooks"][0]
        assert (listed["state"], listed["fault"]) == ("disabled", "webhook.gone")
        await telling.call(department, "DELETE", f"/v1/webhooks/{one['id']}")
        assert (await telling.call(department, "GET", "/v1/webhooks")).json() == {"webhooks": []}


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/", "file:///etc/passwd", "https://user@a.example/", "https://a.example/#x", "https:///x",
        "https://a.example:99999/", "https://a.exämple/", "https://a.example/ x", "//a.example/", "gopher://a.example",
        "https://a.example/" + "x" * 400,
    ],
)  # fmt: skip
async def test_an_address_of_the_wrong_shape_is_refused(url: str) -> None:
    with pytest.raises(HubError, match=r"webhook\.url"):
        Egress(plain=True).require_url(url)


def test_plain_http_is_for_the_operators_own_networks_outside_production() -> None:
    with pytest.raises(HubError):
        Egress().require_url("http://a.example/")
    Egress(plain=True).require_url("http://a.example/")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0",
        "169.254.169.254", "10.0.0.1", "192.168.1.1", "[fd00::1]", "[fe80::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
        "224.0.0.1", "100.64.0.1",
    ],
)  # fmt: skip
async def test_nothing_inside_is_called(host: str) -> None:
    with answering() as server:
        attempt = await Egress().post(f"https://{host}:{server.port}/", b"{}", {})
        assert server.came == []
        odd = host in ("0x7f.1", "0177.0.0.1")  # spellings that parsers and resolvers take in different ways
        assert attempt.fault == "webhook.address" or (odd and attempt.fault in ("webhook.url", "webhook.away"))


async def test_plain_http_does_not_reach_public_addresses() -> None:
    assert (await Egress(plain=True).post("http://93.184.215.14/", b"{}", {})).fault == "webhook.address"


async def test_a_name_is_resolved_once_and_must_be_allowed_with_all_its_addresses(monkeypatch) -> None:
    asked: list[str] = []
    answers = [["127.0.0.1"], ["127.0.0.1", "10.0.0.1"]]

    async def resolve(host: str, port: int, **_: Any) -> list[Any]:
        if host != "rebound.example":  # the pinned address, on its way to the socket
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in answers[len(asked) - 1]]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve, raising=False)
    egress = Egress(networks(["127.0.0.0/8"]), plain=True)
    with answering() as server:
        assert (await egress.post(f"http://rebound.example:{server.port}/", b"{}", {})).sent
        assert asked == ["rebound.example"], "once; what it says afterwards changes nothing"
        assert server.came[0][1]["host"] == f"rebound.example:{server.port}"
        assert (await egress.post(f"http://rebound.example:{server.port}/", b"{}", {})).fault == "webhook.address"
        assert len(server.came) == 1


async def test_the_certificate_must_be_for_the_name_and_by_a_known_authority(small: Telling, tmp_path: Path) -> None:
    right, ca = tls(tmp_path / "right")
    wrong, other = tls(tmp_path / "wrong", "elsewhere.example")
    with answering(right) as mine, answering(wrong) as theirs:
        assert (await small.egress.post(f"https://localhost:{mine.port}/", b"{}", {})).fault == "webhook.away"
        small.trusting(ca)
        assert (await small.egress.post(f"https://localhost:{mine.port}/", b"{}", {})).sent
        small.trusting(other)
        assert (await small.egress.post(f"https://localhost:{theirs.port}/", b"{}", {})).fault == "webhook.away"
        assert theirs.came == []


async def test_keys_follow_one_another_without_a_gap(small: Telling, tmp_path: Path) -> None:
    small.keyring = own_keys(tmp_path / "own")
    object.__setattr__(small.hub, "keyring", small.keyring)
    clock = small.clock

    async def published() -> list[str]:
        return [one["key"] for one in (await small.http.get(KEYS_PATH)).json()["keys"]]

    old = await published()
    assert len(old) == 1
    small.keyring.rotate("webhook", clock(), starts=clock() + DISABLED_AFTER)
    assert len(await published()) == 2, "the successor is known before it signs"
    assert names(small.keyring, clock()) == old
    clock.advance(days=3)
    both = names(small.keyring, clock())
    assert (len(both), both[1:]) == (2, old)
    headers = webhook.sign(
        signers(small.keyring, clock()), message_id="msg_1", timestamp=seconds(clock()),
        payload=b'{"department":"dg-edu","type":"t","timestamp":""}',
    )  # fmt: skip
    assert (await receiver(small)).read(headers, b'{"department":"dg-edu","type":"t","timestamp":""}')
    clock.advance(days=3)
    assert names(small.keyring, clock()) == both[:1]


def names(keyring: Keyring, now: Any) -> list[str]:
    return [webhook.write_key(one.public) for one in signers(keyring, now)]


async def test_endpoints_are_few_and_of_known_events(small: Telling) -> None:
    edu = await small.department("dg-edu")
    for number in range(5):
        one = await registered(small, f"https://a{number}.example/")
    again = await registered(small, "https://a4.example/", events=["grant.withdrawn"])
    assert (again["id"], again["events"]) == (one["id"], ["grant.withdrawn"])
    body = {"url": "https://a5.example/", "events": ["grant.withdrawn"]}
    assert (await small.call(edu, "POST", "/v1/webhooks", body)).json()["code"] == "webhook.too_many"
    body = {"url": "https://a5.example/", "events": ["everything"]}
    assert (await small.call(edu, "POST", "/v1/webhooks", body)).json()["code"] == "webhook.events"
    body = {"url": "https://10.0.0.1@a.example/", "events": ["grant.withdrawn"]}
    assert (await small.call(edu, "POST", "/v1/webhooks", body)).json()["code"] == "webhook.url"
