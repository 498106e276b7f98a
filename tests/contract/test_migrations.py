"""The migrations lead to the tables the ledger is written against, whoever runs them and however often."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from anew.adapters.ledger import SqlLedger
from anew.adapters.ledger.database import create_engine, upgrade
from anew.adapters.ledger.tables import metadata
from anew.core.retrainings.lifecycle import ADOPTED, OPEN_RETRAINING, RetrainingState
from anew.core.rollouts.lifecycle import RolloutState
from anew.engine.base.ledger import Source
from anew.errors import LedgerMissing, LedgerUnavailable
from tests.builders import START, drift_event
from tests.contract.first_ledger import AT, make_first_ledger
from tests.places import Place

_ROOT = Path(__file__).parents[2]
_CLAIM = """
import sys
from datetime import timedelta
from anew.adapters.ledger import SqlLedger
from anew.core.events.event import Cause
from tests.builders import START
ledger = SqlLedger.open(sys.argv[1])
while claimed := ledger.lease([Cause.DRIFT], START, timedelta(minutes=5), limit=2):
    print(*(entry.key for entry in claimed), sep="\\n")
"""


def test_migrations_match_the_tables(bare_place: Place) -> None:
    """The migrated schema equals the tables in the code."""
    engine = create_engine(bare_place.url)
    upgrade(engine)

    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)

    engine.dispose()
    assert differences == []


def test_open_index_lists_open_states(bare_place: Place) -> None:
    """The index `one_open_retraining` lists exactly the open states."""
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


def test_repeated_migration_changes_nothing(bare_place: Place) -> None:
    """A second migration keeps the data."""
    ledger = bare_place.open()
    ledger.receive([drift_event()], Source.WEBHOOK, START)

    again = bare_place.open()

    assert len(again.entries()) == 1


def test_first_ledger_keeps_its_data(bare_place: Place) -> None:
    """Every row of a ledger of the first version is read under the names of today."""
    at = AT.replace(tzinfo=UTC)
    make_first_ledger(bare_place.url)

    ledger = bare_place.open()

    retraining, rollout, decision = ledger.retraining("r-1"), ledger.rollout("o-1"), ledger.decision("d-1")
    assert retraining is not None
    assert rollout is not None
    assert decision is not None
    assert ledger.entries()[0].leased_until == at
    assert (retraining.state, retraining.launcher) == (RetrainingState.AWAITING_DATA, ADOPTED)
    assert retraining.launcher_spec == {"kind": "adopted", "experiment": "nightly"}
    assert (retraining.inconclusive_since, retraining.approval_deadline) == (at, at)
    assert (retraining.approval, retraining.approval_by, retraining.approval_reason) == ("approved", "ada", "fine")
    assert [each.id for each in ledger.due_retrainings(at)] == ["r-1"]
    assert decision.outcome == ADOPTED
    assert (rollout.state, rollout.request_reason) == (RolloutState.ABORTING, "ada asked")
    assert (rollout.measured_at, rollout.measurements) == (at, 7)
    assert rollout.spec["analysis"] == {"inconclusive_for": "PT1H"}
    assert ledger.traffic()[0].reason == "by hand"
    assert ledger.open_retraining_of("price") is not None


def test_concurrent_migrations_succeed(bare_place: Place) -> None:
    """Several ledgers can migrate one database at the same time."""
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(bare_place.open) for _ in range(4)]
    ledgers = [future.result() for future in futures]

    assert all(ledger.entries() == [] for ledger in ledgers)


def test_concurrent_processes_share_entries(bare_place: Place) -> None:
    """Two processes that lease at once take all entries, and none twice."""
    commands = [[sys.executable, "-c", _CLAIM, bare_place.url] for _ in range(2)]
    bare_place.open().receive([drift_event(str(number)) for number in range(20)], Source.WEBHOOK, START)

    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT) for command in commands]
    claimed = [key for process in processes for key in process.communicate(timeout=60)[0].split("\n") if key]

    assert [process.returncode for process in processes] == [0, 0]
    assert len(claimed) == len(set(claimed)) == 20


def test_missing_schema_gives_advice(tmp_path: Path) -> None:
    """A ledger without a schema raises an error that names the command to run."""
    ledger = SqlLedger.open(f"sqlite:///{tmp_path / 'empty.db'}", migrate=False)

    with pytest.raises(LedgerMissing) as missing:
        ledger.entries()

    assert missing.value.advice == "Run: anew ledger upgrade"
    ledger.close()


def test_unreadable_database_is_unavailable(tmp_path: Path) -> None:
    """A path that is no database raises LedgerUnavailable."""
    (tmp_path / "ledger.db").mkdir()

    with pytest.raises(LedgerUnavailable):
        SqlLedger.open(f"sqlite:///{tmp_path / 'ledger.db'}")


def test_ledger_folder_is_created(tmp_path: Path) -> None:
    """A new ledger creates its missing folders."""
    ledger = SqlLedger.open(f"sqlite:///{tmp_path / 'a 100%' / 'b' / 'ledger.db'}")

    assert ledger.entries() == []
    ledger.close()
