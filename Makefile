# make serve    a shop on http://127.0.0.1:8000 (STOREROOM_PORT), its data in ./data (STOREROOM_DATA_DIR)
# make test     all tests; writes build/junit.xml
# make test-mapped   the same with a prefix and other names for tables (TEST_NAMES), as tests/mapped.py says
# make check    format, lint, types, import contracts, migrations, generated files
# make bench    the ratios of docs/benchmarks.md

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
WORKERS ?= auto
export PYTHONDONTWRITEBYTECODE :=    # tests start some hundred processes: what they compile is kept

.PHONY: serve test test-mapped check bench lock clean

serve: $(VENV)/.installed
	@$(BIN)/storeroom serve --demo

test: $(VENV)/.installed-test
	@mkdir -p build
	$(BIN)/python -m pytest -n $(WORKERS) --junitxml=build/junit.xml $(ARGS)

TEST_NAMES ?= room_,products=goods,product_variants=kinds,coupons=vouchers,payment_transactions=payment_ledger,stripe_sessions=checkout_records,cart_quotes=offers,refund_quotes=refund_offers,admin_nonces=passes,webhook_queue=deliveries,orders=sales,users=people,order_status=sale_status,place_orders_v2=sell_v2,idempotency_keys=seen_requests

test-mapped: $(VENV)/.installed-test
	STOREROOM_TEST_NAMES="$(TEST_NAMES)" $(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

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
