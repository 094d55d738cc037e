"""Work orders: a file that an officer handed in at the hub is signed here, or not at all (DESIGN section 3, rule 15).

The hub only passes it on. Before anything is signed: 1. the configuration says how such a file is read; 2. one officer
handed it in and another confirmed it; 3. it has no more rows than we allow; 4. every row passes the same mapping, type
check and quarantine as a row of our own database. A row that is handed in twice is one certificate.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from adapters.answers import WorkOrder
from adapters.deliver import deliver
from adapters.desk import Desk
from adapters.model import Config, Dataset, FileSource
from adapters.reading import Pass
from adapters.source import SourceFault
from adapters.sync import PATIENCE


@dataclass(frozen=True, slots=True)
class OrderReport:
    """What became of one order. `code` is empty when it is done, else why it still waits."""

    id: str
    type: str
    rows: int
    signed: int
    quarantined: int
    code: str = ""


def work_orders(desk: Desk, config: Config) -> list[OrderReport]:
    """Fetch, sign and end every order that waits for this department. Safe to repeat after a kill at any point."""
    with desk.state.alone(patience=PATIENCE if any(one.lookup for one in config.datasets) else 0):
        deliver(desk)
        return [_one(desk, config, order) for order in desk.client.work_orders()]


def _one(desk: Desk, config: Config, order: WorkOrder) -> OrderReport:
    reading = next((one for one in config.orders if one.type == order.type), None)
    if reading is None:  # 1
        return _waits(order, "order.no_mapping")
    if not order.confirmed_by or order.confirmed_by in ("None", order.made_by):  # 2
        return _waits(order, "order.not_confirmed")
    if order.rows > config.max_order_rows:  # 3
        return _waits(order, "order.too_many_rows")
    data = desk.client.work_order_file(order.id)
    with tempfile.TemporaryDirectory(prefix="yimen-order-", dir=desk.me.state.parent) as folder:
        try:
            signed = _sign(desk, reading, data, Path(folder) / "rows.csv")  # 4
        except SourceFault as fault:
            return _waits(order, fault.code)
    signed = min(signed, order.rows)
    desk.client.end_work_order(order.id, signed=signed, quarantined=order.rows - signed)
    return OrderReport(order.id, order.type, order.rows, signed, order.rows - signed)


def _sign(desk: Desk, reading: Dataset, data: bytes, path: Path) -> int:
    """How many rows of the file stand as certificates now."""
    path.write_bytes(data)
    source = FileSource(path, "csv", encoding=_encoding(data))
    one = Pass(desk, replace(reading, source=source))
    one.take_in()
    return sum(one.counts[name] for name in ("registered", "superseded", "unchanged"))


def _encoding(data: bytes) -> str:
    """What the hub accepts: UTF-8, with or without a byte-order mark, else GB 18030."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "gb18030"
    return "utf-8-sig"


def _waits(order: WorkOrder, code: str) -> OrderReport:
    return OrderReport(order.id, order.type, order.rows, 0, 0, code)
