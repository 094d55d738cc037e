"""./run installs once, again only when a lock changed, falls back from uv to pip, and says what is missing.

The installers are stand-ins that write down how they were called; everything else is the real script in a real shell.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from plan import ROOT

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]

FAKE_PYTHON = """#!/bin/sh
echo "python $*" >>"{log}"
case "$*" in
"-c import sys, venv, ensurepip"*) exit {new_enough} ;;
"-c import sysconfig"*) mkdir -p "{site}"; echo "{site}"; exit 0 ;;
"-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; touch "$3/has-pip"; exit 0 ;;
"-m pip --version") [ -e "${{0%/bin/python}}/has-pip" ]; exit ;;
"-m pip install"*) exit {pip_ends} ;;
*) echo "ran: $*"; exit 0 ;;
esac
"""
FAKE_UV = """#!/bin/sh
echo "uv $*" >>"{log}"
case $1 in
venv) for last; do :; done; mkdir -p "$last/bin"; cp "{bin}/fake-python" "$last/bin/python" ;;
pip) exit {uv_ends} ;;
esac
"""


class Ground:
    """A checkout in a folder with a space in its name, and a PATH with only what the test puts there."""

    def __init__(self, folder: Path) -> None:
        self.here = folder / "a b" / "check out"
        self.here.mkdir(parents=True)
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.log = folder / "log"
        self.log.touch()
        self.home = folder / "home"
        self.home.mkdir()
        for name in ("run", "requirements.lock", "requirements-dev.lock"):
            shutil.copy(ROOT / name, self.here / name)
        for tool in ("sh", "dirname", "cksum", "cat", "rm", "mkdir", "cp", "touch", "sed", "tr"):
            (self.bin / tool).symlink_to(shutil.which(tool) or tool)

    def give(self, *, uv: bool, python: bool, uv_ends: int = 0, pip_ends: int = 0, new_enough: bool = True) -> None:
        facts = {
            "log": self.log, "site": self.here.parent / "site", "bin": self.bin, "uv_ends": uv_ends,
            "pip_ends": pip_ends, "new_enough": 0 if new_enough else 1,
        }  # fmt: skip
        wants = [("fake-python", FAKE_PYTHON, True), ("python3", FAKE_PYTHON, python), ("uv", FAKE_UV, uv)]
        for name, text, wanted in wants:
            (self.bin / name).unlink(missing_ok=True)
            if wanted:
                (self.bin / name).write_text(text.format(**facts))
                (self.bin / name).chmod(0o755)

    def run(self, *args: str, shell: str = "sh", **env: str) -> subprocess.CompletedProcess[str]:
        command = [shutil.which(shell) or shell, *(["sh"] if shell == "busybox" else []), self.here / "run", *args]
        full = {"PATH": str(self.bin), "HOME": str(self.home), "LANG": "C.UTF-8", **env}
        return subprocess.run(command, env=full, cwd=self.home, capture_output=True, text=True, timeout=60)

    def installs(self) -> list[str]:
        """The calls that would have installed packages, since the last time asked."""
        calls = [line for line in self.log.read_text().splitlines() if "pip install" in line]
        self.log.write_text("")
        return calls


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_plain_shell(shell: str):
    command = [shell, *(["sh"] if shell == "busybox" else []), "-n", ROOT / "run"]
    assert subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.parametrize("uv", [True, False], ids=["uv", "pip"])
def test_packages_are_installed_once_with_hashes(ground: Ground, uv: bool):
    ground.give(uv=uv, python=not uv)
    first = ground.run("serve", "--port", "9")
    assert first.returncode == 0, first.stderr
    assert first.stdout == "ran: -m hub.cli serve --port 9\n"
    (install,) = ground.installs()
    assert install.startswith("uv" if uv else "python")
    assert "--require-hashes" in install
    assert install.endswith("check out/requirements.lock")
    again = ground.run("serve")
    assert (again.stdout, again.stderr) == ("ran: -m hub.cli serve\n", "")
    assert ground.installs() == []


def test_tests_need_more_packages_and_then_the_hub_needs_nothing_new(ground: Ground):
    ground.give(uv=True, python=False)
    assert ground.run("serve").returncode == 0
    ground.installs()
    done = ground.run("test", "tests/keys", "-x")
    assert done.stdout == "ran: -m pytest -n 3 --dist worksteal tests/keys -x\n"
    (install,) = ground.installs()
    assert install.endswith("requirements-dev.lock")
    assert ground.run("serve").returncode == 0
    assert ground.installs() == []


def test_a_changed_lock_is_installed_into_a_new_environment(ground: Ground):
    ground.give(uv=True, python=False)
    ground.run("serve")
    ground.installs()
    (ground.here / ".venv" / "left-over").touch()
    with (ground.here / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    assert ground.run("serve").returncode == 0
    assert len(ground.installs()) == 1
    assert not (ground.here / ".venv" / "left-over").exists()


def test_a_moved_checkout_is_installed_anew(ground: Ground):
    ground.give(uv=True, python=False)
    ground.run("serve")
    ground.installs()
    ground.here = ground.here.rename(ground.here.with_name("elsewhere"))
    assert ground.run("serve").returncode == 0
    assert len(ground.installs()) == 1


def test_where_uv_fails_pip_is_tried(ground: Ground):
    ground.give(uv=True, python=True, uv_ends=1)
    done = ground.run("serve")
    assert done.returncode == 0, done.stderr
    assert [call.split()[0] for call in ground.installs()] == ["uv", "python"]


def test_an_install_that_fails_is_told_and_tried_again_next_time(ground: Ground):
    ground.give(uv=False, python=True, pip_ends=1)
    done = ground.run("serve")
    assert done.returncode == 1
    assert "mirror" in done.stderr
    assert "ran:" not in done.stdout
    ground.installs()
    ground.give(uv=False, python=True)
    shutil.rmtree(ground.here / ".venv")  # the stand-in interpreter inside still says 1
    assert ground.run("serve").returncode == 0
    assert len(ground.installs()) == 1


@pytest.mark.parametrize("old", [True, False], ids=["too old", "none"])
def test_without_a_python_the_line_that_brings_one_is_told(ground: Ground, old: bool):
    ground.give(uv=False, python=old, new_enough=False)
    done = ground.run("demo")
    assert done.returncode == 2
    for line in ("apt-get install -y python3 python3-venv", "brew install", "pip install --user uv"):
        assert line in done.stderr


def test_a_home_that_cannot_be_written_is_no_obstacle(ground: Ground):
    ground.give(uv=True, python=False)
    (ground.bin / "uv").write_text(
        f'#!/bin/sh\necho "cache $UV_CACHE_DIR" >>"{ground.log}"\n' + (ground.bin / "uv").read_text().partition("\n")[2]
    )
    assert ground.run("serve", HOME="/nonexistent").returncode == 0
    assert f"cache {ground.here}/.cache/uv" in ground.log.read_text()
    ground.log.write_text("")
    (ground.here / "requirements.lock").write_text("changed")
    assert ground.run("serve", HOME="/nonexistent", UV_CACHE_DIR="/else").returncode == 0
    assert "cache /else" in ground.log.read_text()


def test_a_trial_that_does_not_exist_is_told_without_installing(ground: Ground):
    ground.give(uv=True, python=False)
    done = ground.run("trial", "no-such")
    assert done.returncode == 2
    assert "names" in done.stderr
    assert ground.installs() == []


def test_the_status_of_the_command_is_the_status_of_run(tmp_path: Path):
    """With the interpreter that runs these tests in place of .venv."""
    ground = Ground(tmp_path)
    ground.give(uv=True, python=False)
    ground.run("serve")
    python = ground.here / ".venv" / "bin" / "python"
    python.write_text("#!/bin/sh\nexit 7\n")
    assert ground.run("serve").returncode == 7
    assert os.access(ROOT / "run", os.X_OK)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert sys.version_info >= (3, 11)
