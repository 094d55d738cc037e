"""What adapter tests share: a configuration written to a file, a DBF writer, made-up resident numbers."""

import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from parts import FixedClock, free_port
from pydantic import SecretStr
from runninghub import RunningHub, served

from hub import main
from hub.config import Settings
from hub.formats.identifiers import resident_check_character
from keys.files import Keyring

HUB_PASSPHRASE = "test-only-passphrase"

ConfigWriter = Callable[..., Path]

AGENT = """\
agent: {department: dg-degree, hub: "http://hub.test", state: state.db, keys: keys}
"""
DEGREE = """\
datasets:
  - id: degree
    type: degree
    query: select * from xwzs
    key: [id]
    holders:
      - {role: owner, name: {from: xm}, id_type: {const: "111"}, id_no: {from: sfzh, type: resident_id}}
    claims:
      education_level: {const: bachelor}
      degree_level: {from: xwlx, codes: {"2": doctor, "3": master, "4": bachelor}}
      school: {from: xxmc}
      conferred_on: {from: bydate, type: date, formats: ["%Y%m%d", "%Y-%m-%d"], null_values: ["00000000"]}
    number: {from: zsbh}
"""


def resident_number(serial: int, born: str = "19940315") -> str:
    """A made-up number of Dongguan with a right check character; `serial` 0 to 999."""
    body = f"441900{born}{serial:03d}"
    return body + resident_check_character(body)


@pytest.fixture
def degree_dataset() -> str:
    """The dataset that configurations of the tests have unless they say otherwise."""
    return DEGREE


@pytest.fixture
def resident() -> Callable[..., str]:
    return resident_number


@pytest.fixture
def config_file(tmp_path: Path) -> ConfigWriter:
    """Write a configuration: `config_file(source_line, datasets)`."""

    def write(
        source: str = 'source: {url: "sqlite:///legacy.db"}', datasets: str = DEGREE, agent: str = AGENT
    ) -> Path:
        path = tmp_path / "agent.yaml"
        path.write_text(f"{agent}{source}\n{datasets}", encoding="utf-8")
        return path

    return write


def dbf_bytes(
    fields: Sequence[tuple[str, str, int, int]],
    records: Sequence[Sequence[bytes]],
    *,
    deleted: Sequence[int] = (),
    code_page: int = 0,
    claimed: int | None = None,
) -> bytes:
    """A dBASE III table. `fields`: (name, type, length, decimals); cells are raw bytes, padded on the right."""
    record_length = 1 + sum(field[2] for field in fields)
    header_length = 32 + 32 * len(fields) + 1
    count = len(records) if claimed is None else claimed
    head = struct.pack("<B3BIHH", 3, 126, 11, 23, count, header_length, record_length) + bytes(17)
    head += bytes([code_page]) + bytes(2)
    described = b"".join(
        name.encode("gb18030").ljust(11, b"\0")
        + kind.encode()
        + bytes(4)
        + bytes([length, decimals])
        + bytes(14)
        for name, kind, length, decimals in fields
    )
    body = b"".join(
        (b"*" if place in deleted else b" ")
        + b"".join(cell.ljust(field[2]) for cell, field in zip(record, fields, strict=True))
        for place, record in enumerate(records)
    )
    return head + described + b"\r" + body + b"\x1a"


@pytest.fixture
def dbf() -> Callable[..., bytes]:
    return dbf_bytes


# --- a real hub on a real socket ---


@pytest.fixture(scope="session")
def hub_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub's own keys and secrets, made once: sealing them is slow on purpose."""
    folder = tmp_path_factory.mktemp("keys") / "hub"
    keyring = Keyring(folder, HUB_PASSPHRASE)
    for purpose, alg in (("token", "ES256"), ("receipt", "ES256"), ("ledger", "EdDSA")):
        keyring.create(purpose, alg=alg, not_before=FixedClock()())
    for name in (main.KEK, main.PEPPER):
        keyring.secret(name)
    return folder


@pytest.fixture
def running_hub(
    sqlite_database: str, tmp_path: Path, clock: FixedClock, hub_keys: Path
) -> Iterator[RunningHub]:
    """A whole hub, as `hub.main` wires it, served by uvicorn in a thread."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = Settings(
        public_url=url, data_dir=tmp_path / "hub", database_url=sqlite_database.replace("+aiosqlite", ""),
        key_passphrase=SecretStr(HUB_PASSPHRASE),
    )  # fmt: skip
    shutil.copytree(hub_keys, settings.keyring_dir)
    with served(settings, clock, port) as found:
        yield found


# --- a department's old database ---

COLUMNS = "id integer, xm, sfzh, xwlx, xxmc, bydate, zsbh"


@pytest.fixture
def legacy(tmp_path: Path):
    connection = sqlite3.connect(tmp_path / "legacy.db", isolation_level=None)
    connection.execute(f"create table xwzs ({COLUMNS})")
    yield connection
    connection.close()


@pytest.fixture
def fill(legacy, resident):
    def rows(first: int, last: int) -> None:
        for id_ in range(first, last + 1):
            legacy.execute(
                "insert into xwzs values (?, ?, ?, ?, ?, ?, ?)",
                (
                    id_,
                    f"张{chr(0x4E00 + id_)}",
                    resident(id_),
                    "4",
                    "东莞理工学院",
                    "20160705",
                    f"Z{id_:06d}",
                ),
            )

    return rows
