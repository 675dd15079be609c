# make app    sets up and opens the app on the embedded demo
# make test   sets up and runs all the tests
# make lint   style and types
# make bench  the benchmarks that need nothing but this checkout

PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin

.PHONY: app test lint bench clean browser

app: $(VENV)/.installed
	$(BIN)/cbm demo
	$(BIN)/cbm app

test: $(VENV)/.installed-dev browser
	$(BIN)/python -m pytest -n 2 --no-loadscope-reorder tests/unit tests/real
	CBM_CHECK_SHAPES=no $(BIN)/python -m pytest -n 2 --no-loadscope-reorder tests/app tests/e2e

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/demo.py
	$(BIN)/python benchmarks/heads.py
	$(BIN)/python benchmarks/edit_rescoring.py
	$(BIN)/python benchmarks/index_recall.py

browser:
	sh tests/e2e/install_browser.sh

clean:
	rm -rf $(VENV) data/workspace

$(VENV)/.installed: requirements.txt pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@
