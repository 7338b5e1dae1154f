# make demo: set everything up and sync a local Salesforce org into the warehouse
# make test: everything that must hold before a change lands
SHELL := /bin/bash
PY := .venv/bin/python
UV := .venv/bin/uv
# Into our environment, whichever the shell has activated
INSTALL := $(UV) pip install -q --python $(PY)

.PHONY: help demo test lint format bench lock env clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo: .venv/.runtime
	@.venv/bin/orchestrator demo

test: lint
	@$(PY) -m pytest -n auto --dist load --maxschedchunk 1 --cov --cov-report= && $(PY) -m coverage report

# make lint: style, types, architecture, dependencies and connector files, without the tests
lint: .venv/.dev
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/lint-imports
	@.venv/bin/mypy
	@.venv/bin/deptry orchestrator sandboxes
	@cd taps/tap-salesforce && ../../.venv/bin/deptry tap_salesforce --known-first-party tap_salesforce
	@cd targets/target-duckdb && ../../.venv/bin/deptry target_duckdb --known-first-party target_duckdb
	@cd targets/target-jsonl && ../../.venv/bin/deptry target_jsonl --known-first-party target_jsonl
	@cd targets/target-postgres-copy && ../../.venv/bin/deptry target_postgres_copy --known-first-party target_postgres_copy
	@.venv/bin/check-jsonschema -q --builtin-schema vendor.meltano meltano.yml
	@.venv/bin/check-jsonschema -q --schemafile schemas/connector.schema.json schemas/connectors/*.json

# make format: mend what ruff can mend
format: .venv/.dev
	@.venv/bin/ruff check --fix --exit-zero . && .venv/bin/ruff format .

# make bench: measure what is promised about speed and size; figures go to bench/results/
bench: .venv/.dev
	@failed=0; for part in $$(cd bench && ls [a-z]*.py | sed 's/\.py$$//'); do \
	  $(PY) -m bench.$$part --json bench/results/$$part.json || failed=1; done; \
	$(PY) -m bench.salesforce --rows 50000 --json bench/results/salesforce.json || failed=1; exit $$failed

# Everything below is set-up; it happens by itself.

.venv/bin/uv: requirements/bootstrap.txt
	@python=$$(for name in $${PYTHON:-python3 python3.13 python3.12 python3.11}; do \
	  if $$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then \
	    command -v $$name; break; fi; done); \
	if [ -z "$$python" ]; then \
	  echo "Orchestrator needs Python 3.11, 3.12 or 3.13, and none was found. Install one, or name it: make PYTHON=/path/to/python3.12" >&2; \
	  exit 1; fi; \
	echo "Setting up .venv with $$($$python --version) …" >&2; \
	$$python -m venv .venv || { echo "Python's venv module is missing. On Debian: apt-get install python3-venv" >&2; exit 1; }
	@.venv/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt

.venv/.runtime: .venv/bin/uv requirements/orchestrator.txt pyproject.toml
	@$(INSTALL) --require-hashes --compile-bytecode -r requirements/orchestrator.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: .venv/.runtime requirements/dev.txt
	@$(INSTALL) --require-hashes --compile-bytecode -r requirements/dev.txt
	@$(INSTALL) --no-deps --no-build-isolation -e taps/tap-salesforce -e targets/target-duckdb -e targets/target-jsonl -e targets/target-postgres-copy
	@touch $@

# make lock: renew the pinned, hashed requirements
lock: .venv/bin/uv
	@printf 'uv\nhatchling\neditables\n' | $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header -o requirements/bootstrap.txt -
	@$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml -o requirements/orchestrator.txt
	@$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --extra dev --extra otel -c requirements/orchestrator.txt pyproject.toml -o requirements/dev.txt
	@$(PY) plugins/lock.py

# make env: renew .env.example from the settings
env: .venv/.runtime
	@$(PY) -m orchestrator.entry.env_example > .env.example

clean:
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
