"""`python -m adapters.demo` (`./run demo`): the school-place story on this machine, over real HTTP, with pages to open.

--check      headless, ends by itself; the last line of standard output is one JSON summary; 1 on any surprise
--reset      start anew; otherwise a second start reuses everything
--data DIR   where everything is kept (./data/demo; for --check a folder that is deleted afterwards)
--port N     where the hub listens (8000, or any free port when that is taken)
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
from rich.cells import cell_len

from adapters.demo import folder as folders
from adapters.demo import people_at_pages as pages
from adapters.demo import play
from adapters.demo.browser import Browser
from adapters.demo.processes import ChildFailed, Children, DemoEnds, end_politely, free_port
from adapters.demo.stores import STORES
from adapters.demo.telling import Surprise, Teller, surprise
from adapters.demo.world import World, await_hub, environment, launch_hub, read_stores, resync, write_stores
from hub.errors import HubError
from keys.errors import KeyFault

PORT = 8000


def main(arguments: Sequence[str] | None = None) -> int:
    """Play; gives the exit code."""
    options = _options(arguments)
    end_politely()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")  # Chinese in any locale
    teller = Teller(quiet=options.check)
    summary: dict[str, Any] = {"ok": False}
    code = 1
    try:
        with ExitStack() as stack:
            temporary = options.check and options.data is None
            chosen = (
                stack.enter_context(tempfile.TemporaryDirectory(prefix="yimen-demo-")) if temporary else None
            )
            place = Path(chosen or options.data or Path("data") / "demo").resolve()
            summary |= _run(options, place, teller)
            code = 0
    except Surprise as fault:
        teller.console.print(f"\n✗ {fault.zh}\n  {fault.en}", style="red", markup=False)
        summary |= {"error": fault.en}
    except (ChildFailed, HubError, KeyFault) as fault:
        teller.console.print(f"\n✗ {getattr(fault, 'zh', '')} {fault}", style="red", markup=False)
        summary |= {"error": str(fault)[:500]}
    except KeyboardInterrupt:
        teller.console.print("\n已停止，平台也已关闭。 Stopped; the hub is down.")
        code = 130 if options.check else 0
    summary["seconds"] = round(teller.elapsed, 1)
    if options.check:
        print(json.dumps(summary, ensure_ascii=False))
    return code


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="yimen demo", description="演示：积分入学。 The school-place story."
    )
    parser.add_argument("--check", action="store_true", help="无界面自检，最后一行是 JSON。 Headless check.")
    parser.add_argument("--reset", action="store_true", help="清空后重来。 Start anew.")
    parser.add_argument(
        "--port", type=int, help="端口，默认 8000。 Port of the hub; any free one for --check."
    )
    parser.add_argument("--data", type=Path, help="数据目录。 Data folder (./data/demo).")
    parser.add_argument(
        "--families", type=int, default=40, help="核验评分的家庭数，1 到 40。 Families that are scored."
    )
    parser.add_argument(
        "--keep-running",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="讲完后平台继续运行。 Stay up.",
    )
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace, place: Path, teller: Teller) -> dict[str, Any]:
    """Play the story, or take up where an earlier start ended; stay until told to stop unless checking."""
    with folders.claimed(place):
        known = folders.record(place)
        again = bool(known.get("complete")) and not options.reset
        if not again:
            if known and not options.reset:
                teller.note("上一次没有讲完，从头开始。", "The last start did not finish; starting anew.")
            folders.empty(place)
        usual = 0 if options.check else PORT
        port = free_port(int(known["port"]) if again else usual if options.port is None else options.port)
        if again and port != int(known["port"]):
            surprise(
                f"上次用的端口 {known['port']} 被占用；签发的证照里写着这个地址，不能换。请释放端口，或用 --reset 重来",
                f"port {known['port']} is taken, and certificates name that address: free it, or start with --reset",
            )
        url = f"http://127.0.0.1:{port}"
        os.environ["YIMEN_HUB"] = url  # what every agent.yaml asks for
        (place / "logs").mkdir(mode=0o700, exist_ok=True)
        with Children(environment(place, url, port)) as children:
            world = World(
                place, url, children, teller, read_stores(place) if again else _stores(place, port, url)
            )
            if again:
                hub, summary = _take_up(world, known)
            else:
                hub, summary = play.everything(world, families=options.families)
                kept = {
                    "port": port,
                    "url": url,
                    "complete": True,
                    "log_key": world.log_key,
                    "summary": summary,
                }
                folders.write_record(place, kept)
            if not options.check and options.keep_running:
                _stay(world, hub)
            return summary | {"ok": True}


def _stores(place: Path, port: int, url: str) -> Any:
    folders.write_record(place, {"port": port, "url": url, "complete": False})
    return write_stores(place)


def _take_up(world: World, known: dict[str, Any]) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    teller = world.teller
    teller.chapter("接着用上次的城市", "The city of the last start is reused")
    world.log_key = str(known["log_key"])
    hub = launch_hub(world)
    await_hub(world, hub)
    standing = resync(world)
    report = world.yimen("ledger", "check", codes=(0, 1))
    if not report["ok"]:
        surprise(f"日志有误：{report['failures'][:3]}", "the ledger check fails")
    teller.note(
        f"全部沿用：{standing} 份证照有效，日志 {report['size']} 条完好；各部门重新同步，没有变化的一律不动。"
        "要从头再来：./run demo --reset",
        f"Everything is reused: {standing} certificates stand, a ledger of {report['size']} leaves is whole; agents "
        "synced again. To start anew: ./run demo --reset",
    )
    return hub, {**known["summary"], "reused": True, "certificates": standing}


def _stay(world: World, hub: subprocess.Popen[str]) -> None:
    """Print where to go, finish the printed faces in the background, and wait for Ctrl-C."""
    _addresses(world)
    threading.Thread(target=_faces, args=(world,), daemon=True).start()
    while True:
        with suppress(subprocess.TimeoutExpired):
            hub.wait(3600)
            surprise("平台自己停了，见 logs/hub.log", "the hub stopped by itself: see logs/hub.log")


def _faces(world: World) -> None:
    """In the background: the printed faces of the story's parent first, then everybody's, letting others go first."""
    with suppress(ChildFailed, Surprise, DemoEnds, ValueError, httpx.HTTPError):
        with Browser(world.url) as browser:
            pages.sign_in(browser, pages.person_key(world.written.family("school")), "/wallet")
            mine = pages.cards(browser)
        for wanted in (mine, []):
            for slug in STORES:
                world.agent(slug, "faces", *wanted, calmly=True)


def _addresses(world: World) -> None:
    console = world.teller.console
    with Browser(world.url) as browser:
        officers = [
            (zh, f"{pages.officer_identity(browser, office, role)}&next={start}")
            for zh, office, role, start in (
                ("窗口工作人员 counter clerk", "教育局", "窗口", "/counter"),
                ("发证部门 issuing officer", "学位", "发证", "/officer"),
                ("复核人员 second approver", "学位", "复核", "/officer"),
                ("审计人员 auditor", "审计局", "审计", "/auditor"),
                ("平台运维 operator", "数据管理局", "运维", "/admin"),
            )
        ]
    parent = pages.person_key(world.written.family("school"))
    console.print()
    console.rule("[bold]打开看看[/bold]  Open these, one click to sign in", align="left")
    places = [("首页 home", "/"), ("家长 the parent", f"/login?as={parent}&next=/wallet")]
    places += [(label, f"/login?as={rest}") for label, rest in officers]
    places += [("演示发件箱 outbox", "/outbox"), ("任何人核验 anybody", "/verify"), ("接口描述 API", "/openapi.json")]
    for label, path in places:
        console.print(f"  {label}{' ' * (28 - cell_len(label))}{world.url}{path}", soft_wrap=True)
    console.print(f"\n  数据 data: {world.folder}    停止 stop: Ctrl-C\n")


if __name__ == "__main__":
    sys.exit(main())
