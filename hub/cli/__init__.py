"""The `yimen` command: one module for each group of commands, Chinese first in every text."""

import sys

import typer

from hub.cli import (
    archive,
    backup,
    catalogue,
    config,
    department,
    doctor,
    hall,
    idp,
    init,
    ledger,
    notices,
    officer,
    restore,
    resume,
    serve,
    upgrade,
    verify,
    witness,
)
from hub.cli.output import fail
from hub.errors import HubError
from keys.errors import KeyFault

app = typer.Typer(
    name="yimen",
    help="一门：证照核验与共享平台。 Yimen: documents are verified and certificates shared between departments.",
    epilog="退出码 exit: 0 成功 ok, 1 失败 failed, 2 用法 usage, 3 部分 partly, 4 未获授权 denied, 5 网络 network",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
serve.add_to(app)
init.add_to(app)
verify.add_to(app)
doctor.add_to(app)
app.add_typer(archive.app, name="archive")
app.add_typer(catalogue.app, name="catalogue")
restore.add_to(app)
upgrade.add_to(app)
app.add_typer(backup.app, name="backup")
app.add_typer(department.app, name="department")
app.add_typer(officer.app, name="officer")
app.add_typer(hall.app, name="hall")
app.add_typer(idp.app, name="idp")
resume.add_to(ledger.app)
app.add_typer(ledger.app, name="ledger")
app.add_typer(witness.app, name="witness")
app.add_typer(notices.app, name="notices")
app.add_typer(config.app, name="config")


def main() -> None:
    """Run the command line; every refusal becomes two sentences on stderr and an exit code."""
    try:
        app()
    except (HubError, KeyFault, ValueError, OSError) as fault:
        sys.exit(fail(fault, as_json="--json" in sys.argv))


__all__ = ["app", "main"]
