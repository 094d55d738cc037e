"""What operators are given hangs together: alert rules, runbook, metrics, commands, units."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml
from parts import missing
from plan import ROOT

FOLDER = ROOT / "docs" / "operations"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
RUNBOOK = (FOLDER / "runbook.md").read_text()
ENTRIES = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
UNITS = sorted((FOLDER / "systemd").iterdir())
FUNCTIONS = {
    "abs", "and", "by", "changes", "count", "histogram_quantile", "increase", "max", "min", "on", "or", "rate", "sum",
    "time", "topk", "unless",
}  # fmt: skip
OF_PROMETHEUS = {"up", "process_start_time_seconds", "process_open_fds", "process_max_fds"}
OF_EVERY_TARGET = {"job", "instance", "le"}


def series() -> dict[str, set[str]]:
    """Every name that a hub process shows to Prometheus, with its labels."""
    from hub.web import gauges

    endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "info": ["_info"], "gauge": [""]}
    found = {}
    for collector in gauges.REGISTRY._collector_to_names:
        labels = set(getattr(collector, "_labelnames", ()))
        for family in collector.collect():
            labels |= {name for sample in family.samples for name in sample.labels}
            for ending in endings.get(family.type, [""]):
                found[family.name + ending] = labels
    found["yimen_build_info"] = {"version", "revision"}  # filled in when a process starts
    return found


def names_in(expression: str) -> tuple[set[str], set[str]]:
    """The metrics and the labels of a PromQL expression."""
    bare = re.sub(r'"(?:\\.|[^"\\])*"', '""', expression)
    labels = {name.strip() for inside in re.findall(r"\bby \(([^)]*)\)", bare) for name in inside.split(",")}
    labels |= set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"\"", bare))
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)", " ", bare)
    return set(re.findall(r"\b[a-z_][a-z0-9_]*\b", bare)) - FUNCTIONS, labels


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_rests_on_metrics_that_exist_and_has_a_runbook_entry(rule: dict[str, Any]):
    known = series()
    metrics, labels = names_in(rule["expr"])
    assert metrics, rule["expr"]
    assert metrics - set(known) - OF_PROMETHEUS == set()
    allowed = OF_EVERY_TARGET.union(*(known.get(name, set()) for name in metrics))
    assert labels - allowed == set()
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert re.search(r"[\u4e00-\u9fff].*[a-z]{3}", rule["annotations"]["summary"]), "Chinese, then English"
    assert rule["annotations"]["runbook"] == f"docs/operations/runbook.md#{rule['alert'].lower()}"
    assert re.search(r"`[^`]+`", ENTRIES[rule["alert"]]), "an entry says what to type or where to look"


def test_every_runbook_entry_is_about_an_alert():
    assert set(ENTRIES) == {rule["alert"] for rule in RULES}
    assert len(RULES) == len(ENTRIES)


def test_codes_and_routes_that_rules_name_exist():
    problems = (ROOT / "docs" / "problems.md").read_text() + (ROOT / "docs" / "operations.md").read_text()
    for rule in RULES:
        for code in re.findall(r'code=~?"([^"]*)"', rule["expr"]):
            for one in code.replace("\\\\", "").split("|"):
                assert one.endswith(".*") or f"`{one}`" in problems, f"{rule['alert']}: {one}"
        for route in re.findall(r'route="([^"]*)"', rule["expr"]):
            assert f'"{route}"' in "".join(path.read_text() for path in (ROOT / "hub" / "web").glob("*.py"))


def test_prometheus_accepts_the_rules():
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool", "apt-get install -y --no-install-recommends prometheus")
    done = subprocess.run([promtool, "check", "rules", FOLDER / "alerts.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def command_exists(words: list[str]) -> bool:
    """Whether `yimen WORDS` or `yimen-agent WORDS` begins with the name of a command that there is."""
    if words[0] == "yimen-agent":
        from adapters.command import app
    else:
        from hub.cli import app
    found: Any = typer.main.get_command(app)
    for word in words[1:]:
        if not isinstance(found, click.Group) and not hasattr(found, "commands"):
            return True
        found = found.commands.get(word)
        if found is None:
            return False
    return not hasattr(found, "commands")


def commands_in(text: str) -> list[str]:
    found = re.findall(r"`((?:yimen|yimen-agent) [^`]+)`", text)
    return [quoted for quoted in found if "=" not in quoted and quoted != "yimen NAME"]


@pytest.mark.parametrize("name", ["runbook.md", "../operations.md"])
def test_every_command_that_operators_are_told_exists(name: str):
    found = commands_in((FOLDER / name).read_text())
    assert len(found) > 10
    assert [one for one in found if not command_exists(re.split(r"\s+(?=[A-Z<.-])|\s+", one))] == []


def test_a_command_that_is_not_there_is_noticed():
    assert command_exists(["yimen", "ledger", "check"])
    assert not command_exists(["yimen", "ledger", "mend"])
    assert not command_exists(["yimen", "ledger"])
    assert command_exists(["yimen-agent", "sync"])


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_units_start_commands_that_exist_with_settings_that_exist(unit: Path):
    from hub.config import Settings

    text = unit.read_text()
    known = {f"YIMEN_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"\b(YIMEN_[A-Z_0-9]+)=", text)) - known == set()
    for line in re.findall(r"^ExecStart(?:Post)?=/opt/yimen/bin/(.+)$", text, re.MULTILINE):
        assert command_exists(re.split(r" +", line.split(" --")[0])), line
    if unit.suffix == ".service":
        assert {"NoNewPrivileges=yes", "ProtectSystem=strict"} <= set(text.splitlines())
        assert re.search(r"^User=(?!root)\w", text, re.MULTILINE)


def test_systemd_accepts_the_units(tmp_path: Path):
    program = shutil.which("systemd-analyze")
    if program is None:
        missing("systemd-analyze", "apt-get install -y --no-install-recommends systemd")
    for unit in UNITS:  # the programs of the units are not installed here: something that is stands in for them
        text = re.sub(r"^(ExecStart\w*)=\S+", r"\1=/bin/true", unit.read_text(), flags=re.MULTILINE)
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        [program, "verify", "--man=no", *(tmp_path / unit.name for unit in UNITS)], capture_output=True, text=True
    )
    told = [line for line in (done.stdout + done.stderr).splitlines() if str(tmp_path) in line]
    assert (done.returncode, told) == (0, []), done.stderr


def test_a_hub_is_given_time_to_drain_before_it_is_killed():
    text = (FOLDER / "systemd" / "yimen-hub.service").read_text()
    drain = int(re.search(r"YIMEN_DRAIN_SECONDS=(\d+)", text)[1])  # type: ignore[index]
    from hub.config import Settings

    most = drain + int(Settings.model_fields["shutdown_seconds"].default)
    assert int(re.search(r"TimeoutStopSec=(\d+)", text)[1]) > most  # type: ignore[index]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["hub-a"]
    asks = float(re.search(r"inter (\d+)s fall (\d+)", (ROOT / "docker-compose.yml").read_text())[1]) * 2  # type: ignore[index]
    assert float(compose["environment"]["YIMEN_DRAIN_SECONDS"]) > asks
    assert int(compose["stop_grace_period"].rstrip("s")) > most
