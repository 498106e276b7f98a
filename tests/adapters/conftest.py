"""Fixtures of the adapters' tests."""

from tests.prefect_server import prefect_api

__all__ = ["prefect_api"]
