# Needs Python 3.11 or later, git and make. Everything is installed into .venv, from requirements/ with its hashes checked;
# nothing is resolved there, and what was fetched once is kept for the next time (requirements/install.py).

PYTHON ?= python3
BIN := .venv/bin
BENCH := .venv/bench

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo ui test check bench bench-scale clients faults fuzz mutants lock clean

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' Makefile

demo: $(if $(wildcard .venv/ready),.venv/ready,.venv/demo-ready) ## watch an agent run, its log being replayed, forked and continued
	@$(BIN)/refold demo

ui: .venv/ui-ready ## build the page of `refold ui`, by a Node.js that comes as a package for Python
	$(BIN)/python hatch_build.py

test: .venv/ready ## run the tests, the quick ones first; a quarter of an hour on two cores
	$(BIN)/pytest -q -n auto --dist worksteal

check: .venv/ui-ready ## check everything: format, lint, types, imports, tests, and the page
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python hatch_build.py check
	env HYPOTHESIS_PROFILE=check $(BIN)/pytest -q -n auto --dist worksteal

bench: $(BENCH)/ready ## measure, print the tables and write docs/benchmarks.md; half an hour
	-$(BENCH)/bin/python hatch_build.py
	$(BENCH)/bin/python -m benchmarks --write

bench-scale: $(BENCH)/ready ## simulate a million sessions and ten thousand that stream, on PostgreSQL, and write docs/scale.md; a quarter of an hour
	$(BENCH)/bin/python -m benchmarks.scale --write

clients: .venv/ready ## install four real coding agents (npm, 1 GB in ~/.cache/refold), and compare what they keep with what the proxy recorded
	$(BIN)/python -m tests.clients.install
	$(BIN)/pytest -q -n auto tests/clients

faults: .venv/ready ## kill, cut, corrupt and contend, the full number of times; some hours, two of them of restarts of a server
	REFOLD_FAULTS=full REFOLD_RESTARTS_S=3600 $(BIN)/pytest -q -m faults

fuzz: .venv/ready ## import 20,000 damaged session files of each format; some hours
	$(BIN)/python -m tests.faults.fuzz

mutants: .venv/ready ## put small faults into copies of the core, and see whether the tests notice; three quarters of an hour
	$(BIN)/python -m tests.mutants

lock: ## work out requirements/ again from pyproject.toml; needs uv
	uv pip compile $(COMPILE) --upgrade --group dev -o requirements/dev.txt
	uv pip compile $(COMPILE) --upgrade --group bench -c requirements/dev.txt -o requirements/bench.txt
	uv pip compile $(COMPILE) --upgrade --group build -c requirements/dev.txt -o requirements/demo.txt
	uv pip compile $(COMPILE) --upgrade --group ui -c requirements/dev.txt -o requirements/ui.txt

clean: ## remove what make has set up
	rm -rf .venv ui/node_modules refold/http/page

COMPILE := pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url
INSTALL = @$(PYTHON) requirements/install.py

.venv/demo-ready: requirements/demo.txt requirements/install.py pyproject.toml
	$(INSTALL) .venv requirements/demo.txt
	@touch $@

.venv/ready: requirements/dev.txt requirements/install.py pyproject.toml
	$(INSTALL) .venv requirements/dev.txt
	@touch $@

.venv/ui-ready: .venv/ready requirements/ui.txt
	$(INSTALL) .venv requirements/ui.txt
	@touch $@

$(BENCH)/ready: requirements/bench.txt requirements/install.py pyproject.toml
	$(INSTALL) $(BENCH) requirements/bench.txt
	@touch $@
