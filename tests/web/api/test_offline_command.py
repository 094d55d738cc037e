"""`yimen verify` over files that were downloaded from a hub: no network, no database, no settings."""

import json
import sys

import pytest

from hub import cli
from hub.certificates.model import StatusEvent
from hub.ledger.head import log_key
from hub.registry.publish import publish_types


@pytest.fixture
async def folder(world, degree, tmp_path, monkeypatch):
    """A folder with a certificate, the bundle and the status list, and nothing else to ask."""
    async with world.tx() as tx:
        await publish_types(tx, world.types.values())
    token = await world.sign("degree", [world.person("王小明").as_holder("owner")])
    registered = await world.register(token, by="dg-degree")
    await world.publish()
    (tmp_path / "certificate.txt").write_text(token)
    (tmp_path / "bundle.jwt").write_text((await world.http.get("/v1/trust-bundle")).text)
    (tmp_path / "valid.jwt").write_text((await world.http.get(next(iter(degree.lists)))).text)
    await world.change(registered.certificate, StatusEvent.REVOKE, by="dg-degree")
    (tmp_path / "revoked.jwt").write_text((await world.http.get(next(iter(degree.lists)))).text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.time", lambda: world.clock().timestamp())
    return tmp_path


@pytest.fixture
def verify(monkeypatch, capsys):
    def run(*args):
        monkeypatch.setattr(
            sys, "argv", ["yimen", "verify", "certificate.txt", "--bundle", "bundle.jwt", *args, "--json"]
        )
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, json.loads(capsys.readouterr().out)

    return run


async def test_a_certificate_holds_and_an_altered_one_does_not(world, folder, verify):
    key = str(log_key(world.settings.origin, world.hub.signer("ledger")))
    code, told = verify("--log-key", key, "--status-list", "valid.jwt")
    assert (code, told["ok"], told["department"]) == (0, True, "dg-degree"), told
    assert told["claims"]["holders"][0]["name"] == "王小明"

    code, told = verify("--log-key", key, "--status-list", "revoked.jwt")
    assert (code, told["ok"]) == (1, False)
    assert {one["name"]: one["holds"] for one in told["checks"]}["status"] is False

    code, told = verify("--log-key", key)
    assert (code, told["ok"]) == (3, False), "without a status list it is not known, which is not a yes"

    code, told = verify("--status-list", "valid.jwt")
    assert (code, told["ok"]) == (3, False), "a ledger key that nobody pinned is not a yes"

    other = key.replace("hub.example", "evil.example")
    code, told = verify("--log-key", other, "--status-list", "valid.jwt")
    assert code in (1, 2)

    text = (folder / "certificate.txt").read_text()
    head, _, rest = text.partition("~")
    (folder / "certificate.txt").write_text(f"{head[:-8]}AAAAAAAA~{rest}")
    code, told = verify("--log-key", key, "--status-list", "valid.jwt")
    assert (code, told["ok"]) == (1, False)
