"""`anew ledger`."""

from anew.cli.output import print_json
from anew.settings import load_settings


def upgrade(*, json: bool = False) -> None:
    """Bring the schema of the ledger up to date. Safe to repeat.

    Parameters
    ----------
    json
        Print one JSON object.
    """
    from anew.adapters.ledger.database import create_engine
    from anew.adapters.ledger.database import upgrade as migrate

    revision = migrate(create_engine(load_settings().ledger))
    if json:
        print_json({"revision": revision})
    else:
        print(f"The ledger is at revision {revision}.")
