"""`yimen-gateway`: keys, enrolment, the local door and file drop, and a sandbox, for a reviewing department's shell."""

import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from adapters import gatewayconfig, gatewaydrop
from adapters.enrolment import Enrolment
from adapters.gateway import Gateway
from adapters.gatewayconfig import GatewayConfig
from adapters.gatewaydoor import PLAIN, door
from adapters.gatewaysandbox import PEOPLE, Sandbox
from adapters.gatewaytickets import Tickets
from adapters.model import AgentConfig
from adapters.shell import ConfigPath, say, stop
from adapters.state import State
from adapters.verifier import VerifierClient
from hub.clock import now
from hub.errors import HubError
from hub.formats.note import parse_vkey
from keys.errors import KeyFault
from keys.files import Keyring

PASSPHRASE = "YIMEN_GATEWAY_PASSPHRASE"
CONFIG = Path("gateway.yaml")
EVERY = 2.0
app = typer.Typer(
    help="用证网关：旧系统只认一个本地口令，其余由网关代办。 The gateway of a reviewing department.",
    no_args_is_help=True,
    add_completion=False,
)
SandboxFlag = Annotated[
    bool, typer.Option("--sandbox", help="沙箱：固定的人和结果 fixed people and outcomes")
]


def main() -> None:
    """The `yimen-gateway` command."""
    app(prog_name="yimen-gateway")


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except HubError as fault:
        located = hasattr(fault, "line")
        stop(
            str(fault) if located else f"{fault.zh}\n{fault.en}", "" if located else fault.next_zh, fault.code
        )
    except KeyFault as fault:
        stop(f"{fault.zh}\n{fault.en}", "", fault.code)


def _keyring(config: GatewayConfig) -> Keyring:
    secret = os.environ.get(PASSPHRASE) or typer.prompt("密钥口令 Passphrase", hide_input=True, err=True)
    return Keyring(config.keys, secret)


def client_of(config: GatewayConfig, keyring: Keyring) -> VerifierClient:
    """The department's calls at the hub, with its client key."""
    return VerifierClient(config.hub, config.department, lambda: keyring.active("client", now()))


def password_of(config: GatewayConfig) -> str:
    """The local password, made at first use; only this account can read its file."""
    if not config.token.exists():
        config.token.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(config.token, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as stream:
            stream.write(secrets.token_urlsafe(32))
    return config.token.read_text().strip()


@app.command()
def init(config: ConfigPath = CONFIG) -> None:
    """写一份样例配置。 Write a sample configuration."""
    if config.exists():
        stop(f"{config} 已存在。\n{config} is there already.", "", "gateway.exists")
    config.write_text(
        files("adapters").joinpath("gateway.sample.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    say(f"✓ 已写样例 {config}，改好后运行 enrol。 A sample was written: edit it, then enrol.")


@app.command(context_settings={"ignore_unknown_options": True})
def enrol(
    code: Annotated[str, typer.Argument(envvar="YIMEN_ENROLMENT_CODE", help="登记码 one-time code")] = "",
    config: ConfigPath = CONFIG,
) -> None:
    """生成客户端密钥，用一次性登记码登记。 Make the client key and register it with a one-time code."""
    with _telling():
        found = gatewayconfig.load(config)
        keyring = _keyring(found)
        me = AgentConfig(found.department, found.hub, found.state, found.keys)
        with (
            closing(client_of(found, keyring)) as client,
            closing(State(found.state.with_suffix(".keys"))) as state,
        ):
            enrolment = Enrolment(me, keyring, state, client, now, purposes=("client",))
            for kid in enrolment.enrol((code or typer.prompt("登记码 Code", hide_input=True)).strip()):
                say(f"✓ {kid}")
        password_of(found)
        say(f"✓ 本地口令在 {found.token.name}。 The local password is in {found.token.name}.")


@app.command()
def serve(config: ConfigPath = CONFIG, sandbox: SandboxFlag = False) -> None:
    """本地接口和文件投递，一直运行。 The local door and the file drop, until it is stopped."""
    with _telling():
        found = gatewayconfig.load(config)
        if sandbox:
            state = found.state.with_suffix(".sandbox")  # never the tickets of real people
            with closing(Tickets(state)) as tickets:
                _run(found, Sandbox(found, tickets))
            return
        keyring = _keyring(found)
        pinned = parse_vkey(found.log_key) if found.log_key else None
        with closing(client_of(found, keyring)) as client, closing(Tickets(found.state)) as tickets:
            _run(found, Gateway(found, client, tickets, log_key=pinned))


def _run(config: GatewayConfig, desk: Gateway | Sandbox) -> None:
    stopping = threading.Event()

    def work() -> None:
        while not stopping.wait(EVERY):
            try:
                desk.work()
                if config.drop is not None:
                    gatewaydrop.sweep(desk, config.drop)
            except (HubError, OSError) as fault:  # one bad round must not end the service
                say(f"✗ {type(fault).__name__}", "red")

    worker = threading.Thread(target=work)
    worker.start()
    say(f"✓ http://{config.host}:{config.port}/verify")
    try:
        uvicorn.run(
            door(desk, password_of(config)),
            host=config.host,
            port=config.port,
            log_level="warning",
            access_log=False,
            **PLAIN,
        )
    finally:
        stopping.set()
        worker.join()


@app.command()
def people() -> None:
    """沙箱里固定的人和结果。 The fixed people of the sandbox and what happens to them."""
    for number, outcome in PEOPLE.items():
        say(f"{number}  {outcome}")


@app.command()
def listen(
    config: ConfigPath = CONFIG,
    sandbox: SandboxFlag = False,
    seconds: Annotated[int, typer.Option("--seconds", help="听多久，0 不停 0: for ever")] = 0,
) -> None:
    """看着受理号的状态变化，不显示个人信息。 Watch tickets change; nothing personal is shown."""
    with _telling():
        found = gatewayconfig.load(config)
        with closing(Tickets(found.state.with_suffix(".sandbox") if sandbox else found.state)) as tickets:
            seen: dict[str, str] = {}
            end = time.monotonic() + seconds if seconds else float("inf")
            while time.monotonic() < end:
                for ticket, state, code in tickets.states():
                    if seen.get(ticket) != state:
                        seen[ticket] = state
                        say(f"{ticket} {state} {code}".rstrip())
                time.sleep(0.5)


@app.command()
def trigger(outcome: str, service: str, config: ConfigPath = CONFIG) -> None:
    """在沙箱里直接造出一种结果。 Make one outcome happen in the sandbox."""
    with _telling():
        found = gatewayconfig.load(config)
        with closing(Tickets(found.state.with_suffix(".sandbox"))) as tickets:
            desk = Sandbox(found, tickets)
            numbers = {name: number for number, name in PEOPLE.items()}
            if outcome not in numbers:
                stop(f"没有这种结果。有：{'、'.join(numbers)}", "", "sandbox.outcome")
            asked = {"service": service, "id_no": numbers[outcome], "reference": secrets.token_urlsafe(8)}
            ticket = desk.accept(asked)
            desk.trigger(ticket)
            say(f"{ticket.id} {outcome}")


if __name__ == "__main__":
    main()
