# make serve    a shop on http://127.0.0.1:8000 (STOREROOM_PORT), its data in ./data (STOREROOM_DATA_DIR)
# make test     all tests; writes build/junit.xml
# make check    format, lint, types, import contracts, migrations, generated files
# make bench    the ratios of docs/benchmarks.md

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
WORKERS ?= auto

.PHONY: serve test check bench lock clean

serve: $(VENV)/.installed
	@$(BIN)/storeroom serve --demo

test: $(VENV)/.installed-test
	@mkdir -p build
	$(BIN)/python -m pytest -n $(WORKERS) --junitxml=build/junit.xml $(ARGS)

check: $(VENV)/.installed-check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m storeroom.database.stubs --check
	$(BIN)/python .ci/squawk
	$(BIN)/python docs/generate.py --check

bench: $(VENV)/.installed-check
	$(BIN)/python -m bench

# One stamp for each set of dependencies, so that serving needs nothing that only tests need. constraints.txt pins all.
$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit("storeroom needs Python 3.11 or newer; say which: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

$(VENV)/.installed-check: $(VENV)/.installed-test
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,check,bench]'
	@touch $@

lock: $(VENV)/.installed-check
	$(BIN)/python -m pip freeze --exclude-editable > constraints.txt

clean:
	rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis
