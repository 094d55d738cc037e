"""The demo's configurations against its own legacy stores: all but the planted rows map and fit."""

import json
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from adapters import certtypes, config
from adapters.demo import stores
from adapters.mapping import Mapped, key_of, map_row
from adapters.source import Unreadable
from adapters.sources import open_source

TODAY = date(2026, 11, 23)
TYPES = Path(certtypes.__file__).parent.parent / "hub" / "registry" / "types"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("city")
    stores.write(folder, today=TODAY)
    return folder


def test_every_department_reads_its_own_store(folder):
    faults: Counter[tuple[str, str]] = Counter()
    certificates: Counter[str] = Counter()
    for file in sorted(folder.glob("*/agent.yaml")):
        for dataset in config.load(file, environment={"YIMEN_HUB": "http://hub.test"}).datasets:
            kind = certtypes.from_document(
                json.loads((TYPES / f"{dataset.type}.json").read_text(encoding="utf-8"))
            )
            source = open_source(dataset, folder / "scratch")
            keys = []
            for row in source.rows():
                assert not isinstance(row, Unreadable)
                keys.append(key_of(row, dataset))
                mapped = map_row(row, dataset, today=TODAY)
                findings = kind.check(mapped) if isinstance(mapped, Mapped) else mapped
                if findings:
                    faults[(dataset.id, findings[0].code)] += 1
                else:
                    certificates[dataset.id] += 1
            assert source.complete, dataset.id
            assert None not in keys
            assert len(set(keys)) == len(keys)
            source.close()
    assert sum(faults.values()) <= 6, faults
    assert {dataset for dataset, _ in faults} <= {"degree", "canbao"}
    assert min(certificates.values()) >= 1
    assert sum(certificates.values()) > 200
