"""The honest rivals, measured on local Azure: what plain Prefect and Airflow do where anew does the same."""
