"""Run in Airflow's venv with ids of pipeline runs on its input: leaves a DAG run as if each task had deferred itself.

It writes the rows that Airflow's API server writes when an operator defers, without a process a task.
"""

import json
import sys
import time
from datetime import UTC, datetime

from airflow.models.dagbag import DBDagBag
from airflow.models.trigger import Trigger
from airflow.providers.microsoft.azure.triggers.data_factory import AzureDataFactoryTrigger
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType

_WEEK = 7 * 24 * 3600


def main() -> None:
    """Defer one task for each id."""
    run_ids = json.load(sys.stdin)
    with create_session() as session:
        dag = DBDagBag().get_latest_version_of_dag(sys.argv[1], session=session)
        dag_run = dag.create_dagrun(
            run_id="deferred",
            run_after=datetime.now(UTC),
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.CLI,
            state=DagRunState.RUNNING,
            session=session,
        )
        tasks = sorted(dag_run.get_task_instances(session=session), key=lambda task: task.map_index)
        for task, run_id in zip(tasks, run_ids, strict=True):
            trigger = Trigger.from_object(_trigger(run_id))
            session.add(trigger)
            session.flush()
            task.state = TaskInstanceState.DEFERRED
            task.trigger_id = trigger.id
            task.next_method = "execute_complete"
            task.try_number = 1
            task.start_date = datetime.now(UTC)


def _trigger(run_id: str) -> AzureDataFactoryTrigger:
    return AzureDataFactoryTrigger(
        run_id=run_id,
        azure_data_factory_conn_id="azure_data_factory_default",
        end_time=time.time() + _WEEK,
        resource_group_name="peers",
        factory_name="peers",
    )


main()
