# Two commands are all: `make up` and `make test`. Both install and build what is missing.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin
PYTHON ?= python3
unexport PYTHONDONTWRITEBYTECODE # images of Python set it, and then every program compiles every module at every start

.PHONY: help up down test early check unit laws interface deep bench generate wheel clean

help: ## this list
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F':.*?## ' '{printf "  \033[36m%-10s\033[0m %s\n", $$1, $$2}'

up: .venv/ready ## a whole region on this machine, with examples/hello in three zones
	$(BIN)/pincompute region up

down: .venv/ready ## stop the region; nothing is left behind (data stays, `pincompute region down --purge` removes it)
	$(BIN)/pincompute region down

# The region's programs are compiled beside the tests that need none of them; a build that fails, fails the run.
test: .venv/ready ## every test: checks, units, attacks, laws, interface, contract, and attacks, stories and faults on an embedded region
	bash tools/setup.sh tests
	@nice -n 19 $(BIN)/pincompute region build --simulated-nodes >.venv/build.log 2>&1 & build=$$!; \
	  trap 'kill $$build $$(pgrep -P $$build) 2>/dev/null || :' EXIT; \
	  $(MAKE) --no-print-directory early; \
	  status=0; wait $$build || status=1; cat .venv/build.log; exit $$status
	bash tools/region_tests.sh

early: .venv/ready check # tests that need no program of the region
	npm --prefix sdk/typescript ci --silent
	$(BIN)/pytest -n 2 tests/unit tests/attacks tests/laws tests/interface --ignore=tests/attacks/region

check: .venv/ready ## formatting, lint, types, import contracts; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

unit: .venv/ready ## the fast tests only: no program is started, no gateway served
	$(BIN)/pytest -n 2 -m "not programs and not served" tests/unit

laws: .venv/ready ## the laws of every controller, quick profile
	$(BIN)/pytest -n 2 tests/laws

interface: .venv/ready ## the gateway held to its OpenAPI document by schemathesis, quick profile
	$(BIN)/pytest tests/interface

deep: .venv/ready ## the laws, calls of the gateway, updates and kills, with many more examples
	LAW_PROFILE=deep $(BIN)/pytest -n 2 tests/laws
	INTERFACE_PROFILE=deep $(BIN)/pytest tests/interface
	LONG_STORIES=1 $(BIN)/pytest tests/stories/test_story_outside_services.py
	AVAILABILITY_ROUNDS=10 KILL_ROUNDS=8 $(BIN)/pytest tests/stories/test_story_availability.py tests/faults/test_fault_kills.py

bench: .venv/ready ## benchmarks: tables, and JSON lines under benchmarks/results
	$(BIN)/pincompute region build --simulated-nodes
	$(BIN)/python -m benchmarks

generate: .venv/ready ## CRDs, policies, RBAC, controller pages, the SDK's client and the list of files from the code (may write files)
	$(BIN)/python tools/generate.py
	$(BIN)/python tools/generate_sdk.py
	$(BIN)/python tools/file_index.py

wheel: $(BIN)/uv ## the package of `pin` and the SDK, for `pip install` on other machines; prints its path
	@rm -f dist/pincompute_sdk-*.whl
	@$(BIN)/uv build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir dist sdk
	@ls dist/pincompute_sdk-*.whl

clean: ## remove the Python environment
	rm -rf .venv

$(BIN)/uv:
	$(MAKE) .venv/ready

# System packages, then Python packages by hash from the lock file.
.venv/ready: requirements.lock tools/setup.lock pyproject.toml sdk/pyproject.toml tools/setup.sh
	bash tools/setup.sh $(PYTHON)
	touch $@
