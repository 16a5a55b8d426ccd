# Targets create the virtual environment that they need, with the first Python from 3.11 to 3.14
# that they find; PYTHON=… chooses another.

VENV := .venv
BIN := $(VENV)/bin
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c '$(FITS)' 2>/dev/null && echo $$python && break; done)

# The reproduction: DATA is the project, GPUS the number of parallel runs, one GPU each.
DATA := data.yaml
EPOCHS := 50
WIDTH := 32
GPUS :=
FOLDS := all
BATCH := 24
OPTIONS = --config $(DATA) --epochs $(EPOCHS) --width $(WIDTH) --batch-size $(BATCH)
GRID = $(OPTIONS) --fold $(FOLDS) $(addprefix --gpus ,$(GPUS)) $(foreach snr,$(SNRS),--snr $(snr))
SNRS := 0 10 20
WORK := work

# Tests of one file run in one process: they share fixtures that are slow to make. conftest.py orders
# the files.
PARALLEL := -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

# Where it is set, as in many containers, every process that a test starts compiles sedmtl anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test quick lowest newest check docs bench method tasks clean mixtures table4 table5 fig3 reproduce plan

help:            ## list the targets
	@grep -hE '^[a-z0-9]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

setup: $(VENV)/.installed  ## create the virtual environment, with the development tools

demo: $(VENV)/.installed   ## the whole pipeline on the built-in corpus, in ./demo (2 minutes on two cores)
	$(BIN)/sedmtl demo demo

test: $(VENV)/.installed   ## the whole test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL)

quick: $(VENV)/.installed  ## the suite without slow tests: kills, browser, cluster, training, most mutations
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL) -m "not slow"

lowest: $(VENV)/.installed ## the test suite with the lowest versions that pyproject.toml allows (Python 3.11)
	$(BIN)/python -m venv --clear .venv-lowest
	grep -oE '"[A-Za-z0-9-]+>=[0-9.]+' pyproject.toml | sed -E 's/"(.*)>=/\1==/' > .venv-lowest/floors.txt
	.venv-lowest/bin/python -m pip install --quiet --constraint .venv-lowest/floors.txt --editable '.[dev]'
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest $(PARALLEL) -W ignore::DeprecationWarning \
		-W ignore::PendingDeprecationWarning

newest:          ## the test suite with the newest versions of all dependencies
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade pip
	.venv-newest/bin/python -m pip install --quiet --editable '.[dev]'
	OMP_NUM_THREADS=1 .venv-newest/bin/python -m pytest $(PARALLEL)

check: $(VENV)/.installed  ## style (ruff) and types (mypy)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.docs        ## the guides and the reference as a site in ./site; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

bench: $(VENV)/.installed  ## speed and memory of each stage against its reference (a few minutes)
	$(BIN)/python -m bench

method: $(VENV)/.installed ## the table of docs/method.md on DATA: what each part of the strong recipe is worth
	$(BIN)/sedmtl mix --config $(DATA) $(foreach snr,$(SNRS),--snr $(snr))
	$(BIN)/sedmtl features --config $(DATA) $(foreach snr,$(SNRS),--snr $(snr))
	$(BIN)/python -m bench.method --config $(DATA)

tasks: $(VENV)/.installed  ## the table of docs/tasks.md on DATA: what auxiliary tasks are worth
	$(BIN)/sedmtl mix --config $(DATA) $(foreach snr,$(SNRS),--snr $(snr)) --stems
	$(BIN)/sedmtl features --config $(DATA) $(foreach snr,$(SNRS),--snr $(snr))
	$(BIN)/python -m bench.tasks --config $(DATA)

reproduce: table4 table5 fig3  ## tables IV and V and figure 3 of the paper; resumes if interrupted

plan: $(VENV)/.installed   ## what reproduce would train: time and memory on this machine, data it needs
	$(BIN)/sedmtl train $(GRID) --model all --alpha 0.001 --alpha 0 --alpha 0.01 --dry-run
	@echo "and with the strong recipe instead, which is not the paper's:"
	$(BIN)/sedmtl train --config $(DATA) --fold $(FOLDS) $(foreach snr,$(SNRS),--snr $(snr)) --recipe strong --dry-run

mixtures: $(VENV)/.installed
	$(BIN)/sedmtl mix --config $(DATA) $(foreach snr,$(SNRS),--snr $(snr)) --wav 4
	$(BIN)/sedmtl features --config $(DATA) $(foreach snr,$(SNRS),--snr $(snr))

table4: mixtures           ## table IV: five networks at 0, 10 and 20 dB, four folds
	$(BIN)/sedmtl train $(GRID) --model all
	$(BIN)/sedmtl eval --config $(DATA)

table5: mixtures           ## table V: 2APAE with alpha 0, 0.001 and 0.01
	$(BIN)/sedmtl train $(GRID) --alpha 0.001 --alpha 0 --alpha 0.01
	$(BIN)/sedmtl eval --config $(DATA)

fig3: mixtures             ## figure 3: a mixture at 20 dB that the network was not trained on
	$(BIN)/sedmtl train $(OPTIONS) --fold 1 --snr 20 --resume
	$(BIN)/sedmtl visualize --config $(DATA) --run 2apae_snr20_fold1_alpha0.001_seed0 \
		"$$(ls $(WORK)/mixtures/snr_20/*.wav | head -n 1)"

clean:           ## remove the virtual environment, the demo and the site
	rm -rf $(VENV) .venv-lowest .venv-newest demo site

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "sedmtl needs Python 3.11 to 3.14; name one with make PYTHON=…"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,torchaudio]'
	@touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@
