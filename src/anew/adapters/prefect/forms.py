"""Forms as flow runs of the `approval` deployment, each suspended until somebody fills it in."""

from collections.abc import Mapping

from anew.adapters.prefect.api import PrefectFlows
from anew.core.retrainings.lifecycle import Retraining

DEPLOYMENT = "approval/default"


class PrefectForms:
    """Implements Forms."""

    def __init__(self, prefect: PrefectFlows) -> None:
        self._prefect = prefect

    def unfinished(self) -> Mapping[str, str]:
        return {run.id: str(run.parameters.get("retraining_id")) for run in self._prefect.unfinished_runs(DEPLOYMENT)}

    def ask(self, retraining: Retraining) -> None:
        key = f"{DEPLOYMENT}/{retraining.id}/{retraining.state_since.isoformat()}"
        self._prefect.start(DEPLOYMENT, key, {"retraining_id": retraining.id})

    def withdraw(self, form: str, why: str) -> None:
        self._prefect.cancel_suspended(form, why)
