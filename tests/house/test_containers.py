"""The image and the compose file hang together, without an engine: names, users, secrets, and what they start."""

import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from parts import missing
from plan import ROOT

from adapters.gatewaycommand import PASSPHRASE as GATEWAY_PASSPHRASE
from adapters.shell import PASSPHRASE as AGENT_PASSPHRASE

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
STEPS = [line.split(maxsplit=1) for line in DOCKERFILE.splitlines() if line.strip() and not line.startswith("#")]


def test_the_image_does_not_run_as_root_and_tells_its_health():
    last = [words for words in STEPS if words[0] in {"USER", "FROM"}][-1]
    assert last[0] == "USER"
    assert int(last[1].split(":")[0]) > 0
    health = next(words[1] for words in STEPS if words[0] == "HEALTHCHECK")
    assert "/readyz" in health
    command = json.loads(health[health.index("[") :])
    compile(command[2], "healthcheck", "exec")  # it is Python


def test_the_image_pins_its_base_and_installs_from_the_lock():
    bases = [words[1].split()[0] for words in STEPS if words[0] == "FROM"]
    assert set(bases) == {"python:3.11-slim-bookworm"}
    assert "--require-hashes -r /tmp/requirements.lock" in DOCKERFILE


def test_what_the_image_copies_is_there_and_is_sent_to_the_builder():
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        name
        for words in STEPS
        if words[0] == "COPY" and "--from" not in words[1]
        for name in words[1].split()[:-1]
    }
    assert copied == sent
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_the_profiles_hold_what_they_promise():
    profiles = {name: set(service["profiles"]) for name, service in SERVICES.items()}
    assert {name for name, of in profiles.items() if "demo" in of} == {"demo"}
    city = {name for name, of in profiles.items() if "city" in of}
    assert {"hub-a", "hub-b", "postgres", "s3", "door", "migrate"} == city
    assert {name for name, of in profiles.items() if "department" in of} == {"agent", "gateway"}


def test_every_program_of_the_image_and_of_the_package_is_one():
    """The commands that the image writes, and those that `pip install` would make, start and explain themselves."""
    wrapped = re.findall(r"exec python -m ([\w.]+) .{1,20}>/usr/local/bin/([\w-]+)", DOCKERFILE)
    modules = {name: module for module, name in wrapped}
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(modules) == set(scripts) == {"yimen", "yimen-agent", "yimen-gateway"}
    for name, place in scripts.items():
        module, function = place.split(":")
        assert module == modules[name]
        assert callable(getattr(importlib.import_module(module), function))
        entry = importlib.util.find_spec("hub.cli.__main__" if module == "hub.cli" else module)
        assert entry is not None
        assert re.search(r"^ *(main|app|sys\.exit\(app)\(", Path(str(entry.origin)).read_text(), re.M), module
    started = {service["entrypoint"][0] for service in SERVICES.values() if "entrypoint" in service}
    assert started <= set(modules)


def test_every_name_in_the_compose_file_leads_somewhere():
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        for other, needs in service.get("depends_on", {}).items():
            if needs["condition"] == "service_healthy" and "build" not in SERVICES[other]:
                assert "healthcheck" in SERVICES[other], f"{name} waits for {other}, which never says it is well"
            assert set(SERVICES[other]["profiles"]) >= set(service["profiles"]), f"{name} needs {other}"
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in COMPOSE["volumes"], name
        for config in service.get("configs", []):
            assert config["source"] in COMPOSE["configs"], name
    used = {v.split(":")[0] for service in SERVICES.values() for v in service.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])


def test_images_are_pinned_and_ports_open_on_this_machine_only():
    for name, service in SERVICES.items():
        tag = service["image"].rpartition(":")[2]
        assert re.search(r"\d", tag), f"{name}: {service['image']} is not pinned"
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", [])), name


def test_no_secret_has_a_value_or_a_default():
    text = (ROOT / "docker-compose.yml").read_text()
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|PASSPHRASE", key):
                assert re.fullmatch(r"\$\{[A-Z_0-9]+:-\}", str(value)), f"{name}: {key}"
    assert re.findall(r"\$\{[A-Z_0-9]*(?:PASSWORD|SECRET|PASSPHRASE)[A-Z_0-9]*(?!:-\})[^A-Z_0-9}:][^}]*\}", text) == []
    assert (ROOT / ".gitignore").read_text().count("\n.env\n") == 1


def test_settings_in_the_compose_file_exist():
    from hub.config import Settings

    known = {f"YIMEN_{name.upper()}" for name in Settings.model_fields}
    given = {key for service in SERVICES.values() for key in service.get("environment", {}) if key.startswith("YIMEN_")}
    given |= set(re.findall(r"\b(YIMEN_[A-Z0-9_]+)=", DOCKERFILE))
    assert given - known == {AGENT_PASSPHRASE, GATEWAY_PASSPHRASE}


def test_the_s3_configuration_is_json_once_filled_in():
    text = COMPOSE["configs"]["s3"]["content"].replace("${YIMEN_S3_SECRET_KEY:-}", "x" * 20)
    (identity,) = json.loads(text)["identities"]
    hub = SERVICES["hub-a"]["environment"]
    assert identity["credentials"] == [{"accessKey": hub["YIMEN_S3_ACCESS_KEY"], "secretKey": "x" * 20}]


def test_the_proxy_accepts_its_configuration(tmp_path: Path):
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        missing("haproxy", "apt-get install -y haproxy")
    text = COMPOSE["configs"]["haproxy"]["content"]
    backends = re.findall(r"server \w+ ([\w-]+):8000", text)
    assert set(backends) == {"hub-a", "hub-b"}
    config = tmp_path / "haproxy.cfg"
    config.write_text(re.sub(r"hub-[ab]:8000", "127.0.0.1:8000", text))
    done = subprocess.run([program, "-c", "-f", config], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def test_compose_itself_accepts_the_file():
    docker = shutil.which("docker")
    plugin = docker and subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0
    if not plugin:
        pytest.skip("no docker compose on this machine: the checks above stand in for it")
    command = [str(docker), "compose", "--profile", "demo", "--profile", "city", "config", "--quiet"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
