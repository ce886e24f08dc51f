# Everything happens in .venv, made on first use with nothing but python3 and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test test-slow browser lint format schema clean

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "condvae needs Python 3.11 or newer: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing condvae into $(VENV): a minute or two ..."
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) install -c constraints.txt -e '.[test]'
	@touch $@

$(VENV)/.installed-lint: $(VENV)/.installed-test
	$(PIP) install -c constraints.txt -e '.[test,lint]'
	@touch $@

# The note's example, then the penguins from start to end.
demo: $(VENV)/.installed
	@mkdir -p demo
	@echo "== Gaussian unknown mean: the note's example against its closed form"
	$(BIN)/python examples/gaussian_unknown_mean.py --plot demo/gaussian_unknown_mean.png
	@echo "== The penguins: a table, on the command line"
	$(BIN)/condvae demo --out demo/penguins
	@echo "== Left in demo/:" && ls demo demo/penguins

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-slow: $(VENV)/.installed-test browser
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

# The slow tests open the report in one.
browser:
	@command -v chromium > /dev/null || \
	  { [ "$$(id -u)" = 0 ] && AS= || AS=sudo; $$AS apt-get update -qq && $$AS apt-get install -y -qq chromium; }

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(VENV)/.installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What `condvae evaluate --json` prints, described from the classes that hold it.
schema: $(VENV)/.installed
	$(BIN)/python -c 'from condvae.judging.results import evaluation_schema as made; print(made(), end="")' \
	  > docs/evaluation.schema.json

clean:
	rm -rf $(VENV) demo
