"""The migrations lead to the tables the ledger is written against, whoever runs them and however often."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from anew.adapters.ledger import SqlLedger
from anew.adapters.ledger.database import create_engine, upgrade
from anew.adapters.ledger.tables import metadata
from anew.core.retrainings.lifecycle import OPEN_RETRAINING
from anew.engine.base.ledger import Source
from anew.errors import LedgerMissing, LedgerUnavailable
from tests.builders import START, drift_event
from tests.places import Place

_ROOT = Path(__file__).parents[2]
_CLAIM = """
import sys
from datetime import timedelta
from anew.adapters.ledger import SqlLedger
from anew.core.events.event import Cause
from tests.builders import START
ledger = SqlLedger.open(sys.argv[1])
while claimed := ledger.claim([Cause.DRIFT], START, timedelta(minutes=5), limit=2):
    print(*(entry.key for entry in claimed), sep="\\n")
"""


def test_migrated_schema_is_the_one_in_the_tables(bare_place: Place) -> None:
    engine = create_engine(bare_place.url)
    upgrade(engine)

    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)

    engine.dispose()
    assert differences == []


def test_only_open_states_count_as_an_open_retraining(bare_place: Place) -> None:
    engine = create_engine(bare_place.url)
    upgrade(engine)
    query = {
        "sqlite": "SELECT sql FROM sqlite_master WHERE name = 'one_open_retraining'",
        "postgresql": "SELECT indexdef FROM pg_indexes WHERE indexname = 'one_open_retraining'",
    }[engine.dialect.name]

    with engine.connect() as connection:
        definition = str(connection.exec_driver_sql(query).scalar_one())

    engine.dispose()
    quoted = set(definition.split("'")[1::2])
    assert quoted == {str(state) for state in OPEN_RETRAINING}


def test_migrating_again_changes_nothing(bare_place: Place) -> None:
    ledger = bare_place.open()
    ledger.receive([drift_event()], Source.WEBHOOK, START)

    again = bare_place.open()

    assert len(again.entries()) == 1


def test_many_that_migrate_at_once_all_find_the_schema(bare_place: Place) -> None:
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(bare_place.open) for _ in range(4)]
    ledgers = [future.result() for future in futures]

    assert all(ledger.entries() == [] for ledger in ledgers)


def test_processes_that_open_and_claim_at_once_share_the_work_without_overlap(bare_place: Place) -> None:
    commands = [[sys.executable, "-c", _CLAIM, bare_place.url] for _ in range(2)]
    bare_place.open().receive([drift_event(str(number)) for number in range(20)], Source.WEBHOOK, START)

    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT) for command in commands]
    claimed = [key for process in processes for key in process.communicate(timeout=60)[0].split("\n") if key]

    assert [process.returncode for process in processes] == [0, 0]
    assert len(claimed) == len(set(claimed)) == 20


def test_ledger_without_a_schema_says_how_to_get_one(tmp_path: Path) -> None:
    ledger = SqlLedger.open(f"sqlite:///{tmp_path / 'empty.db'}", migrate=False)

    with pytest.raises(LedgerMissing) as missing:
        ledger.entries()

    assert missing.value.advice == "Run: anew ledger upgrade"
    ledger.close()


def test_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").mkdir()

    with pytest.raises(LedgerUnavailable):
        SqlLedger.open(f"sqlite:///{tmp_path / 'ledger.db'}")


def test_folder_of_a_new_ledger_is_made(tmp_path: Path) -> None:
    ledger = SqlLedger.open(f"sqlite:///{tmp_path / 'a 100%' / 'b' / 'ledger.db'}")

    assert ledger.entries() == []
    ledger.close()
