"""The ways out, each to a real server: mail with TLS and login, an HTTP text gateway, files; and a killed process."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from email import message_from_bytes, policy
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from notices.servers import REFUSED, answering, mail_server, tls
from notices.telling import SENDER, Telling
from notices.test_citizens import asked, states

from hub.config import Settings
from hub.notices import inbox
from hub.notices.deliver import LEASE, forget_ended
from hub.notices.gateway import load_gateway
from hub.notices.inbox import Reached
from hub.notices.message import SENT, Message
from hub.notices.model import Channel, DeliveryState, deliveries, notices
from hub.notices.run import tell_once
from hub.notices.smtp import Smtp
from hub.notices.ways import offered, open_ways, trust

ROOT = Path(__file__).resolve().parents[2]


def message(telling: Telling, to: str, text: str = "【一门】您有一条新消息。") -> Message:
    return Message("msg_abc", to, "一门：您有一条新消息", text, "zh-CN", telling.clock())


async def test_mail_goes_out_under_tls_with_a_login(small: Telling, tmp_path: Path) -> None:
    context, ca = tls(tmp_path / "tls")
    with mail_server(context) as (port, mails):
        way = Smtp("localhost", port, "starttls", SENDER, "hub", "right", trust(ca))
        assert await way.send(message(small, "wang@example.cn")) == SENT
        to, raw = mails[0]
        mail = message_from_bytes(raw, policy=policy.default)
        assert (to, mail["Message-ID"], mail["Auto-Submitted"]) == (
            "wang@example.cn", "<msg_abc@hub.example>", "auto-generated",
        )  # fmt: skip
        assert mail.get_content().strip() == "【一门】您有一条新消息。"
        assert mail["Subject"] == "一门：您有一条新消息"
        assert mail.get_content_type() == "text/plain"
        refused = await way.send(message(small, REFUSED))
        assert (refused.fault, refused.for_good) == ("smtp.recipient", True)
        wrong = Smtp("localhost", port, "starttls", SENDER, "hub", "wrong", trust(ca))
        assert (await wrong.send(message(small, "wang@example.cn"))).fault == "smtp.login"
        stranger = Smtp("localhost", port, "starttls", SENDER, "hub", "right", trust(None))
        assert (await stranger.send(message(small, "wang@example.cn"))).fault == "smtp.protocol", "unknown authority"
        assert "right" not in repr(way)
    assert len(mails) == 1
    assert (await way.send(message(small, "wang@example.cn"))).fault == "smtp.away"


GATEWAY = """\
url: http://127.0.0.1:{port}/send
headers: {{Authorization: "Bearer ${{TOKEN}}"}}
secrets: sms.secrets
body: {{mobile: "${{national}}", content: "${{text}}", more: [{{id: "${{id}}"}}]}}
success: {{status: [200], member: result.code, equals: "0"}}
"""


async def test_a_text_gateway_that_was_down_gets_the_message_later_under_the_same_id(
    telling: Telling, tmp_path: Path
) -> None:
    (tmp_path / "sms.secrets").write_text("TOKEN=s3cret\n")
    (tmp_path / "sms.secrets").chmod(0o600)
    await asked(telling, 1)
    with answering() as server:
        (tmp_path / "sms.yaml").write_text(GATEWAY.format(port=server.port))
        async with httpx.AsyncClient(trust_env=False) as http:
            gateway = load_gateway(tmp_path / "sms.yaml", http)
            assert "s3cret" not in repr(gateway)
            mine = telling.sending({Channel.SMS: gateway})
            server.answer = lambda _: (503, {}, b"busy with +8613800138000")
            await telling.tell(mine)
            assert (await states(telling))[-1] == (DeliveryState.WAITING, "gateway.status_503")
            async with telling.view() as view:
                ref = await view.value(sa.select(notices.c.ref))
                assert (await inbox.reached(view, requests=[ref]))[ref].how is Reached.FAILED, "not delivered so far"
            server.answer = lambda _: (200, {}, b'{"result": {"code": 7}}')  # took it, and says that it did not
            await telling.tell(mine)
            assert len(server.came) == 1, "not before its time"
            telling.clock.advance(seconds=6)
            await telling.tell(mine)
            server.answer = lambda _: (200, {}, b'{"result": {"code": 0}}')
            telling.clock.advance(seconds=34)
            await telling.tell(mine)
    assert (await states(telling))[-1] == (DeliveryState.SENT, None)
    assert len(server.came) == 3
    assert len({one["more"][0]["id"] for one in server.bodies}) == 1
    assert server.bodies[0]["mobile"] == "13800138000"
    assert server.came[0][1]["authorization"] == "Bearer s3cret"
    assert telling.ended[-3:] == [("sms", "failed"), ("sms", "failed"), ("sms", "sent")]


async def test_what_can_never_arrive_is_given_up_and_the_clerk_sees_it(small: Telling, tmp_path: Path) -> None:
    await asked(small, 1)
    with answering() as server:
        (tmp_path / "g.yaml").write_text(f'url: http://127.0.0.1:{server.port}/\nbody: {{to: "${{phone}}"}}\n')
        async with httpx.AsyncClient(trust_env=False) as http:
            mine = small.sending({Channel.SMS: load_gateway(tmp_path / "g.yaml", http)})
            server.answer = lambda _: (400, {}, b"")
            await small.tell(mine)
    assert (await states(small))[-1] == (DeliveryState.DEAD, "gateway.status_400")
    async with small.view() as view:
        ref = await view.value(sa.select(notices.c.ref))
        assert (await inbox.reached(view, requests=[ref]))[ref].how is Reached.FAILED
        assert (await inbox.reached(view, requests=["unknown"]))["unknown"].how is Reached.WALLET


async def test_a_message_is_given_up_when_its_time_is_over(small: Telling) -> None:
    await asked(small, 1)
    nowhere = small.sending({})
    for _ in range(12):
        await small.tell(nowhere)
        small.clock.advance(hours=20)
    assert (await states(small))[-1] == (DeliveryState.DEAD, "delivery.no_transport")
    async with small.view() as view:
        assert await view.value(sa.select(sa.func.max(deliveries.c.attempts))) < 12
    async with small.tx() as tx:
        assert await forget_ended(tx) == 0
    small.clock.advance(days=91)
    async with small.tx() as tx:
        assert await forget_ended(tx) == 2, "the code and the message"
        assert await tx.value(sa.select(sa.func.count()).select_from(notices)) == 1, "the wallet keeps what it said"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("url: https://a.example/\n", "needed"),
        ("url: https://a.example/\nbody: {}\nmethod: GET\n", "POST or PUT"),
        ("url: https://a.example/${phone}\nbody: {}\n", "without placeholders"),
        ("url: https://a.example/\nbody: {x: '${nonsense}'}\n", "nonsense"),
        ("url: https://a.example/\nbody: {}\nsecrets: open\n", "chmod 600"),
        ("url: [", "cannot be read"),
    ],
)
def test_a_gateways_file_is_refused_with_the_reason(text: str, wrong: str, tmp_path: Path) -> None:
    (tmp_path / "open").write_text("A=b\n")
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "sms.yaml").write_text(text)
    with pytest.raises(ValueError, match=re.escape(wrong)):
        load_gateway(tmp_path / "sms.yaml", httpx.AsyncClient())


def test_settings_say_what_is_offered(tmp_path: Path) -> None:
    assert offered(Settings(data_dir=tmp_path)) == frozenset()
    files = Settings(data_dir=tmp_path, notice_files_dir=tmp_path)
    assert offered(files) == {Channel.EMAIL, Channel.SMS} == set(open_ways(files).transports)
    with pytest.raises(ValueError, match="smtp_from"):
        Settings(data_dir=tmp_path, smtp_host="mail.example")
    mail = Settings(data_dir=tmp_path, smtp_host="mail.example", smtp_from=SENDER)
    assert offered(mail) == {Channel.EMAIL}
    with pytest.raises(ValueError, match="outgoing_ca_file"):
        open_ways(Settings(data_dir=tmp_path, outgoing_ca_file=tmp_path / "none.pem"))


KILLED = """
import asyncio, sys
sys.path[:0] = [{root!r}, {root!r} + "/tests"]
from pathlib import Path
from parts import FixedClock
from notices.telling import Telling
from web.api.apiworld import own_keys
from hub.notices.model import Channel
from hub.notices.run import tell_once

