"""`yimen config show`: every setting, its value, and where the value came from."""

import os
from pathlib import Path
from typing import Any

import typer
import yaml
from pydantic import SecretStr

from hub.cli.output import Json, tell
from hub.config import Settings, config_files

app = typer.Typer(help="设置。 Settings.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """设置。 Settings."""


@app.command(help="显示每项设置及其来源。 Show every setting and where it comes from.")
def show(json_out: Json = False) -> None:
    """Secrets are masked; a password in the database URL too."""
    settings = Settings()
    told = {
        name: {"value": shown(settings, name), "source": source(name)} for name in type(settings).model_fields
    }
    lines = [f"{name:22} {entry['value']!s:44} {entry['source']}" for name, entry in told.items()]
    tell(told, lines, as_json=json_out)


def shown(settings: Settings, name: str) -> Any:
    """The value as it may be shown."""
    value = getattr(settings, name)
    if isinstance(value, SecretStr):
        return "********" if value.get_secret_value() else ""
    if name == "database_url":
        from sqlalchemy.engine import make_url

        return make_url(value).render_as_string(hide_password=True)
    return str(value) if isinstance(value, Path) else value


def source(name: str) -> str:
    """Where the value of a setting came from."""
    if os.environ.get(f"YIMEN_{name.upper()}"):
        return f"环境变量 environment YIMEN_{name.upper()}"
    for path in reversed(config_files()):
        if path.is_file() and name in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}):
            return f"文件 file {path}"
    return "默认值 default"
