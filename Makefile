# Everything happens in .venv, made on first use with nothing but python3 and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

PENGUINS := src/condvae/data/penguins.csv
GIVEN := species,island,sex
TARGET := bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g

.PHONY: demo test test-slow lint format clean

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "condvae needs Python 3.11 or newer: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing condvae into $(VENV) ..."
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) install -c constraints.txt -e '.[test]'
	@touch $@

$(VENV)/.installed-lint: $(VENV)/.installed-test
	$(PIP) install -c constraints.txt -e '.[test,lint]'
	@touch $@

# The note's example, then a model of the penguins: fitted, sampled and scored by the command line.
demo: $(VENV)/.installed
	@mkdir -p demo
	@echo "== 1. Gaussian unknown mean: the note's example against its closed form"
	$(BIN)/python examples/gaussian_unknown_mean.py --plot demo/gaussian_unknown_mean.png
	@echo "== 2. Fit p($(TARGET) | $(GIVEN))"
	$(BIN)/condvae fit $(PENGUINS) --given $(GIVEN) --target $(TARGET) --out demo/model
	@echo "== 3. Sample it for every penguin's conditions"
	$(BIN)/condvae sample demo/model --given $(PENGUINS) -n 20 --out demo/samples.csv --plot demo/samples.png
	@echo "== 4. Score every penguin"
	$(BIN)/condvae score demo/model $(PENGUINS) --out demo/scores.csv
	@echo "== Left in demo/:" && ls demo

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(VENV)/.installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo
