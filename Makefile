# Needs Python 3.11 or later, git and make. Everything is installed into .venv, from requirements/ with its hashes checked.

PYTHON ?= python3
BIN := .venv/bin
BENCH := .venv/bench

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check bench faults lock clean

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' Makefile

demo: .venv/ready ## watch an agent run, its log being replayed, forked and continued
	@$(BIN)/refold demo

test: .venv/ready ## run the tests, in under three minutes
	$(BIN)/pytest -q -n auto --dist worksteal

check: .venv/ready ## check everything: format, lint, types, imports, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n auto --dist worksteal

bench: $(BENCH)/ready ## print the benchmarks' table
	$(BENCH)/bin/python -m benchmarks

faults: .venv/ready ## kill, cut, corrupt and contend, the full number of times
	REFOLD_FAULTS=full $(BIN)/pytest -q -m faults

lock: ## work out requirements/ again from pyproject.toml; needs uv
	uv pip compile $(COMPILE) --group dev -o requirements/dev.txt
	uv pip compile $(COMPILE) --group bench -c requirements/dev.txt -o requirements/bench.txt

clean: ## remove what make has set up
	rm -rf .venv

COMPILE := pyproject.toml --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url

# $(call install,FOLDER,REQUIREMENTS): a virtual environment that holds exactly these, and this project as it stands here.
define install
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Refold needs Python 3.11 or later; " + sys.executable + " is " + sys.version.split()[0] + ". Say which to use: make PYTHON=/path/to/python3")'
@echo "Setting up $(1) (once; a minute or two)" >&2
@$(PYTHON) -m venv $(1)
@$(1)/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r $(2)
@$(1)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
@touch $(1)/ready
endef

.venv/ready: requirements/dev.txt pyproject.toml
	$(call install,.venv,requirements/dev.txt)

$(BENCH)/ready: requirements/bench.txt pyproject.toml
	$(call install,$(BENCH),requirements/bench.txt)
