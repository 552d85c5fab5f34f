# The one door: every command that a person or the CI needs. `make help` lists them.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
AS ?= alice

.PHONY: help run chat test style types bench docs clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

run: .venv/run ## start the server with demo users; stays in the foreground
	@$(BIN)/chatd serve --demo

chat: .venv/run ## chat from a terminal: make chat AS=bob
	@$(BIN)/python -m testclients --user $(AS) --password password123 || true

test: .venv/dev ## run the whole suite: style, types, unit, contract, end-to-end
	@$(BIN)/python -m pytest

style: .venv/dev ## format the code and mend what can be mended
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

types: .venv/dev ## check the types
	$(BIN)/mypy

bench: .venv/dev ## measure the server on this machine (see docs/benchmarks.md)
	$(BIN)/python -m bench all

docs: .venv/dev ## write the generated pages of docs/ again
	$(BIN)/python -m protocol.catalogue > docs/protocol.md
	$(BIN)/chatd print-config --markdown > docs/configuration.md

clean: ## remove what was built here; data folders stay
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .hypothesis

.venv/run: setup.cfg constraints.txt
	@test -n "$(PYTHON)" || { echo "chatd needs Python 3.11 or newer: install it, or say make PYTHON=/path/to/python" >&2; exit 2; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || { echo "cannot make a virtual environment: on Debian, apt-get install python3-venv" >&2; exit 2; }
	@echo "Installing chatd into .venv ..." && $(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/dev: .venv/run
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
