# The entry points. `make crash` and `make test` are all a fresh machine needs: each sets the
# checkout up first (tools/bootstrap.sh), which takes no time once done.

SCENARIO ?= atom_flash
# For example NETWORK=ethereum:local:foundry; empty is the in-process EVM.
NETWORK ?=
# Test processes at once, and what else to tell pytest: make test TESTS="tests/unit -k deposit".
WORKERS ?= auto
TESTS ?=
# Holders in make bench-adl; 100000 takes some minutes.
SIZES ?= 100,1000,10000,100000

# ape-vyper takes the installed compiler only if `vyper` is on PATH; anvil is linked there too.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
BIN := .venv/bin

.DEFAULT_GOAL := help

.PHONY: help setup compile crash test lint format mutants bench-adl lock clean

help:
	@echo "make crash     run the crash SCENARIO=$(SCENARIO) (NETWORK=ethereum:local:foundry for anvil)"
	@echo "make test      run the tests (TESTS=\"...\" is passed to pytest, WORKERS=$(WORKERS))"
	@echo "make lint      ruff and mypy; make format lets ruff rewrite"
	@echo "make mutants   break the venue on purpose and see that the tests notice"
	@echo "make bench-adl gas of ADL rounds by engine and holders (SIZES=$(SIZES)), to out/bench/adl.json"
	@echo "make setup     only install what the others need"
	@echo "make lock      resolve requirements.in again (needs uv)"
	@echo "make clean     remove what was built, cached and installed (keeps out/)"

setup:
	@tools/bootstrap.sh

# Done before the test workers start, so that they all read the same artifacts. It compiles only if
# a source changed (Ape by itself would not notice a change in a module).
compile: setup
	@$(BIN)/python -m breakwater.artifacts

crash: compile
	@echo "crash: $(SCENARIO) on $(or $(NETWORK),the in-process EVM)"
	@$(BIN)/ape run crash $(SCENARIO) $(if $(NETWORK),--network $(NETWORK))

test: compile
	@echo "test: running pytest"
	@$(BIN)/pytest -n $(WORKERS) --maxprocesses 8 $(TESTS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

mutants: compile
	@$(BIN)/python tests/mutants/run.py

bench-adl: compile
	@$(BIN)/ape run bench_adl --sizes $(SIZES)

# Sources of packages stay out of the file: everyone's pip uses its own.
lock:
	@command -v uv >/dev/null || { echo "lock: uv is not installed, and only it writes the lock."; exit 1; }
	uv pip compile requirements.in --output-file requirements.lock --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --no-emit-find-links --quiet
	@{ echo "# Every package, pinned and hashed, for CPython 3.11 and 3.12 on Linux and macOS. Written by \`make lock\`"; \
		echo "# from requirements.in; do not edit."; cat requirements.lock; } > requirements.lock.new
	@mv requirements.lock.new requirements.lock

clean:
	rm -rf .venv node_modules .build .cache .pytest_cache .hypothesis .mypy_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
