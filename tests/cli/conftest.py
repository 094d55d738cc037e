import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from registry.makers import credit

from hub import cli


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Yimen = Callable[..., Done]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, and an environment without settings."""
    for name in list(os.environ):
        if name.startswith("YIMEN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def yimen(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Yimen:
    """Run one command in this process, as the shell would."""

    def run(*args: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["yimen", *args])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        shown = capsys.readouterr()
        return Done(code, shown.out, shown.err)

    return run


HOST = (
    "--uscc",
    credit(1),
    "--name-zh",
    "政务服务局",
    "--name-en",
    "Services",
    "--login",
    "root",
    "--person",
    "管理员",
)


@pytest.fixture(scope="session")
def first_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a hub after its first day, made once: opening keys is slow on purpose."""
    folder = tmp_path_factory.mktemp("first-day")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("YIMEN_")}
    environment |= {"HOME": str(folder), "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    roster = "部门,登录名,姓名,角色\ndg-gov,second,李四,平台管理员\n"
    (folder / "officers.csv").write_text(roster, encoding="gb18030")
    for command in (("init", "--department", "dg-gov", *HOST), ("officer", "import", "officers.csv")):
        subprocess.run([sys.executable, "-m", "hub.cli", *command], cwd=folder, env=environment, check=True)
    return folder / "data"


@pytest.fixture
def started(yimen: Yimen, home: Path, first_day: Path) -> Yimen:
    """A hub after its first day: initialised, with a second administrator."""
    shutil.copytree(first_day, home / "data")
    return yimen
