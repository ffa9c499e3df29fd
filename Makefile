# The two commands of the README are `make demo` and `make test`; everything else is for those who work on the project.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BUILD := build
PYTEST_ARGS ?=
# Tests and the demo keep their sandboxes away from the user's own.
DEMO_HOME := $(CURDIR)/$(BUILD)/demo/state

.PHONY: demo test lint bench lab docs control-plane apt clean

demo: $(VENV)/.demo
	GKE_NOTEBOOK_HOME="$(DEMO_HOME)" $(BIN)/python examples/run.py examples/quickstart.ipynb --output $(BUILD)/demo

test: apt $(VENV)/.test
	@$(BIN)/python .ci/control_plane.py
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks

lab: $(VENV)/.lab
	$(BIN)/gke-notebook sandbox up
	$(BIN)/jupyter lab --notebook-dir=examples

# The reference pages are generated from the code; a test fails when they are stale.
docs: $(VENV)/.test
	$(BIN)/python docs/generate.py

# A real Kubernetes control plane (etcd to kubectl, JobSet, Kueue), built with Go into a cache folder that every checkout
# of this machine shares; prints the folder.
control-plane: $(VENV)/bin/python
	@$(BIN)/python -c 'import gke_notebook' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@$(BIN)/python -m gke_notebook.sandbox.controlplane.build

# Debian's packages for the tests: a browser, and PyTorch for the system's Python. Needs root; said and skipped otherwise.
apt:
	@sh .ci/apt.sh chromium python3-torch fonts-dejavu-core

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("gke-notebook needs Python 3.10 or newer, this is " + sys.version) if sys.version_info < (3, 10) else 0'
	@$(PYTHON) -m venv $(VENV) || sh .ci/venv.sh "$(PYTHON)" "$(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml
	@echo "installing gke-notebook and what the demo needs into $(VENV) (once, a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo]'
	@touch $@

$(VENV)/.lab: $(VENV)/bin/python pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo,lab]'
	@touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml
	@echo "installing gke-notebook and what the tests need into $(VENV) (once, a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

clean:
	rm -rf $(BUILD) dist $(VENV)
