"""Keyrings: windows, rotation, retirement, many processes at once, secrets that are made once."""

import json
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys import sealed
from keys.errors import KeyFault
from keys.files import Keyring

PASS = "pass"
T0 = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ring(tmp_path):
    return Keyring(tmp_path / "ring", PASS)


def code(call) -> str:
    with pytest.raises(KeyFault) as fault:
        call()
    assert fault.value.zh
    assert fault.value.en
    return fault.value.code


def test_window_is_half_open(ring):
    made = ring.create("receipt", not_before=T0, not_after=T0 + DAY)
    assert ring.active("receipt", T0).kid == made.kid
    assert ring.active("receipt", T0 + DAY - timedelta(seconds=1)).kid == made.kid
    assert code(lambda: ring.active("receipt", T0 + DAY)) == "keyring.no_active"
    assert code(lambda: ring.active("receipt", T0 - DAY)) == "keyring.no_active"
    assert code(lambda: ring.active("other", T0)) == "keyring.no_active"


def test_open_ended_key(ring):
    made = ring.create("receipt", not_before=T0)
    assert ring.active("receipt", T0 + 10_000 * DAY).kid == made.kid


def test_times_have_zones_and_are_compared_as_instants(ring):
    shanghai = timezone(timedelta(hours=8))
    made = ring.create("receipt", not_before=datetime(2026, 1, 1, 8, tzinfo=shanghai))
    assert ring.inventory()[0].not_before == T0
    assert ring.active("receipt", T0).kid == made.kid
    assert code(lambda: ring.active("receipt", T0.replace(tzinfo=None))) == "keyring.time"
    assert code(lambda: ring.create("receipt", not_before=T0.replace(tzinfo=None))) == "keyring.time"


@pytest.mark.parametrize("end", [T0, T0 - DAY])
def test_empty_window_is_refused(ring, end):
    assert code(lambda: ring.create("receipt", not_before=T0, not_after=end)) == "keyring.window"
    assert ring.inventory() == []


def test_rotation_hands_over_without_a_gap_or_an_overlap(ring):
    old = ring.create("receipt", not_before=T0, not_after=T0 + 100 * DAY)
    new = ring.rotate("receipt", T0 + 60 * DAY)
    first, second = ring.inventory()
    assert (first.kid, first.not_after) == (old.kid, T0 + 60 * DAY)
    assert (second.kid, second.not_before, second.not_after) == (new.kid, T0 + 60 * DAY, T0 + 160 * DAY)
    assert ring.active("receipt", T0 + 60 * DAY - timedelta(microseconds=1)).kid == old.kid
    assert ring.active("receipt", T0 + 60 * DAY).kid == new.kid
    assert ring.signer(old.kid).kid == old.kid  # still there to vouch for its successor


def test_rotation_may_start_later_and_only_one_waits(ring):
    old = ring.create("certificate", alg="EdDSA", not_before=T0)
    new = ring.rotate("certificate", T0 + DAY, starts=T0 + 2 * DAY)
    assert new.alg == "EdDSA"
    assert ring.active("certificate", T0 + DAY).kid == old.kid
    assert ring.active("certificate", T0 + 2 * DAY).kid == new.kid
    assert code(lambda: ring.rotate("certificate", T0 + DAY)) == "keyring.pending"
    assert code(lambda: ring.rotate("certificate", T0 + 5 * DAY, starts=T0)) == "keyring.window"


def test_nothing_to_rotate(ring):
    assert code(lambda: ring.rotate("receipt", T0)) == "keyring.no_active"


def test_retire_is_final_and_repeatable(ring):
    made = ring.create("receipt", not_before=T0)
    assert ring.retire(made.kid, T0 + DAY).retired_at == T0 + DAY
    assert ring.retire(made.kid, T0 + 5 * DAY).retired_at == T0 + DAY
    assert code(lambda: ring.active("receipt", T0 + DAY)) == "keyring.no_active"
    assert code(lambda: ring.signer(made.kid)) == "keyring.retired"
    assert code(lambda: ring.retire("nobody", T0)) == "keyring.unknown"
    assert ring.inventory()[0].path.exists()


def test_another_process_sees_changes_at_once(ring):
    other = Keyring(ring.folder, PASS)
    first = ring.create("receipt", not_before=T0)
    assert other.active("receipt", T0).kid == first.kid
    second = ring.rotate("receipt", T0 + DAY)
    assert other.active("receipt", T0 + DAY).kid == second.kid
    ring.retire(second.kid, T0 + 2 * DAY)
    assert code(lambda: other.active("receipt", T0 + 2 * DAY)) == "keyring.no_active"


def test_purposes_do_not_mix(ring):
    a = ring.create("receipt", not_before=T0)
    b = ring.create("token", not_before=T0)
    ring.rotate("token", T0 + DAY)
    assert ring.active("receipt", T0 + DAY).kid == a.kid
    assert ring.active("token", T0).kid == b.kid


