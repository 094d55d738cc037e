"""Everything around a sync that can be wrong: files, clock, hub, drivers, what waits, and all that `check` looks at."""

import shutil
import stat
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from adapters import quarantine
from adapters.model import Check
from adapters.state import LOG_KEY

if TYPE_CHECKING:
    from adapters.agent import Agent

SKEW = 30
"""Seconds by which our clock may differ from the hub's: signatures and proofs are judged by time."""
LOW_DISK = 500 * 1024 * 1024
OLD_SYNC = 26 * 3600


def examine(agent: "Agent") -> list[Check]:
    """Look at everything. Changes nothing."""
    return [*_files(agent), *_hub(agent), *_waiting(agent), *agent.check()]


def _files(agent: "Agent") -> Iterator[Check]:
    for name, path in (("state", agent.config.agent.state), ("keys", agent.config.agent.keys)):
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0
        yield Check(
            f"file.{name}", path.exists() and not mode & 0o077,
            f"{path.name} 权限 {mode:o}，应只许本账号读写。", f"{path.name} has mode {mode:o}; only we may read it.",
        )  # fmt: skip
    free = shutil.disk_usage(_existing(agent.config.agent.state.parent)).free
    yield Check(
        "disk",
        free >= LOW_DISK,
        f"状态目录剩余 {free // 2**20} MiB。",
        f"{free // 2**20} MiB left beside the state.",
    )


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def _hub(agent: "Agent") -> Iterator[Check]:
    try:
        answer = httpx.get(f"{agent.config.agent.hub}/.well-known/jwks.json", timeout=10)
    except httpx.HTTPError as fault:
        yield Check(
            "hub", False, f"连不上枢纽（{type(fault).__name__}）。", f"No hub ({type(fault).__name__})."
        )
        return
    yield Check(
        "hub", answer.is_success, f"枢纽回答 {answer.status_code}。", f"The hub answers {answer.status_code}."
    )
    told = answer.headers.get("date")
    if told:
        skew = (agent.desk.now - parsedate_to_datetime(told)).total_seconds()
        yield Check(
            "clock", abs(skew) <= SKEW, f"本机时钟比枢纽{'快' if skew > 0 else '慢'} {abs(skew):.0f} 秒。",
            f"Our clock differs from the hub's by {skew:+.0f} s.",
        )  # fmt: skip


def _waiting(agent: "Agent") -> Iterator[Check]:
    held = quarantine.held(agent.state)
    yield Check(
        "held", not held, f"{len(held)} 项待经办人决定。", f"{len(held)} decisions wait for an officer."
    )
    waiting = agent.state.execute("select count(*), coalesce(max(attempts), 0) from outbox")[0]
    yield Check(
        "outbox", int(waiting[1]) < 3, f"待送 {waiting[0]} 张，最多试过 {waiting[1]} 次。",
        f"{waiting[0]} wait to be sent; at most {waiting[1]} attempts.",
    )  # fmt: skip
    if any(dataset.lookup for dataset in agent.config.datasets):
        yield _log_key(agent)
    for dataset in agent.config.datasets:
        if dataset.lookup is not None and dataset.lookup.only:
            continue  # never read whole
        last = agent.state.last_whole(dataset.id)
        age = (agent.desk.now - datetime.fromisoformat(last[0])).total_seconds() if last else None
        if age is None and not agent.state.count_entries(dataset.id):
            yield Check(
                f"whole.{dataset.id}",
                True,
                "还没有同步过：yimen-agent sync。",
                "Not synced yet: yimen-agent sync.",
            )
            continue
        hours = "-" if age is None else f"{age / 3600:.0f}"
        yield Check(
            f"whole.{dataset.id}", age is not None and age <= OLD_SYNC + dataset.reconcile.every - 86_400,
            f"上次完整读取在 {hours} 小时前。", f"Last read whole {hours} hours ago.",
        )  # fmt: skip


def _log_key(agent: "Agent") -> Check:
    """By which key of the ledger consents are judged when the hub asks for somebody (a pull)."""
    pinned, kept = agent.config.agent.log_key, agent.state.get(LOG_KEY)
    if pinned is not None and kept not in (None, pinned):
        return Check(
            "log_key", False, "配置里的日志公钥与以前用的不同，当场取证一律拒绝。",
            "The pinned ledger key is another than before: every pull is refused.",
        )  # fmt: skip
    if pinned is None:
        return Check(
            "log_key", True, "日志公钥没有固定，用的是第一次见到的；建议写 agent.log_key。",
            "The ledger's key is not pinned: the first one met is kept. Better write agent.log_key.",
        )  # fmt: skip
    return Check("log_key", True, "日志公钥已固定。", "The ledger's key is pinned.")
