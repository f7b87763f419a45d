# make lab        set up once, then open JupyterLab on the first notebook
# make test       set up once, then everything a change must pass (under 20 minutes from nothing)
# make test-slow  notebooks section by section, Colab's versions, kills and resumes, two processes, all browser tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export SAFEDPO_REAL_DATA

.PHONY: help lab test test-slow test-colab clean
help:
	@sed -n 's/^# //p' Makefile

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "Python 3.11 to 3.13 is needed; name one with PYTHON=")'
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
	$(BIN)/python -m pytest

test-slow: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m slow
	$(MAKE) test-colab

# The notebooks with the versions that Colab ships, in an environment of their own.
$(VENV)-colab/stamp: pyproject.toml constraints-colab.txt
	$(PYTHON) -m venv $(VENV)-colab
	$(VENV)-colab/bin/python -m pip install --disable-pip-version-check -q -c constraints-colab.txt -e . ipywidgets anywidget ipython jupytext nbclient ipykernel pytest pytest-timeout hypothesis
	@touch $@

test-colab: $(VENV)-colab/stamp
	$(VENV)-colab/bin/python -m pytest tests/notebooks -k executes

clean:
	rm -rf $(VENV) $(VENV)-colab build *.egg-info
