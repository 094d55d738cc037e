import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from cli.conftest import HOST
from parts import free_port
from registry.makers import credit

ROOT = Path(__file__).resolve().parents[2]


def department(slug, number):
    return (
        "department",
        "add",
        slug,
        "--uscc",
        credit(number),
        "--name-zh",
        "教育局",
        "--name-en",
        "Education",
    )


def test_help_speaks_chinese_first_for_every_command(yimen):
    done = yimen("--help")
    assert done.code == 0
    commands = re.findall(r"^  ([a-z]+)  +(.*)$", done.out, re.MULTILINE)
    assert {
        "init",
        "serve",
        "migrate",
        "doctor",
        "verify",
        "demo",
        "department",
        "officer",
        "ledger",
        "config",
    } <= {name for name, _ in commands}
    assert all(re.match(r"[\u4e00-\u9fff]", text) for _, text in commands), commands


def test_the_first_day_of_a_hub(started):
    added = started(*department("dg-edu", 2), "--json")
    assert (added.code, added.json["department"]) == (0, "dg-edu")
    assert added.json["rights"] >= 1
    both = ("--made-by", "root", "--approved-by", "dg-gov/second")
    made = started("department", "enrol-code", "dg-edu", *both, "--json")
    assert len(made.json["code"]) == 22
    listed = started("department", "list", "--json").json["departments"]
    assert [one["slug"] for one in listed] == ["dg-edu", "dg-gov"]
    health = started("doctor", "--json")
    assert health.code == 0, health.out
    states = {line["name"]: line["state"] for line in health.json["lines"]}
    assert states["tables"] == states["key.ledger"] == states["blobs"] == states["administrator"] == "ok"
    assert all(line["do"] for line in health.json["lines"] if line["state"] != "ok")


def test_init_is_done_once_and_its_keys_are_nobodys_to_read(started):
    again = started("init", "--department", "dg-gov", *HOST, "--json")
    assert (again.code, again.json["error"]["code"]) == (1, "ceremony.done")
    assert "yimen officer import" in again.err
    files = list(Path("data/keys").iterdir())
    assert {f.stat().st_mode & 0o777 for f in files} == {0o600}
    assert Path("data").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("made_by", "approved_by", "code", "word"),
    [
        ("root", "root", 4, "enrolment.same_person"),
        ("root", "nobody", 1, "officer.unknown"),
        ("root", "dg-gov/clerk", 4, "officer.not_administrator"),
    ],
)
def test_an_enrolment_code_takes_two_administrators(started, made_by, approved_by, code, word):
    Path("more.csv").write_text("department,login,name,roles\ndg-gov,clerk,王五,clerk\n")
    assert started("officer", "import", "more.csv").code == 0
    done = started(
        "department", "enrol-code", "dg-gov", "--made-by", made_by, "--approved-by", approved_by, "--json"
    )
    assert (done.code, done.json["error"]["code"]) == (code, word)


def test_a_bad_list_of_officers_changes_nothing_and_tells_each_line(started):
    Path("bad.csv").write_text(
        "department,login,name,roles\ndg-gov,a,甲,clerk\ndg-none,b,乙,clerk\n,c,丙,clerk\n"
    )
    done = started("officer", "import", "bad.csv", "--json")
    assert done.code == 1
    assert [(e["line"], e["code"]) for e in done.json["errors"]] == [
        (3, "officer.department"),
        (4, "officer.empty"),
    ]
    assert {o["login"] for o in started("officer", "list", "--json").json["officers"]} == {"root", "second"}
    Path("good.csv").write_text("department,login,name,roles\ndg-gov,a,甲,clerk\n")
    assert started("officer", "import", "good.csv", "--dry-run", "--json").json["added"] == 1
    assert len(started("officer", "list", "--json").json["officers"]) == 2


def test_a_disabled_officer_cannot_be_given_a_link(started):
    assert "/enter/" in started("officer", "link", "second", "--json").json["link"]
    assert started("officer", "disable", "second").code == 0
    done = started("officer", "link", "second", "--json")
    assert (done.code, done.json["error"]["code"]) == (1, "officer.unknown")


def test_departments_are_suspended_and_resumed(started):
    assert started("department", "suspend", "dg-gov", "--reason", "under-review").code == 0
    assert started("department", "list", "--json").json["departments"][0]["state"] == "suspended"
    assert started("department", "suspend", "dg-gov").code == 1
    assert started("department", "resume", "dg-gov").code == 0
    assert started("department", "suspend", "dg-none").code == 1


def test_wrong_use_ends_with_two(yimen):
    assert yimen("nonsense").code == 2
    assert yimen("department", "add").code == 2
    assert yimen("init", "--department").code == 2


