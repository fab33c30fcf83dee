# Two commands on a fresh machine: `make demo` and `make test`. Each does all of its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BASE := .venv-base

.PHONY: setup base demo test check docs figures mutation lock release clean

setup: $(READY)

# A marker, so that set-up runs once, and again when what it depends on changes.
# Each file is compared with its SHA-256 in locks/. The second call adds what depends on the machine:
# PyTorch and, where its build has them, the libraries of the GPU.
$(READY): pyproject.toml constraints.txt locks/development.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement locks/development.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev,docs]'
	touch $@

# What `pip install boneseg` gives, without torch: the tests segment with it.
base: $(BASE)/.ready

$(BASE)/.ready: pyproject.toml constraints.txt locks/base.txt
	$(PYTHON) -m venv $(BASE)
	$(BASE)/bin/python -m pip install --quiet --upgrade pip
	$(BASE)/bin/python -m pip install --quiet --no-deps --require-hashes --requirement locks/base.txt
	$(BASE)/bin/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

demo: setup
	rm -rf demo
	$(BIN)/boneseg demo --out demo

# Coverage adds half to the CPU time of Python code; `make test COVERAGE=` omits it. Files go to the
# workers in the order of tests/conftest.py, and not those with most tests first.
COVERAGE ?= --cov --cov-report=term
# A test whose process dies ends the run: with --dist loadfile, a new process would begin with it again.
PYTEST := -m pytest --dist loadfile --no-loadscope-reorder --max-worker-restart 0
# One more than there are cores: tests wait for servers, browsers and processes.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
test: setup base
	$(BIN)/python $(PYTEST) --numprocesses $(WORKERS) $(COVERAGE)

check: setup
	$(BIN)/ruff check src tests benchmarks scripts fuzz
	$(BIN)/ruff format --check src tests benchmarks scripts fuzz
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation site, into site/: generated pages first; a warning is an error.
docs: setup
	$(BIN)/python -m scripts.reference docs
	$(BIN)/zensical build --clean --strict

# Figures of the documentation that take little time, measured again and compared.
figures: setup
	$(BIN)/python -m scripts.figures

# Which faults, planted in the code, the unit tests find. MUTATE: options of scripts/mutation.py.
MUTATE ?= --sample 150
mutation: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[mutation]'
	$(BIN)/python -m scripts.mutation $(MUTATE)

# What a release needs besides: uv, pip-audit and others.
RELEASE := $(VENV)/.release
$(RELEASE): $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[release]'
	touch $@

lock: $(RELEASE)
	$(BIN)/python -m scripts.lock

# Wheel and source distribution, tried in clean environments, with SBOMs; see docs/contributing/release.md.
# TRY: options of scripts/try_release.py.
TRY ?=
SBOM := $(BIN)/cyclonedx-py
VERSION = $$($(BIN)/python -m hatchling version)
release: $(RELEASE)
	rm -rf dist
	$(BIN)/python -m hatchling build --directory dist
	$(BIN)/uv venv --quiet dist/base
	$(BIN)/uv pip install --quiet --python dist/base --no-deps --require-hashes --requirement locks/base.txt
	$(SBOM) environment dist/base --pyproject pyproject.toml --output-file dist/boneseg-$(VERSION)-base.cdx.json
	rm -rf dist/base
	$(SBOM) requirements locks/container.txt --pyproject pyproject.toml --output-file dist/boneseg-$(VERSION)-container.cdx.json
	-$(BIN)/pip-audit --strict --disable-pip --requirement locks/development.txt
	$(BIN)/python -m scripts.try_release dist/*.whl $(TRY)

clean:
	rm -rf $(VENV) $(BASE) site dist mutants
