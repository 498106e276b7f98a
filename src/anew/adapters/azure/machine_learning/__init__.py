"""Azure Machine Learning: jobs, models, endpoints, monitors and events that were missed."""
