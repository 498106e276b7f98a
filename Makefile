# Every target works on a machine with only Python 3.11, git and make: `setup` comes first by itself.
UV_VERSION := 0.13.9
PYTHON ?= python3.11
BIN := .venv/bin
# Where an image switches bytecode off, every process would compile Prefect and the SDKs again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test pytest lint faults format bench bench-policies bench-releases chaos

help:
	@echo "make demo    watch a model drift, retrain and go live, without an Azure account"
	@echo "make test    lint, types, import contracts and all tests"
	@echo "make lint    ruff, pyright, import-linter"
	@echo "make chaos   1,000 events and random kills, counted (SEED=1 SEEDS=1 DATABASE=sqlite or postgresql)"
	@echo "make faults  kill -9 at every boundary, on SQLite and PostgreSQL (half an hour)"
	@echo "make bench   the figures the README quotes"
	@echo "make bench-releases   200 releases, good and bad, beside naive rivals (10 minutes)"
	@echo "make bench-policies   when to retrain: policies replayed on real streams (STREAMS='file:label:batch ...' adds yours)"

# What the demo and a user need. Linters, type checkers and PostgreSQL come with the first target that uses them.
setup: .venv/.installed

# uv lives in a venv of its own, so that syncing the project never removes it.
.uv/bin/uv:
	@echo "Installing uv $(UV_VERSION) into .uv"
	@$(PYTHON) -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# `--inexact` keeps development tools that are installed already.
.venv/.installed: uv.lock pyproject.toml | .uv/bin/uv
	@echo "Installing anew into .venv"
	@.uv/bin/uv sync --frozen --no-dev --inexact --extra local --python $(PYTHON)
	@# The demo copies this database: migrating one takes as long as half a demo.
	@echo "Preparing Prefect's database in .anew"
	@mkdir -p .anew
	@PREFECT_HOME=$(CURDIR)/.anew/prefect $(BIN)/prefect server database upgrade --yes > /dev/null
	@touch $@

.venv/.dev-installed: .venv/.installed
	@echo "Installing development tools into .venv"
	@.uv/bin/uv sync --frozen --extra local --python $(PYTHON)
	@touch $@

demo: setup
	@$(BIN)/anew demo

# Linters run beside the tests. Most tests wait for processes of their own, so that more run at once than there are
# cores; those of one file share theirs. The longest files come first (tests/conftest.py).
test: .venv/.dev-installed
	@$(MAKE) --no-print-directory --jobs=2 lint pytest

pytest: .venv/.dev-installed
	@$(BIN)/pytest -q --numprocesses=3 --dist=loadfile --no-loadscope-reorder

faults: .venv/.dev-installed
	@$(BIN)/python -m tests.faults

lint: .venv/.dev-installed
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports --no-logo > .import-linter.log 2>&1 || { cat .import-linter.log; exit 1; }
	@$(BIN)/pyright

format: .venv/.dev-installed
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

bench: .venv/.dev-installed
	@$(BIN)/python -m bench all

bench-policies: .venv/.dev-installed
	@$(BIN)/python -m bench.policies $(STREAMS)

bench-releases: .venv/.dev-installed
	@$(BIN)/python -m bench releases --releases=$(or $(RELEASES),200) --seed=$(or $(SEED),1)

chaos: .venv/.dev-installed
	@$(BIN)/python -m bench.chaos --seed $(or $(SEED),1) --seeds $(or $(SEEDS),1) --database $(or $(DATABASE),sqlite)
