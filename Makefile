# Every target sets itself up: a venv in .venv with the versions of constraints.txt. All that is needed is Python 3.11 and make.
SOURCE ?= events.jsonl
STORE ?= sqlite:///status.db
# The first of these that runs and is new enough; say make PYTHON=/path/to/python3 for another.
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python3.13 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
READY := .venv/ready
TOOLS := .venv/tools
SPARK := .venv/spark
QUICK := not services and not crash and not slow and not fuzz and not spark
SLOW := (services or crash or slow) and not fuzz and not spark
# Half of a quick test is waiting, for a server to start or to stop.
WORKERS ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))
# The tests start hundreds of processes: each would compile the sources anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test test-quick test-slow test-spark check format schema docs bench fuzz clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

run: $(READY) ## the live tracker and its dashboard: SOURCE (default events.jsonl, simulated if missing) into STORE (sqlite:///status.db)
	$(BIN)/tracker run --source "$(SOURCE)" --follow --store "$(STORE)" --live --simulate-if-missing --dashboard

test: test-quick test-slow ## all tests but the fuzzing and those on Spark; those that need docker or a package index are skipped without them

test-quick: $(TOOLS) ## the tests that need nothing but Python
	$(BIN)/python -m pytest -m "$(QUICK)" -n $(WORKERS) --dist worksteal

test-slow: $(TOOLS) ## the tests on real services, the ones that kill, and those that take their time
	$(BIN)/python -m pytest -m "$(SLOW)" --timeout=900

test-spark: $(SPARK) ## the tests that fold on Spark (Java 17, and mvn for its Kafka connector; 450 MB)
	$(BIN)/python -m pytest -m "spark" --timeout=900

check: $(TOOLS) ## lint, format, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

format: $(TOOLS) ## let the formatter write
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

schema: $(TOOLS) ## write schemas/, and the tables of docs/table.md, from the code
	$(BIN)/python -c 'from pathlib import Path; from tracker.schema import write; print(*write(Path("schemas")), sep="\n")'
	$(BIN)/python -c 'from pathlib import Path; from tracker.schema import write_page; write_page(Path("docs/table.md"))'

docs: $(TOOLS) ## pictures of the dashboard into docs/images (needs Chromium)
	$(BIN)/python -m tests.browser.pictures docs/images

bench: $(TOOLS) ## the benchmarks, as ratios to a bare loop of orjson.loads
	$(BIN)/python -m bench

fuzz: $(TOOLS) ## a million mutated records and 100,000 mutated filters (minutes)
	$(BIN)/python -m pytest -m fuzz --timeout=3600

clean: ## everything that the targets made, but not your logs and stores
	rm -rf .venv .cache dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo "tracker needs Python 3.11 or newer, and '$(or $(PYTHON),python3)' is none: say make PYTHON=/path/to/python3.11" >&2; exit 1; fi
	@echo "Setting up .venv with $$($(PYTHON) -V)"
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear .venv
	@# The build backend goes first, so that it too comes in the version of constraints.txt.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt hatchling editables
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[kafka,postgres,web,zstd]'
	@touch $@

# What tests, checks and draws comes apart: `make run` need not wait for it.
$(TOOLS): $(READY)
	@echo "Adding what tests and checks"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[dev,browser]'
	@touch $@

# So does Spark, 450 MB, which comes as a source that setuptools builds.
$(SPARK): $(TOOLS)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt setuptools
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[spark]'
	@touch $@
