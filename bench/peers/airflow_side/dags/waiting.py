"""What a user of Airflow would write to run a pipeline for each of many models and wait for all of them."""

import json
import os

from airflow.providers.microsoft.azure.operators.data_factory import AzureDataFactoryRunPipelineOperator
from airflow.sdk import DAG

for dag_id, parameters in json.loads(os.environ["PEERS_DAGS"]).items():
    with DAG(dag_id, schedule=None, max_active_tasks=len(parameters), is_paused_upon_creation=False) as dag:
        AzureDataFactoryRunPipelineOperator.partial(
            task_id="train",
            pipeline_name="wait",
            resource_group_name="peers",
            factory_name="peers",
            deferrable=True,
        ).expand(parameters=parameters)
    globals()[dag_id] = dag
