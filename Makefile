# Two commands do everything on a fresh machine: `make demo` and `make test`. Each builds .venv/ first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRAIN := .venv-train

.PHONY: help env demo test test-components lint proto lock bench docs train-env clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

env: $(VENV)/.ready ## the environment in .venv/, from the lock file with hashes

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 …"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: env ## one whole trading day against the built-in Upstox twin, within a minute
	$(BIN)/bot demo

test: env lint ## lint, types, and every test that needs no special component
	$(BIN)/python -m pytest -q -m "not component"

test-components: env ## the tests that need heavy real components; they skip loudly where one is missing
	$(BIN)/python -m pytest -q -m component

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

proto: env ## regenerate the decoder from proto/
	$(BIN)/python -m grpc_tools.protoc -Ibot/upstox/market_feed.proto=proto/MarketDataFeedV3.proto \
		--python_out=. --pyi_out=. bot/upstox/market_feed.proto

lock: env ## write the lock files anew
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --quiet -o requirements-run.lock

bench: env ## the decision path against bare parse and bare inference; memory and seconds to ready
	$(BIN)/python -m benchmarks.decision_path
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.observers
	$(BIN)/python -m benchmarks.monitoring_down

docs: env ## docs/metrics.md and the dashboards' JSON, made anew
	$(BIN)/python -m bot.telemetry.metrics_doc > docs/metrics.md
	$(BIN)/python -m grafana.build

train-env: $(TRAIN)/.ready ## TensorFlow in .venv-train/, for bot train

$(TRAIN)/.ready: requirements-train.lock
	$(PYTHON) -m venv $(TRAIN)
	$(TRAIN)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-train.lock
	$(TRAIN)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

clean: ## remove environments and caches
	rm -rf $(VENV) $(TRAIN) .pytest_cache .mypy_cache .ruff_cache .hypothesis
