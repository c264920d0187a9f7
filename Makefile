# The verbs. `make` alone lists them. Options: CONFIG=file TARGET=local|aws PAIRS=n PATHS=a,b ENGINE=vllm ARGS="--set section.key=value"
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOADBENCH := $(BIN)/loadbench
OPTIONS = $(if $(CONFIG),--config $(CONFIG)) $(if $(TARGET),--target $(TARGET)) $(ARGS)
# A test file a worker, in the order given. Much of a test is waiting: three workers suit two cores.
WORKERS := -n 3 --dist loadfile --no-loadscope-reorder
CHROMIUM ?= $(firstword $(foreach name,chromium chromium-browser google-chrome,$(shell command -v $(name))))
READY := .loadbench/ready
INSTALLED := $(VENV)/.installed
DEVELOP := $(VENV)/.develop
AUDIT := .loadbench/audit

.DEFAULT_GOAL := help
.PHONY: help setup standard fast streamer fastload compare scale-out destroy doctor report list invoke leftovers local-up local-down test test-all lint unit browser e2e terraform-test bench audit clean

help: ## list the commands
	@echo "How long is a model's cold start on SageMaker, by loading method?"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "Options: CONFIG=file  TARGET=local|aws  PAIRS=n  PATHS=a,b  ARGS=\"--set section.key=value\""

setup: $(READY) ## install everything needed; the other commands do it when needed. YES=1 downloads Terraform without asking, ENGINE=vllm installs vLLM too
	@$(if $(ENGINE),$(LOADBENCH) engine install $(ENGINE),:)

standard: $(READY) ## deploy with standard loading, time it, send requests; the endpoint stays up
	@$(LOADBENCH) run standard $(OPTIONS)

fast: $(READY) ## shard, deploy with fast loading, time it, send requests; the endpoint stays up
	@$(LOADBENCH) run fast $(OPTIONS)

streamer: $(READY) ## deploy with the Run:ai model streamer, time it, send requests; the endpoint stays up
	@$(LOADBENCH) run streamer $(OPTIONS)

fastload: $(READY) ## deploy vLLM with this project's loader as a plug-in, time it, send requests; the endpoint stays up
	@$(LOADBENCH) run fastload $(OPTIONS)

compare: $(READY) ## deploy, time and compare standard and fast (or PATHS=a,b); PAIRS=n cold starts of each
	@$(LOADBENCH) compare $(if $(PAIRS),--pairs $(PAIRS)) $(if $(PATHS),--paths $(PATHS)) $(OPTIONS)

scale-out: $(READY) ## add one copy to each endpoint, time it, remove it; deploys missing endpoints, then deletes them
	@$(LOADBENCH) scale-out --deploy $(if $(PAIRS),--repeat $(PAIRS)) $(OPTIONS)

# Needs what is installed and no more: a set-up that fails must not keep anything up.
destroy: $(if $(wildcard $(LOADBENCH)),,$(READY)) ## remove everything of this project, and verify that nothing is left; ARGS=--all also what is kept in S3
	@$(LOADBENCH) destroy $(OPTIONS)

doctor: $(READY) ## pre-flight checks and the cost, before anything is created
	@$(LOADBENCH) doctor $(OPTIONS)

report: $(READY) ## show the newest comparison again; ARGS=--all for every row, ARGS=--open for the page
	@$(LOADBENCH) report $(ARGS)

list: $(READY) ## list recorded comparisons and runs
	@$(LOADBENCH) list $(ARGS)

leftovers: $(READY) ## list orphaned resources of earlier runs, anywhere in the account
	@$(LOADBENCH) leftovers $(OPTIONS)

local-up: $(READY) ## start the embedded AWS
	@$(LOADBENCH) local up $(OPTIONS)

local-down: $(READY) ## stop the embedded AWS and its model servers
	@$(LOADBENCH) local down $(OPTIONS)

test: $(READY) $(DEVELOP) ## format, lint, types, import directions, Terraform, unit, browser and end-to-end tests
	@if [ -z "$(CHROMIUM)" ]; then \
	[ -z "$(REQUIRE_BROWSER)" ] || { echo "Chromium is required and not found"; exit 1; }; \
	echo "No Chromium found: the browser tests are left out. Install it, or set CHROMIUM=path."; fi
	@$(MAKE) --no-print-directory --jobs 2 --output-sync lint terraform-test
	CHROMIUM=$(CHROMIUM) $(BIN)/pytest $(WORKERS) --durations 15 \
	-m "$(if $(SLOW),(slow or not slow),not slow) $(if $(CHROMIUM),,and not browser)" tests/e2e tests/account tests/reliability tests

test-all: ## the same with the tests that take longest
	@$(MAKE) --no-print-directory test SLOW=yes

lint: $(READY) $(DEVELOP) ## format, lint, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

terraform-test: $(READY) $(DEVELOP) ## terraform fmt, validate and test
	@$(LOADBENCH) terraform-test

unit: $(READY) $(DEVELOP) ## the tests that take seconds
	$(BIN)/pytest $(WORKERS) -m "not e2e and not browser and not slow"

browser: $(READY) $(DEVELOP) ## the report page in headless Chromium
	CHROMIUM=$(CHROMIUM) $(BIN)/pytest -m browser

e2e: $(READY) $(DEVELOP) ## the real commands, with real Terraform and real model servers
	$(BIN)/pytest $(WORKERS) -m e2e

bench: $(READY) ## measure the loaders and the embedded AWS against what else there is
	@.ci/install.sh $(PYTHON) $(VENV) local,bench
	$(BIN)/python -m tests.benchmarks.bench_loaders
	$(BIN)/python -m tests.benchmarks.bench_localaws
	$(BIN)/python -m tests.benchmarks.bench_records
	$(BIN)/python -m tests.benchmarks.bench_engine

audit: $(AUDIT)/installed ## known problems of the Terraform code (checkov) and of the dependencies (pip-audit)
	@$(AUDIT)/bin/python .ci/audit.py

clean: ## remove what can be made again; results and running endpoints stay
	rm -rf $(VENV) $(AUDIT) .loadbench/ready .loadbench/terraform .mypy_cache .ruff_cache .pytest_cache .hypothesis build

$(INSTALLED): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: install it from python.org or your package manager, or name it with PYTHON=."; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, $$($(PYTHON) --version) is $(PYTHON): name another with PYTHON=python3.12."; exit 2; }
	@echo "Installing into $(VENV): 1.4 GB on disk, 0.5 GB to download, about a minute …"
	@.ci/install.sh $(PYTHON) $(VENV) local
	@touch $@

$(DEVELOP): $(INSTALLED)
	@.ci/install.sh $(PYTHON) $(VENV) local,dev
	@touch $@

$(AUDIT)/installed: requirements-audit.txt
	@echo "Making $(AUDIT) for the audit tools (about 300 MB, a minute) …"
	@$(PYTHON) -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-audit.txt
	@touch $@

$(READY): $(INSTALLED) terraform/.terraform.lock.hcl
	@$(LOADBENCH) setup $(if $(CONFIG),--config $(CONFIG)) $(if $(YES),--yes)
	@mkdir -p $(@D) && touch $@
