"""The gateway's configuration: who it is, where it listens, and which requests an old system may make."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from adapters.yamltree import Value, read
from hub.formats.sdjwt import is_issuer_url

Path_ = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """One thing the old system may ask. Without `fields` a type is asked for all that the item allows.

    `columns` are the flat values of the answer: name -> (type, path in its claims).
    """

    name: str
    item: str
    purpose: str
    basis: str
    types: tuple[str, ...]
    fields: Mapping[str, tuple[Path_, ...]]
    columns: Mapping[str, tuple[str, Path_]]
    days: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Folders in which files are left and answered."""

    incoming: Path
    outgoing: Path
    encoding: str


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """The whole file. `token` is the file with the local password."""

    department: str
    hub: str
    keys: Path
    state: Path
    token: Path
    host: str
    port: int
    log_key: str
    keep_days: int
    services: Mapping[str, Service]
    drop: Drop | None


def load(path: str | Path, *, environment: Mapping[str, str] | None = None) -> GatewayConfig:
    """Read it; relative paths count from its own folder. Raises `ConfigFault` with line, column and remedy."""
    file = Path(path)
    folder = file.resolve().parent
    top = read(file, environment).members("gateway", "services", "drop", required=("gateway", "services"))
    own = top["gateway"].members(
        "department", "hub", "keys", "state", "token", "listen", "log_key", "keep_days",
        required=("department", "hub"),
    )  # fmt: skip
    hub = own["hub"].text().rstrip("/")
    if not is_issuer_url(hub):
        raise own["hub"].fault(
            "bad_hub", "枢纽地址应为 https:// 开头的网址。", "The hub is an https address."
        )
    host, port = _listen(own["listen"]) if "listen" in own else ("127.0.0.1", 8899)
    services = [_service(item) for item in top["services"].items()]
    return GatewayConfig(
        own["department"].text(empty=False), hub, folder / _or(own, "keys", "keys"),
        folder / _or(own, "state", "gateway.db"), folder / _or(own, "token", "local.token"), host, port,
        own["log_key"].text(empty=False) if "log_key" in own else "",
        own["keep_days"].integer(1, 90) if "keep_days" in own else 7,
        {service.name: service for service in services}, _drop(top["drop"], folder) if "drop" in top else None,
    )  # fmt: skip


def _or(found: Mapping[str, Value], name: str, usual: str) -> str:
    return found[name].text(empty=False) if name in found else usual


def _listen(value: Value) -> tuple[str, int]:
    host, _, port = value.text().rpartition(":")
    if not host or not port.isdigit() or not 1 <= int(port) <= 65_535:
        raise value.fault("listen", "应为 地址:端口。", "It is address:port.", "例如 127.0.0.1:8899。")
    return host, int(port)


def _service(value: Value) -> Service:
    found = value.members(
        "name", "item", "purpose", "basis", "types", "fields", "columns", "days",
        required=("name", "item", "purpose", "types"),
    )  # fmt: skip
    types = found["types"].texts()
    fields = (
        {kind: _paths(one) for kind, one in found["fields"].entries().items()} if "fields" in found else {}
    )
    columns = {}
    for name, one in found["columns"].entries().items() if "columns" in found else ():
        kind, *steps = one.text(empty=False).split(".")
        if kind not in types or not steps:
            raise one.fault(
                "column", "应为 证照类型.字段。", "It is type.claim.", f"类型有：{'、'.join(types)}。"
            )
        columns[name] = (kind, tuple(steps))
    return Service(
        found["name"].text(empty=False), found["item"].text(empty=False), found["purpose"].text(empty=False),
        found["basis"].choice("holder", "guardian") if "basis" in found else "holder", types, fields, columns,
        found["days"].integer(1, 30) if "days" in found else 7,
    )  # fmt: skip


def _paths(value: Value) -> tuple[Path_, ...]:
    return tuple(tuple(text.split(".")) for text in value.texts())


def _drop(value: Value, folder: Path) -> Drop:
    found = value.members("in", "out", "encoding", required=("in", "out"))
    encoding = found["encoding"].choice("gb18030", "utf-8") if "encoding" in found else "gb18030"
    return Drop(folder / found["in"].text(empty=False), folder / found["out"].text(empty=False), encoding)
