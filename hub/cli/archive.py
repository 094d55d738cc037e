"""`yimen archive verify FILE`: check the archive package of a case offline, and take it apart without any hub."""

from pathlib import Path
from typing import Annotated

import typer

from hub.cli.output import FAILED, PARTLY, Json, tell
from hub.formats.note import parse_vkey

app = typer.Typer(
    help="办件归档包。 Archive packages of cases.", no_args_is_help=True, rich_markup_mode=None
)
_MARKS = {True: "✓", False: "✗", None: "?"}


@app.callback()
def _group() -> None:
    """A group with one command stays a group."""


@app.command(help="离线核对归档包。 Check an archive package offline.")
def verify(
    file: Annotated[Path, typer.Argument(help="归档包（ZIP）。 The package (ZIP).")],
    log_key: Annotated[
        str, typer.Option(help="您保存的日志公钥。 The ledger key that you pinned, from an auditor.")
    ] = "",
    json_out: Json = False,
) -> None:
    """Exit code 0: every check holds. 1: one does not. 3: something could not be checked, which is not a yes."""
    from hub.cases.archivecheck import check_package  # brings PDF libraries: no other command waits for them

    pinned = parse_vkey(log_key.strip()) if log_key else None
    index, findings = check_package(file.read_bytes(), log_key=pinned)
    told = {
        "ok": all(one.holds for one in findings),
        "case": index.get("case"),
        "outcome": index.get("outcome"),
        "files": len(index["files"]),
        "checks": [{"name": f.name, "holds": f.holds, "zh": f.zh, "en": f.en} for f in findings],
    }
    lines = [f"{_MARKS[one.holds]} {one.zh} / {one.en}" for one in findings]
    tell(told, [*lines, f"{told['case']} · {told['files']} 个文件 files"], as_json=json_out)
    if any(one.holds is False for one in findings):
        raise typer.Exit(FAILED)
    if not told["ok"]:
        raise typer.Exit(PARTLY)
