"""What every answer of the API keeps to: descriptions with examples, headers, logs without anything personal."""

import json
import logging

import sqlalchemy as sa
import structlog
from jsonschema import Draft202012Validator
from structlog.testing import capture_logs

from hub.store.model import idempotent_replies, replays
from hub.web.tidy import tidy

OPERATIONS = ("get", "post", "put", "delete")


def operations(world):
    for path, methods in world.app.openapi()["paths"].items():
        for method, operation in methods.items():
            if method in OPERATIONS:
                yield path, method, operation


async def test_openapi_is_3_1_and_describes_every_operation_with_an_example_that_fits(world):
    assert world.app.openapi()["openapi"].startswith("3.1")
    bodies = 0
    for path, method, operation in operations(world):
        assert operation["description"], (method, path)
        content = operation.get("requestBody", {}).get("content", {})
        for media, body in content.items():
            bodies += 1
            if media == "application/json":
                Draft202012Validator.check_schema(body["schema"])
                assert body["schema"]["additionalProperties"] is False, path
                Draft202012Validator(body["schema"]).validate(body["example"])
            else:
                assert body.get("example") or body["schema"]["properties"], path
    assert bodies >= 14


async def test_every_department_operation_shows_what_a_good_and_a_bad_answer_look_like(world):
    missing = []
    for path, method, operation in operations(world):
        good = [one for code, one in operation["responses"].items() if code.startswith("2")]
        shown = any("example" in body for one in good for body in one.get("content", {}).values())
        silent = "204" in operation["responses"] or path == "/oauth/revoke"
        if set(operation["tags"]) & {"issuers", "verifiers", "oauth"} and not (
            shown or silent or ".well-known" in path
        ):
            missing.append((method, path))
        assert "default" in operation["responses"], path
    assert missing == []


async def test_every_api_answer_carries_the_safe_headers_and_its_number(world, edu):
    for method, path in (
        ("GET", "/healthz"),
        ("GET", "/v1/none"),
        ("POST", "/oauth/token"),
        ("GET", "/v1/cases/x"),
    ):
        answer = await world.http.request(method, path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert len(answer.headers["x-request-id"]) == 12


async def test_a_fault_inside_leaves_its_place_in_the_log_and_not_its_words(world, monkeypatch, caplog):
    async def broken(*_, **__):
        raise sa.exc.ProgrammingError(
            "select", {"name": "张三", "id_no": "441900199003070013"}, Exception("x")
        )

    monkeypatch.setattr("hub.registry.departments.get", broken)
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    try:
        with capture_logs() as told, caplog.at_level(logging.DEBUG):
            answer = await world.http.get("/.well-known/jwt-vc-issuer/dept/dg-edu")
    finally:
        structlog.reset_defaults()
    assert answer.status_code == 500
    assert answer.headers["x-content-type-options"] == "nosniff"
    failed = next(one for one in told if one["event"] == "request.failed")
    assert failed["request_id"] == answer.json()["request_id"] == answer.headers["x-request-id"]
    assert any("test_manners.py" in place for place in failed["where"])
    whole = json.dumps(told, ensure_ascii=False, default=str) + caplog.text
    assert "441900199003070013" not in whole
    assert "张三" not in whole


async def test_logs_name_routes_and_never_the_ids_or_queries_in_an_address(world):
    with capture_logs() as told:
        await world.http.get("/v1/status-lists/secretlistid?time=123456")
    line = next(one for one in told if one["event"] == "request")
    assert line["route"] == "/v1/status-lists/{list_id}"
    assert "secretlistid" not in json.dumps(told)
    assert "123456" not in json.dumps(told)


async def test_what_can_no_longer_be_replayed_is_thrown_away_and_nothing_else(world, edu, degree):
    person = world.person("王小明")
    body = await world.body_of_certificate("degree", (person, "owner"))
    assert (await world.call(degree, "POST", "/v1/certificates", body, key="k")).status_code == 201

    async def held():
        async with world.view() as view:
            counts = [
                await view.value(sa.select(sa.func.count()).select_from(t))
                for t in (replays, idempotent_replies)
            ]
            return tuple(counts)

    assert await held() == (3, 1)  # an assertion, its proof, and the proof of the call; one kept answer
    assert await tidy(world.hub) == 0
    world.clock.advance(minutes=7)
    assert await tidy(world.hub) == 0  # first it says what it will forget
    assert await tidy(world.hub) == 3
    assert await held() == (0, 1)
    world.clock.advance(hours=24)
    assert await tidy(world.hub) == 1
    assert await held() == (0, 0)


async def test_a_stranger_cannot_make_the_hub_read_a_large_body(world):
    for path in ("/v1/keys", "/v1/status-lists/reserve", "/v1/certificates", "/v1/cases"):
        await _refuses_before_reading(world, path)


async def _refuses_before_reading(world, path):
    read = 0

    async def endless():
        nonlocal read
        for _ in range(1000):
            read += 64 * 1024
            yield b"x" * 64 * 1024

    answer = await world.http.post(path, content=endless(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (401, "token.missing")
