# One vocabulary for people, hooks, CI and the README.
.DEFAULT_GOAL := help
.PHONY: help setup demo picture test check bench stages lock clean
BIN := .venv/bin
COVERED := $(BIN)/python -m pytest --cov --cov-report= --cov-fail-under=0
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate pyproject.toml

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: .venv/.ready ## Install everything into .venv/ from the hash-pinned lock

.venv/.ready: requirements-dev.lock pyproject.toml infra/setup.sh
	@sh infra/setup.sh requirements-dev.lock
	@touch $@

demo: setup ## Train, serve, shift, alarm, mail, retrain, recover: the whole loop in minutes
	@$(BIN)/mlops demo $(ARGS)

picture: demo ## Draw the picture of the README anew, by a demo
	@cp reports/recovery.png docs/recovery.png

test: setup ## Unit, integration and end-to-end tests, with coverage (ARGS: only those of pytest)
ifdef ARGS
	@$(BIN)/python -m pytest $(ARGS)
else
	@rm -f .coverage*
	@$(COVERED) -n 2 --dist loadfile --no-loadscope-reorder -m 'not bench and not e2e'
	@# Apart and unmeasured: the demo wants the machine for itself, at a user's speed. By its path:
	@# collecting all costs half a minute.
	@$(BIN)/python -m pytest -m e2e tests/test_demo.py
	@$(BIN)/coverage report
endif

check: setup ## ruff, mypy, import contracts, sizes and docstrings
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest -q tests/test_structure.py

bench: setup ## Kills, races and soaks in full counts, and timings as ratios
	@$(BIN)/python -m pytest -m bench $(ARGS)
	@$(BIN)/python benchmarks/serving.py
	@$(BIN)/python benchmarks/serving_load.py
	@$(BIN)/python benchmarks/serving_numbers.py
	@$(BIN)/python benchmarks/gate.py
	@$(BIN)/python benchmarks/drift.py
	@$(BIN)/python benchmarks/drift.py --speed
	@$(BIN)/python benchmarks/estimates.py
	@$(BIN)/python benchmarks/worth.py
	@$(BIN)/python benchmarks/backtest.py
	@$(BIN)/python benchmarks/rollback.py
	@$(BIN)/python benchmarks/kills.py

stages: setup ## Rewrite the code dependencies in dvc.yaml from the import graph
	@$(BIN)/python -m tests.stages

lock: ## Resolve the dependencies, and uv itself, anew into the lock files (needs uv)
	$(COMPILE) --upgrade -o requirements.lock
	$(COMPILE) --upgrade -o requirements-dev.lock --group dev -c requirements.lock
	$(COMPILE) --upgrade -o requirements-ray.lock --extra ray -c requirements-dev.lock
	echo uv | $(subst pyproject.toml,-,$(COMPILE)) --upgrade -o requirements-uv.lock

clean: ## Remove caches and the folders of demo and drill; never data or models
	rm -rf .mlops/demo .mlops/simulate .mypy_cache .ruff_cache .pytest_cache htmlcov
