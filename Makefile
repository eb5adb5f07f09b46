# Stile in two commands:  make demo   and   make test.   Everything else is a part of them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
ONCE ?=
PORT ?= 7070
DATA ?=

# Installed again only when what decides the installation has changed.
INSTALL_INPUTS := pyproject.toml constraints.txt hatch_build.py scripts/install

.PHONY: reference help demo test check dev unit lint types architecture browser assets bench clean constraints

help:  ## What can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.venv/.run-ok: $(INSTALL_INPUTS)
	@scripts/install $(PYTHON) all
	@touch $@

.venv/.dev-ok: $(INSTALL_INPUTS)
	@scripts/install $(PYTHON) dev
	@touch $@ .venv/.run-ok

demo: .venv/.run-ok assets  ## Walk a real model from data to governed production and keep it honest there (ONCE=1: exit when done)
	@$(BIN)/python demo/story.py --port $(PORT) $(if $(DATA),--data $(DATA)) $(if $(ONCE),--once)

test: .venv/.dev-ok assets lint types architecture unit browser  ## Every check

check: test  ## What CI runs: every check, then the demonstration
	@$(MAKE) --no-print-directory demo ONCE=1 PORT=0

dev: .venv/.dev-ok assets  ## A server on this checkout, data in dev-data
	@$(BIN)/stile up --data dev-data --port $(PORT)

assets: .venv/.run-ok
	@$(BIN)/python src/stile/web/build_assets.py

lint: .venv/.dev-ok
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: .venv/.dev-ok
	@$(BIN)/mypy

architecture: .venv/.dev-ok
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

unit: .venv/.dev-ok
	@$(BIN)/python -m pytest -m "not browser" -n 2 --dist loadfile --durations=10

postgres: .venv/.dev-ok  ## The unit and page tests with every store in PostgreSQL
	@STILE_TEST_ENGINE=postgres $(BIN)/python -m pytest -m "not browser" tests/unit tests/web tests/conformance

browser: .venv/.dev-ok
	@scripts/chromium || true
	@$(BIN)/python -m pytest -m browser --durations=5

bench: .venv/.dev-ok  ## Speed, side by side with the peers found on this machine
	@$(BIN)/python benchmarks/run.py

reference: .venv/.dev-ok  ## Write docs/reference/api.md and cli.md from the code
	@$(BIN)/python scripts/reference.py

constraints:  ## Pin today's versions of everything (run after changing dependencies)
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
		--no-emit-index-url --no-emit-find-links --no-header --no-annotate -q -o constraints.txt

clean:  ## Remove what was installed and built
	@rm -rf .venv node_modules src/stile/web/static src/stile/web/assets/node_modules build dist demo-run dev-data
