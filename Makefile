# Every target works on a machine with only Python 3.11, git and make: `setup` comes first by itself.
UV_VERSION := 0.13.9
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: help setup demo test lint faults format bench bench-policies bench-releases chaos

help:
	@echo "make demo    watch a model drift, retrain and go live, without an Azure account"
	@echo "make test    lint, types, import contracts and all tests"
	@echo "make lint    ruff, pyright, import-linter"
	@echo "make chaos   1,000 events and random kills, counted (SEED=1 SEEDS=1 DATABASE=sqlite or postgresql)"
	@echo "make faults  kill -9 at every boundary, on SQLite and PostgreSQL (half an hour)"
	@echo "make bench   the figures the README quotes"
	@echo "make bench-releases   200 releases, good and bad, beside naive rivals (10 minutes)"
	@echo "make bench-policies   when to retrain: policies replayed on real streams (STREAMS='file:label:batch ...' adds yours)"

setup: .venv/.installed

# uv lives in a venv of its own, so that syncing the project never removes it.
.venv/.installed: uv.lock pyproject.toml
	@test -x .uv/bin/uv || { $(PYTHON) -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); }
	@.uv/bin/uv sync --frozen --compile-bytecode --extra local --python $(PYTHON)
	@# The demo copies this database: migrating one takes as long as half a demo.
	@mkdir -p .anew
	@PREFECT_HOME=$(CURDIR)/.anew/prefect $(BIN)/prefect server database upgrade --yes > /dev/null
	@touch $@

demo: setup
	@$(BIN)/anew demo

# Most tests wait for processes of their own, so that more run at once than there are cores; those of one file share
# theirs. The longest files come first (tests/conftest.py).
test: lint
	@$(BIN)/pytest -q --numprocesses=3 --dist=loadfile --no-loadscope-reorder

faults: setup
	@$(BIN)/python -m tests.faults

lint: setup
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports --no-logo > .import-linter.log 2>&1 || { cat .import-linter.log; exit 1; }
	@$(BIN)/pyright

format: setup
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

bench: setup
	@$(BIN)/python -m bench

bench-policies: setup
	@$(BIN)/python -m bench.policies $(STREAMS)

bench-releases: setup
	@$(BIN)/python -m bench releases --releases=$(or $(RELEASES),200) --seed=$(or $(SEED),1)

chaos: setup
	@$(BIN)/python -m bench.chaos --seed $(or $(SEED),1) --seeds $(or $(SEEDS),1) --database $(or $(DATABASE),sqlite)
