# Everything runs in a virtual environment of its own, made when first needed.
# A Python from 3.11 to 3.13 is looked for; PYTHON=… names another.

VENV := .venv
BIN := $(VENV)/bin
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(FITS)' 2>/dev/null && echo $$python && break; done)

.DEFAULT_GOAL := help
.PHONY: help setup demo test check clean

help:            ## this list
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

setup: $(VENV)/.installed  ## the virtual environment with all that users and developers need

demo: $(VENV)/.installed   ## the whole chain on the built-in corpus, in ./demo (some minutes)
	$(BIN)/sedmtl demo demo

test: $(VENV)/.installed   ## the whole test suite
	$(BIN)/python -m pytest

check: $(VENV)/.installed  ## style (ruff) and types (mypy)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:           ## remove the virtual environment and the demo
	rm -rf $(VENV) demo

$(VENV)/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "sedmtl needs Python 3.11, 3.12 or 3.13; name one with make PYTHON=…"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@
