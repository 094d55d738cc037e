"""Key files: encrypted, private, whole; anything else is refused with a reason."""

import os
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from keys import files
from keys.errors import KeyFault

PASS = "正确的口令"


@pytest.fixture
def key(tmp_path):
    return files.create(tmp_path / "keys", name="certificate", passphrase=PASS)


def code_of(fault) -> str:
    return fault.value.code


@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
def test_create_and_load(tmp_path, alg):
    made = files.create(tmp_path, name="k", alg=alg, passphrase=PASS)
    again = files.load(made.path, passphrase=PASS.encode())
    assert (again.kid, again.alg) == (made.kid, alg)
    assert made.public.verify(again.sign(b"m"), b"m")


def test_modes_of_what_is_written(key):
    assert stat.S_IMODE(key.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.path.parent.stat().st_mode) == 0o700
    assert key.path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert [p.name for p in key.path.parent.iterdir()] == ["certificate.pem"]  # no draft left behind


def test_a_loose_umask_does_not_open_the_file(tmp_path):
    old = os.umask(0)
    try:
        made = files.create(tmp_path / "k", name="k", passphrase=PASS)
    finally:
        os.umask(old)
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600


def test_never_overwrites(key):
    before = key.path.read_bytes()
    with pytest.raises(KeyFault) as fault:
        files.create(key.path.parent, name="certificate", passphrase=PASS)
    assert code_of(fault) == "key.exists"
    assert key.path.read_bytes() == before


@pytest.mark.parametrize("name", [None, 5, "", "../up", "a/b", "A", ".hidden", "a b", "a" * 65, "名", "a\n"])
def test_names_cannot_leave_the_folder(tmp_path, name):
    with pytest.raises(KeyFault) as fault:
        files.create(tmp_path, name=name, passphrase=PASS)
    assert code_of(fault) == "key.name"


def test_wrong_passphrase(key):
    with pytest.raises(KeyFault) as fault:
        files.load(key.path, passphrase="wrong")
    assert code_of(fault) == "key.passphrase"
    assert "wrong" not in fault.value.zh
    assert PASS not in str(fault.value)


@pytest.mark.parametrize("passphrase", ["", b""])
def test_empty_passphrase(key, passphrase):
    with pytest.raises(KeyFault) as fault:
        files.load(key.path, passphrase=passphrase)
    assert code_of(fault) == "key.passphrase_empty"
    with pytest.raises(KeyFault):
        files.create(key.path.parent, name="other", passphrase=passphrase)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o620, 0o601, 0o777])
def test_a_file_that_others_may_touch_is_refused(key, mode):
    key.path.chmod(mode)
    with pytest.raises(KeyFault) as fault:
        files.load(key.path, passphrase=PASS)
    assert code_of(fault) == "key.mode"
    assert "chmod 600" in fault.value.zh
    assert "chmod 600" in fault.value.en


def test_a_folder_that_others_may_write_is_refused(key):
    key.path.parent.chmod(0o777)
    with pytest.raises(KeyFault) as fault:
        files.create(key.path.parent, name="second", passphrase=PASS)
    assert code_of(fault) == "key.folder_mode"


def test_missing(tmp_path):
    with pytest.raises(KeyFault) as fault:
        files.load(tmp_path / "none.pem", passphrase=PASS)
    assert code_of(fault) == "key.missing"


@pytest.mark.parametrize("keep", [0, 10, 60, 150, -10])
def test_truncated(key, keep):
    key.path.write_bytes(key.path.read_bytes()[:keep])
    with pytest.raises(KeyFault) as fault:
        files.load(key.path, passphrase=PASS)
    assert code_of(fault) in ("key.damaged", "key.passphrase")


def test_every_line_is_needed(key):
    lines = key.path.read_bytes().splitlines(keepends=True)
    for gone in range(len(lines)):
        key.path.write_bytes(b"".join(lines[:gone] + lines[gone + 1 :]))
        with pytest.raises(KeyFault):
            files.load(key.path, passphrase=PASS)


def test_symbolic_link_is_refused(key, tmp_path):
    link = tmp_path / "link.pem"
    link.symlink_to(key.path)
    with pytest.raises(KeyFault) as fault:
        files.load(link, passphrase=PASS)
    assert code_of(fault) == "key.unreadable"


def test_folder_fifo_and_huge_file_are_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "huge").write_bytes(bytes(2_000_000))
    (tmp_path / "huge").chmod(0o600)
    for name in (".", "fifo", "huge"):
        with pytest.raises(KeyFault) as fault:
            files.load(tmp_path / name, passphrase=PASS)
        assert code_of(fault) == "key.unreadable"


def put(path, key, encryption):
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    path.chmod(0o600)
    return path


def test_unencrypted_key_is_refused(tmp_path):
    path = put(tmp_path / "k.pem", ec.generate_private_key(ec.SECP256R1()), NoEncryption())
    with pytest.raises(KeyFault) as fault:
        files.load(path, passphrase=PASS)
    assert code_of(fault) == "key.damaged"


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())],
    ids=["RSA", "P-384"],
)
def test_other_kinds_of_key_are_refused(tmp_path, key):
    path = put(tmp_path / "k.pem", key, BestAvailableEncryption(PASS.encode()))
    with pytest.raises(KeyFault) as fault:
        files.load(path, passphrase=PASS)
    assert code_of(fault) in ("key.algorithm", "key.jwk")
