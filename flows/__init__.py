"""Prefect entrypoints: thin, no logic, no types. Each opens the engine, runs one use-case, shows what it did."""
