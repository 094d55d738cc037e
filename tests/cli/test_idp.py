"""`yimen idp`: a provider is connected, listed, checked and stopped at the shell."""

from pathlib import Path

from cli.conftest import Yimen


def test_a_provider_is_connected_checked_and_stopped(started: Yimen, home: Path) -> None:
    names = ("--name-zh", "省认证", "--name-en", "Province", "--client-id", "us")
    made = started("idp", "add", "gd", "--issuer", "http://127.0.0.1:9", *names, "--acr", "urn:a=b=high", "--json")
    assert made.code == 0, made.err
    assert made.json["redirect_uri"] == "http://127.0.0.1:8000/login/gd/back"
    assert made.json["backchannel_logout_uri"].endswith("/login/gd/logout")
    listed = started("idp", "list", "--json").json["providers"]
    assert [(one["code"], one["department"], one["levels"]) for one in listed] == [("gd", None, {"urn:a=b": "high"})]
    away = started("idp", "check", "gd", "--json")
    assert (away.code, away.json["ok"]) == (1, False), "nobody answers there"
    lines = {one["name"]: one for one in started("doctor", "--json").json["lines"]}
    assert (lines["idp.gd"]["state"], lines["idp.gd"]["do"]) == ("warn", "yimen idp check gd")
    for wrong in (
        ("gd", "--issuer", "http://127.0.0.1:10"),  # the code is taken
        ("demo", "--issuer", "https://x.example"),
        ("x2", "--issuer", "ftp://x.example"),
        ("x2", "--issuer", "https://x.example", "--level", "sure"),
        ("x2", "--issuer", "https://x.example", "--claim", "role=admin"),
        ("x2", "--issuer", "https://x.example", "--scope", "profile"),
        ("x2", "--issuer", "https://x.example", "--department", "nobody"),
        ("x2", "--issuer", "https://x.example", "--acr", "nothing"),
    ):
        assert started("idp", "add", *wrong, *names).code == 1, wrong
    office = started("idp", "add", "gov", "--issuer", "https://gov.example", "--department", "dg-gov", *names)
    assert office.code == 0, office.err
    refused = started("officer", "link", "root")
    assert (refused.code, "link.has_provider" in refused.err) == (1, True)
    assert started("idp", "disable", "gov").code == 0
    assert started("officer", "link", "root").code == 0
    assert started("officer", "unlink", "root").code == 1
    assert started("idp", "enable", "gov").code == 0
    assert len(list((home / "data" / "keys").glob("login-*.pem"))) == 1, "one key for all providers"