def test_settings_that_cannot_be_are_named_and_nothing_else_happens(yimen, monkeypatch):
    monkeypatch.setenv("YIMEN_PRODUCTION", "true")
    monkeypatch.setenv("YIMEN_KEY_PASSPHRASE", "short-secret")
    done = yimen("init", "--department", "dg-gov", *HOST, "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "settings.invalid")
    assert "public_url" in done.err
    assert "short-secret" not in done.err + done.out
    assert not Path("data").exists()


def test_config_show_says_where_each_value_comes_from_and_masks_secrets(yimen, monkeypatch):
    Path("yimen.yaml").write_text("port: 8123\n")
    monkeypatch.setenv("YIMEN_S3_SECRET_KEY", "tell nobody")
    monkeypatch.setenv("YIMEN_DATABASE_URL", "postgresql://hub:tell-nobody@db/hub")
    done = yimen("config", "show", "--json")
    assert "nobody" not in done.out
    assert done.json["port"] == {"value": 8123, "source": "文件 file yimen.yaml"}
    assert done.json["database_url"]["source"] == "环境变量 environment YIMEN_DATABASE_URL"
    assert done.json["host"]["source"] == "默认值 default"


def test_doctor_on_an_empty_folder_fails_with_a_command_for_each_problem(yimen):
    done = yimen("doctor", "--json")
    assert done.code == 1
    bad = [line for line in done.json["lines"] if line["state"] == "fail"]
    assert {"data", "tables"} <= {line["name"] for line in bad}
    assert all(line["do"] for line in bad)


def test_a_database_that_is_away_is_worth_a_retry(yimen, monkeypatch):
    monkeypatch.setenv("YIMEN_DATABASE_URL", f"postgresql://hub@127.0.0.1:{free_port()}/hub")
    assert yimen("officer", "list").code == 5


def test_verify_needs_files_that_are_there(yimen):
    assert yimen("verify", "nothing.pdf", "--bundle", "nothing.jwt").code == 1
    Path("x.txt").write_text("not a certificate")
    Path("b.jwt").write_text("not a bundle")
    done = yimen("verify", "x.txt", "--bundle", "b.jwt", "--json")
    assert (done.code, done.json["ok"]) == (1, False)
    assert [one["name"] for one in done.json["checks"]] == ["bundle"]


def test_migrate_can_be_repeated(yimen):
    first, again = yimen("migrate", "--json"), yimen("migrate", "--json")
    assert (first.code, again.code, first.json) == (0, 0, again.json)


@pytest.fixture
def serving(yimen, monkeypatch):
    """A real hub process, stopped at the end."""
    port = free_port()
    monkeypatch.setenv("YIMEN_PUBLIC_URL", f"http://127.0.0.1:{port}")
    assert yimen("init", "--department", "dg-gov", *HOST).code == 0
    command = [sys.executable, "-m", "hub.cli", "serve", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                if httpx.get(f"{url}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                assert process.poll() is None, process.communicate()[0].decode()
            time.sleep(0.1)
        yield url, process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        out = process.communicate(timeout=30)[0].decode()
        assert "Traceback" not in out, out
        told = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        assert all(one["level"] and one["timestamp"] for one in told)
        assert any(one.get("route") == "/readyz" for one in told)


def test_serve_serves_sequences_and_stops_when_told(serving):
    url, process = serving
    size = 0
    for _ in range(200):
        answer = httpx.get(f"{url}/checkpoint")
        size = int(answer.text.split("\n")[1]) if answer.status_code == 200 else 0
        if size > 10:
            break
        time.sleep(0.1)
    assert size > 10
    assert httpx.get(f"{url}/").status_code == 200
    assert httpx.get(f"{url}/openapi.json").json()["openapi"].startswith("3.1")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) in (0, -signal.SIGTERM)


def test_a_second_hub_on_one_sqlite_is_refused(serving, yimen):
    second = yimen("serve", "--port", str(free_port()))
    assert second.code == 1
    assert "hub.already_serving" in second.err


def test_departments_come_from_a_list_all_or_none(started):
    Path("offices.csv").write_text(
        f"slug,uscc,name_zh,name_en\ndg-edu,{credit(7)},教育局,Education\ndg-ps,{credit(8)},公安局,Police\n"
    )
    assert started("department", "import", "offices.csv", "--json").json["departments"] == ["dg-edu", "dg-ps"]
    both = ("--made-by", "root", "--approved-by", "dg-gov/second")
    made = started("department", "enrol-code", "dg-edu", "dg-ps", *both, "--json").json["codes"]
    assert [one["department"] for one in made] == ["dg-edu", "dg-ps"]
    assert len({one["code"] for one in made}) == 2
    Path("more.csv").write_text(
        f"slug,uscc,name_zh,name_en\ndg-tax,{credit(9)},税务局,Tax\ndg-edu,{credit(10)},教育局,Education\n"
    )
    assert started("department", "import", "more.csv", "--json").json["error"]["code"] == "department.exists"
    assert len(started("department", "list", "--json").json["departments"]) == 3
