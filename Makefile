# Two commands on a fresh machine: `make demo` and `make test`. Each does all of its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BASE := .venv-base

.PHONY: setup demo test check docs clean

setup: $(READY)

# A marker, so that set-up runs once, and again when what it depends on changes.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev,docs]'
	touch $@

# What `pip install boneseg` gives, without torch: the tests segment with it.
$(BASE)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BASE)
	$(BASE)/bin/python -m pip install --quiet --upgrade pip
	$(BASE)/bin/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

demo: setup
	rm -rf demo
	$(BIN)/boneseg demo --out demo

# Coverage costs a third of the CPU time of tests within one process; `make test COVERAGE=` omits it.
COVERAGE ?= --cov --cov-report=term
test: setup $(BASE)/.ready
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(COVERAGE)

check: setup
	$(BIN)/ruff check src tests benchmarks scripts fuzz
	$(BIN)/ruff format --check src tests benchmarks scripts fuzz
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation site, into site/: generated pages first; a warning is an error.
docs: setup
	$(BIN)/python -m scripts.reference docs
	$(BIN)/zensical build --clean --strict

clean:
	rm -rf $(VENV) $(BASE) site
