# make lab        set up once, then open JupyterLab on the first notebook
# make test       set up once, then everything a change must pass (under 20 minutes from nothing)
# make test-slow  notebooks section by section, Colab's packages, other Pythons, kills and resumes, all browser tests
# make wheel      dist/safedpo-*.whl: what a notebook's first cell looks for where there is no repository address
# make handout    OUT=DIR [NOTEBOOKS=01,02]: what students get, without solutions; LANGUAGE=de in German
# make instructor OUT=DIR [NOTEBOOKS=01,02]: what stays with the instructor
# make colab-list fetch Colab's package list, say what moved, rewrite constraints-colab.txt
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Tests run in JOBS processes of one thread each, a file at a time; what measures time runs after them, alone.
JOBS ?= 2
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest
export SAFEDPO_REAL_DATA

.PHONY: help lab test test-slow test-colab test-pythons wheel handout instructor colab-list clean
help:
	@sed -n 's/^# make/make/p' Makefile

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(not sys.version_info[:2] >= (3, 11) and "Python 3.11 or later is needed; name one with PYTHON=")'
	$(PYTHON) -m venv $(VENV)

# The stamps make a second call quick: they are older than what they depend on only when that changed.
$(VENV)/lab.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[lab]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/lab.stamp

lab: $(VENV)/lab.stamp
	$(BIN)/safedpo lab

test: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST) -n $(JOBS) --dist loadfile -m "not slow and not alone"
	$(PYTEST) -m "not slow and alone"

test-slow: $(VENV)/dev.stamp
	$(PYTEST) -n $(JOBS) --dist loadfile -m "slow and not alone"
	$(PYTEST) -m "slow and alone"
	$(MAKE) -j $(JOBS) test-pythons test-colab

wheel: $(BIN)/python
	rm -rf dist
	$(BIN)/python -m pip wheel --disable-pip-version-check -q --no-deps -w dist .
	@ls dist/*.whl

NOTEBOOKS ?=
handout instructor: $(VENV)/lab.stamp wheel
	@if [ -z "$(OUT)" ]; then echo "make $@ OUT=DIR [NOTEBOOKS=01,02]: OUT is missing"; exit 2; fi
	$(BIN)/safedpo $@ --out "$(OUT)" --wheel dist/*.whl --notebooks "$(NOTEBOOKS)" $(if $(LANGUAGE),--language "$(LANGUAGE)")

# Colab: its Python and its package list in an environment of their own; our wheel is put in by the notebooks' first cell.
PYTHON_COLAB ?= $(shell $(PYTHON) tests/pythons.py --find 3.13)
$(VENV)-colab/stamp: constraints-colab.txt
	$(PYTHON_COLAB) -m venv --clear $(VENV)-colab
	$(VENV)-colab/bin/python -m pip install --disable-pip-version-check -q -r constraints-colab.txt
	@touch $@

test-colab: $(VENV)/dev.stamp
	@if [ -z "$(PYTHON_COLAB)" ]; then echo "test-colab: skipped, there is no Python 3.13 (Colab's); name one with PYTHON_COLAB="; \
	else $(MAKE) $(VENV)-colab/stamp wheel && \
	SAFEDPO_COLAB="$$(cd "$(VENV)-colab" && pwd)/bin/python" SAFEDPO_WHEEL="$$(ls "$$PWD"/dist/*.whl)" $(PYTEST) -m slow tests/notebooks/test_colab.py; fi

colab-list: $(BIN)/python
	$(BIN)/python -m tests.notebooks.colab_list

# The tested set on every other Python that is here, on the tests that are quick and need no second program.
test-pythons: $(VENV)/dev.stamp
	$(BIN)/python -m tests.pythons

clean:
	rm -rf $(VENV) $(VENV)-colab $(VENV)-3.* build dist *.egg-info
