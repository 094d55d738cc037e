"""The `lookup:` part of a dataset, and the pinned key of the ledger: what answering pulls needs."""

from collections.abc import Sequence

from adapters.model import AnySource, HolderRule, HttpSource, Lookup
from adapters.yamltree import Value
from hub.errors import HubError
from hub.formats.note import parse_vkey

SAID = ("id_no", "name")


def lookup_of(value: Value, source: AnySource, holders: Sequence[HolderRule]) -> Lookup:
    """How a person is found. Without `by` each column that holds a holder's number is asked."""
    found = value.members("by", "only", "timeout", "rate", "at_once", "require_passkey")
    if isinstance(source, HttpSource):
        raise value.fault(
            "lookup",
            "接口数据源不能按人查询，只有数据库和文件可以。",
            "A paged service cannot be asked for one person: databases and files can.",
        )
    by = tuple(_columns(one) for one in found["by"].items()) if "by" in found else ()
    by = by or tuple(((one.id_no.column, "id_no"),) for one in holders if one.id_no.column is not None)
    if not by or any(all(said != "id_no" for _, said in one) for one in by):
        raise value.fault(
            "lookup_by",
            "每组查询列里须有一列是证件号码。",
            "Each way of finding somebody needs a column with their number.",
            "例如 by: [{sfzh: id_no}]。",
            "For example by: [{sfzh: id_no}].",
        )
    usual = Lookup()
    return Lookup(
        by,
        only=found["only"].flag() if "only" in found else False,
        timeout=found["timeout"].integer(1, 8) if "timeout" in found else usual.timeout,
        rate=found["rate"].integer(1, 1000) if "rate" in found else usual.rate,
        at_once=found["at_once"].integer(1, 16) if "at_once" in found else usual.at_once,
        passkey=found["require_passkey"].flag() if "require_passkey" in found else False,
    )


def _columns(value: Value) -> tuple[tuple[str, str], ...]:
    return tuple((column, said.choice(*SAID)) for column, said in value.entries().items())


def log_key_of(value: Value) -> str:
    """A verifier key as `yimen ledger key` or the trust bundle tells it."""
    try:
        return str(parse_vkey(value.text(empty=False).strip()))
    except HubError as fault:
        raise value.fault("log_key", fault.zh, fault.en) from fault
