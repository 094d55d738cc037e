"""A real hub with people, certificates, faces and looks, to back up, lose and put back."""

import asyncio
import io
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks import stage
from benchmarks.stage import Stage, TestDepartment
from hub import cli, main
from hub.certificates.face import keep_face
from hub.certificates.find import by_public_id
from hub.config import Settings
from hub.main import build
from hub.paper.model import Inspection, Outcome
from hub.verification.model import Ask

# The data files that come with the hub, read once for all commands of a test run.
DATA_FILES = {name: cache(getattr(main, name)) for name in ("load_schemes", "load_types")}


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Town:
    """One hub on a stage and its backup folder."""

    settings: Settings
    departments: dict[str, TestDepartment]
    environment: dict[str, str] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(200))

    def at(self, settings: Settings) -> "Town":
        """The same town with a hub elsewhere; the departments keep their keys and remember for themselves."""
        theirs = {
            slug: replace(one, free=list(one.free), lists=dict(one.lists), seqs=dict(one.seqs))
            for slug, one in self.departments.items()
        }
        return Town(settings, theirs, dict(self.environment))

    @property
    def backups(self) -> Path:
        return self.settings.data_dir.parent / "backups"

    @property
    def database(self) -> Path:
        return self.settings.data_dir / "hub.db"

    def told(self, **other: str) -> dict[str, str]:
        """The environment of a command; `other` replaces settings."""
        return stage.environment_of(self.settings) | {"YIMEN_BACKUP_DIR": str(self.backups)} | self.environment | other

    def yimen(self, *arguments: str, **other: str) -> Done:
        """Run one command in this process, as the shell would."""
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, self.told(**other), clear=True),
            patch.object(sys, "argv", ["yimen", *arguments]),
            patch.multiple(main, **DATA_FILES),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                cli.main()
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        return Done(code, out.getvalue(), err.getvalue())

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
        """Start one command as a process of its own, to be killed or starved."""
        return subprocess.Popen(
            [sys.executable, "-m", "hub.cli", *arguments], env=self.told(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
        )  # fmt: skip

    def refused(self, code: str, *arguments: str, **other: str) -> Done:
        """Run a command that must be refused with this code."""
        done = self.yimen(*arguments, "--json", **other)
        assert done.code != 0, done.out
        assert done.json["error"]["code"] == code, done.out
        return done

    def well(self, *arguments: str, **other: str) -> Any:
        """Run a command that must succeed; its JSON."""
        done = self.yimen(*arguments, "--json", **other)
        assert done.code == 0, done.out + done.err
        return done.json


async def live(town: Stage, number: int, *, publish: bool = True) -> list[str]:
    """Something happens: a certificate with its face, a grant, a look. The ids of the certificate and the look."""
    person = town.person(f"王{number}")
    token = await town.sign("degree", [person.as_holder("owner")])
    made = await town.register(token, by="dg-degree")
    degree = await town.department("dg-degree")
    async with town.tx(town.acting(degree)) as tx:
        await keep_face(
            tx, certificate=await by_public_id(tx, made.certificate), pdf=b"%PDF-1.7 " + bytes(2000),
            inspection=Inspection("pdf", Outcome.FOUND, sd_jwt=token), blobs=town.hub.blobs,
        )  # fmt: skip
    case, granted = await town.grant(person, ["degree"])
    verdicts = await town.verify(case, granted, [Ask("degree")])
    if publish:
        await town.publish()
    return [made.certificate, verdicts[0].access]


def fill(folder: Path, url: str = "", count: int = 3) -> Town:
    """A hub of its own with `count` lives in it, all published, and nothing running."""
    made = stage.set_stage(folder, url)

    async def work() -> None:
        async with stage.opened(made):
            for number in range(count):
                await live(made, number, publish=False)
            await made.publish()

    asyncio.run(work())
    return Town(made.settings, made.departments)


def go_on(town: Town, count: int, *, publish: bool = True) -> list[str]:
    """Work goes on at the same hub: `count` more lives; the ids of all that came of it."""
    made = Stage(build(town.settings))
    made.departments, made._numbers = town.departments, town.numbers

    async def work() -> list[str]:
        found: list[str] = []
        try:
            for number in range(count):
                found += await live(made, number, publish=publish)
        finally:
            await made.close()
        return found

    return asyncio.run(work())
