# Everything a newcomer needs: make demo, make lab, make test. The pip commands behind each
# stand in README.md.

PYTHON ?= python3
VENV ?= .venv
TESTS ?= tests
JOBS ?= logical
PG ?= auto
SF ?= 0.5
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo lab notebooks test lint format test-matrix bench clean

demo: $(VENV)/demo.installed
	$(BIN)/python notebooks/run_tour.py

lab: $(VENV)/lab.installed
	$(BIN)/jupyter lab notebooks/tour.ipynb

notebooks: $(VENV)/demo.installed
	$(BIN)/python notebooks/refresh.py

test: $(VENV)/test.installed
	$(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=loadfile --pg=$(PG) $(TESTS)

lint: $(VENV)/test.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/test.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-matrix: $(VENV)/test.installed
	$(BIN)/python tests/matrix.py

bench: $(VENV)/bench.installed
	$(BIN)/python benchmarks/bench.py --sf $(SF)

clean:
	rm -rf $(VENV) build dist *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

$(VENV)/demo.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[sandbox]' --group demo
	touch $@

$(VENV)/lab.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[sandbox]' --group lab
	touch $@

$(VENV)/test.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[sandbox]' --group test --group lint
	touch $@

$(VENV)/bench.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[sandbox]' --group bench --group demo
	touch $@
