from pathlib import Path

import pytest
from pydantic import ValidationError

from hub.config import DEMO_PASSPHRASE, Settings, settings_table

ROOT = Path(__file__).resolve().parents[2]

REAL = {
    "production": True,
    "public_url": "https://yimen.dg.gov.cn",
    "key_passphrase": "long enough to be one",
}


def test_a_demo_starts_without_any_setting(home):
    found = Settings()
    assert (found.production, found.passphrase()) == (False, DEMO_PASSPHRASE)
    assert found.database_url == "sqlite:///data/hub.db"
    assert found.origin == "127.0.0.1:8000/ledger"


def test_a_real_hub_starts_with_settings_of_its_own(home):
    assert Settings(**REAL).origin == "yimen.dg.gov.cn/ledger"


@pytest.mark.parametrize(
    "change",
    [
        {"key_passphrase": None},
        {"key_passphrase": DEMO_PASSPHRASE},
        {"key_passphrase": "short"},
        {"public_url": "http://yimen.dg.gov.cn"},
        {"public_url": "https://127.0.0.1"},
        {"public_url": "https://localhost"},
        {"public_url": "https://hub.test"},
        {"s3_endpoint": "s3:8333", "s3_secret_key": "minioadmin"},
        {"s3_endpoint": "s3:8333"},
        {"key_passphrase_file": "/nonexistent/file"},
    ],
)
def test_a_real_hub_refuses_the_demos_and_the_careless(home, change):
    with pytest.raises(ValidationError) as refused:
        Settings(**REAL | change)
    assert "minioadmin" not in str(refused.value)
    assert "short" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h",
        "https://h/path",
        "https://h?x=1",
        "https://user@h",
        "h",
        "",
        "https://",
        "http://dg.gov.cn",
        "https://*",
    ],
)
def test_public_urls_that_could_not_be_an_issuer_are_refused(home, url):
    with pytest.raises(ValidationError):
        Settings(public_url=url)


def test_arguments_beat_environment_beats_the_folders_file_beats_the_homes(home, monkeypatch):
    (Path.home() / ".config/yimen").mkdir(parents=True)
    (Path.home() / ".config/yimen/config.yaml").write_text(
        "brand_name: home\nhost: 0.0.0.0\nport: 1\nlog_level: debug\n"
    )
    Path("yimen.yaml").write_text("brand_name: folder\nport: 2\n")
    monkeypatch.setenv("YIMEN_BRAND_NAME", "environment")
    found = Settings(log_level="error")
    assert (found.log_level, found.brand_name, found.port, found.host) == (
        "error",
        "environment",
        2,
        "0.0.0.0",
    )


def test_a_misspelt_name_in_a_file_is_an_error_and_not_a_default(home):
    Path("yimen.yaml").write_text("public_ur: https://x\n")
    with pytest.raises(ValidationError, match="public_ur"):
        Settings()


def test_the_passphrase_file_wins_and_its_first_line_counts(home):
    Path("phrase").write_text("the first line\nthe second\n")
    assert (
        Settings(key_passphrase_file=Path("phrase"), key_passphrase="other").passphrase() == "the first line"
    )


def test_secrets_do_not_show_in_a_repr(home):
    found = repr(Settings(key_passphrase="tell nobody", database_url="postgresql://hub:tell-nobody@h/d"))
    assert "nobody" not in found


def test_the_operations_page_has_the_very_table():
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert settings_table() in page, "write hub.config.settings_table() into docs/operations.md again"
