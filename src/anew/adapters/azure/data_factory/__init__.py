"""Azure Data Factory: trainings by pipelines."""