class Hanging:
    async def send(self, message):
        Path({mark!r}).write_text(message.id)
        await asyncio.sleep(600)

async def go():
    world = Telling({url!r}, FixedClock(), Path({folder!r}), own_keys(Path({folder!r}) / "keys"))
    await tell_once(world.db, types=world.types, deliverer=world.sending({{Channel.SMS: Hanging()}}))

asyncio.run(go())
"""


async def test_a_process_killed_between_commit_and_send_loses_nothing(small: Telling, tmp_path: Path) -> None:
    """kill -9 while the message is on its way: after the lease another process sends it, under the same id."""
    telling = small
    await asked(telling, 1)
    mark, own = tmp_path / "mark", tmp_path / "killed"
    own.mkdir()
    script = KILLED.format(root=str(ROOT), mark=str(mark), url=telling.db_url, folder=str(own))
    child = subprocess.Popen([sys.executable, "-c", script], env=os.environ | {"PYTHONUTF8": "1"})  # noqa: ASYNC220
    try:
        deadline = time.monotonic() + 60
        while not mark.exists() and time.monotonic() < deadline:
            assert child.poll() is None
            await asyncio.sleep(0.05)
        message_id = mark.read_text()
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    await telling.tell()
    assert telling.messages() == [], "its lease still runs"
    telling.clock.advance(seconds=LEASE.total_seconds() + 1)
    await telling.tell()
    assert [one for one, _, _ in telling.messages()] == [message_id]
    assert not await tell_once(telling.db, types=telling.types, deliverer=telling.deliverer)