def test_files_are_private_and_hold_no_secret_in_clear(ring):
    ring.create("receipt", not_before=T0)
    ring.secret("pepper")
    ring.secret("kek")
    for path in ring.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert ring.secret("pepper") not in (ring.folder / "pepper.secret").read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"version":2,"keys":[]}',
        b'{"version":1,"keys":[{}]}',
        b'{"version":1,"keys":5}',
        b"\xff",
    ],
)
def test_damaged_index(ring, content):
    ring.create("receipt", not_before=T0)
    (ring.folder / "keyring.json").write_bytes(content)
    assert code(ring.inventory) == "keyring.damaged"
    assert code(lambda: ring.rotate("receipt", T0)) == "keyring.damaged"


@pytest.mark.parametrize("file", ["../key.pem", "/etc/passwd", ".lock", "a/b.pem", "keyring.json", ".x.pem"])
def test_index_cannot_point_outside(ring, file):
    ring.create("receipt", not_before=T0)
    index = ring.folder / "keyring.json"
    whole = json.loads(index.read_text())
    whole["keys"][0]["file"] = file
    index.write_text(json.dumps(whole))
    assert code(ring.inventory) == "keyring.damaged"


def test_swapped_key_files_are_noticed(ring):
    a = ring.create("receipt", not_before=T0)
    b = ring.create("token", not_before=T0)
    paths = {r.kid: r.path for r in ring.inventory()}
    paths[b.kid].replace(paths[a.kid])
    assert code(lambda: Keyring(ring.folder, PASS).active("receipt", T0)) == "key.mismatch"


def test_index_others_may_read_is_refused(ring):
    ring.create("receipt", not_before=T0)
    (ring.folder / "keyring.json").chmod(0o644)
    assert code(Keyring(ring.folder, PASS).inventory) == "key.mode"


def test_wrong_passphrase(ring):
    ring.create("receipt", not_before=T0)
    ring.secret("kek")
    other = Keyring(ring.folder, "wrong")
    assert len(other.inventory()) == 1
    assert code(lambda: other.active("receipt", T0)) == "key.passphrase"
    assert code(lambda: other.secret("kek")) == "key.passphrase"
    assert code(lambda: Keyring(ring.folder, "")) == "key.passphrase_empty"


def test_secret_is_made_once(ring):
    kek = ring.secret("kek")
    assert len(kek) == 32
    assert Keyring(ring.folder, PASS).secret("kek") == kek
    assert ring.secret("pepper") != kek
    assert len(ring.secret("short", 16)) == 16
    assert code(lambda: ring.secret("kek", 64)) == "key.length"
    assert code(lambda: ring.secret("tiny", 8)) == "key.length"
    assert code(lambda: ring.secret("../kek")) == "key.name"


def test_a_secret_file_cannot_stand_in_for_another(ring):
    ring.secret("kek")
    (ring.folder / "kek.secret").rename(ring.folder / "pepper.secret")
    assert code(lambda: ring.secret("pepper")) == "key.passphrase"


def test_sealed_bytes_cannot_be_changed_or_cut():
    blob = sealed.seal(b"content", passphrase=b"p", name="n")
    assert sealed.unseal(blob, passphrase=b"p", name="n") == b"content"

    @given(st.integers(0, len(blob) - 1), st.integers(1, 255), st.integers(0, len(blob) - 1))
    @settings(max_examples=6, deadline=None)  # each try costs a scrypt
    def changed(position, flip, length):
        bad = bytearray(blob)
        bad[position] ^= flip
        for attempt in (bytes(bad), blob[:length]):
            with pytest.raises(KeyFault):
                sealed.unseal(attempt, passphrase=b"p", name="n")

    changed()


def test_threads_that_rotate_at_once_lose_nothing(ring):
    ring.create("receipt", not_before=T0, not_after=T0 + 100 * DAY)
    with ThreadPoolExecutor(8) as pool:
        kids = list(pool.map(lambda i: Keyring(ring.folder, PASS).rotate("receipt", T0 + DAY).kid, range(8)))
    assert len(set(kids)) == 8
    assert {r.kid for r in ring.inventory()} >= set(kids)
    standing = [r for r in ring.inventory() if r.signs_at(T0 + DAY)]
    assert [r.kid for r in standing] == [ring.active("receipt", T0 + DAY).kid]
    assert standing[0].not_after == T0 + 101 * DAY


PROGRAM = """
import sys
from datetime import UTC, datetime, timedelta
from keys.files import Keyring
ring = Keyring(sys.argv[1], "pass")
now = datetime(2026, 1, 2, tzinfo=UTC)
for _ in range(4):
    print(ring.rotate("receipt", now).kid)
print(ring.secret("kek").hex())
"""


def test_processes_that_rotate_at_once_lose_nothing(ring):
    ring.create("receipt", not_before=T0)
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(ring.folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    said = [run.communicate(timeout=60)[0].split() for run in runs]
    kids = {kid for lines in said for kid in lines[:4]}
    assert len(kids) == 12
    assert {r.kid for r in ring.inventory()} >= kids
    assert {lines[4] for lines in said} == {ring.secret("kek").hex()}
    assert len([r for r in ring.inventory() if r.signs_at(T0 + DAY)]) == 1
