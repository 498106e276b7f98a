import pytest

from anew.adapters.ledger import SqlLedger
from tests.places import Place


@pytest.fixture
def ledger(place: Place) -> SqlLedger:
    """The ledger itself, in each kind of database."""
    return place.open()
