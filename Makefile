# `make demo` and `make test` set up all they need; a second call spends seconds on it.
PYTHON ?= $(shell command -v python3.12 >/dev/null 2>&1 && python3.12 -c '' >/dev/null 2>&1 && echo python3.12 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
BENCH_VENV := .venv-bench
AZURE_VENV := .venv-azure
# Checkov, and of each kind of resource Microsoft's models; those of Azure ML come with azure-ai-ml.
AZURE_TOOLS := checkov $(addprefix azure-mgmt-,applicationinsights authorization compute containerregistry keyvault loganalytics msi network privatedns storage)
# Another build of torch: PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" (or .../cu130).
PIP_ARGS ?=
PORT ?= 3000
PURELIB := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
# Which of the long tests to run, such as fed_assets_tests/assets/test_resuming.py; all, if left out.
TESTS ?=

export FED_ASSETS_HOME ?= $(CURDIR)/.fed_assets
export DAGSTER_HOME := $(FED_ASSETS_HOME)/dagster

.DEFAULT_GOAL := help
.PHONY: help install demo ui test test-long azurite check check-azure bench bench-blob bench-encryption bench-hosts bench-quality bench-images bench-lifecycle bench-masking bench-privacy bench-robust bench-sealed bench-serving bench-soak pictures clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## create .venv and install everything, at the versions of constraints.txt

$(VENV)/.installed: pyproject.toml constraints.txt setup.cfg
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || \
	  { echo "Python 3.11 or 3.12 is needed, and $(PYTHON) is $$($(PYTHON) -V). Say PYTHON=python3.11." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt $(PIP_ARGS) --editable '.[dev]'
	@touch $@

demo: install ## federate ten hospitals in every sandbox that can run, on real X-rays where they can be had
	@$(BIN)/fed-assets data fetch pneumoniamnist || echo "Going on with SYNTHETIC DATA." >&2
	@for sandbox in $$($(BIN)/fed-assets sandboxes --runnable); do \
	  $(BIN)/fed-assets approve-code $$sandbox >/dev/null && $(BIN)/fed-assets run $$sandbox || exit $$?; done
	@echo "Look at it: make ui"

ui: install ## open Dagster's pages on http://127.0.0.1:3000
	@$(BIN)/fed-assets home >/dev/null
	$(BIN)/dagster dev --workspace workspace.yaml --host 127.0.0.1 --port $(PORT)

test: install azurite ## run the tests, but for the long ones
	$(BIN)/python -m pytest -m 'not long' -n 2 --dist loadfile

test-long: install azurite ## run the long tests: federations that lose something, and whole runs, killed ones too
	$(BIN)/python -m pytest -m long $(TESTS)

# Azure's storage for the tests, on 127.0.0.1. Its optional parts build native code that it goes without.
AZURITE := fed_assets_tests/azurite
azurite: $(AZURITE)/node_modules/.installed ## install Azurite, Microsoft's emulator of Azure's storage (takes Node 20 and npm)

$(AZURITE)/node_modules/.installed: $(AZURITE)/package.json $(AZURITE)/package-lock.json
	@command -v npm >/dev/null 2>&1 || { echo "The tests of Azure's storage need Node 20 or newer with npm." >&2; exit 1; }
	cd $(AZURITE) && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

check: install ## ruff, mypy and a load of the definitions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(BIN)/fed-assets home >/dev/null
	$(BIN)/dagster definitions validate --workspace workspace.yaml

check-azure: install $(AZURE_VENV)/.installed ## hold the templates for Azure to Microsoft's models and to checkov
	PYTHONPATH=. $(AZURE_VENV)/bin/python .ci/azure/check.py

# Checkov takes other versions than .venv holds, and lies in front of it as Flower does.
$(AZURE_VENV)/.installed: .ci/azure/constraints.txt $(VENV)/.installed
	$(BIN)/python -m venv --clear $(AZURE_VENV)
	@$(BIN)/python $(PURELIB) > "$$($(AZURE_VENV)/bin/python $(PURELIB))/behind.pth"
	$(AZURE_VENV)/bin/pip install --quiet --constraint .ci/azure/constraints.txt $(AZURE_TOOLS)
	@touch $@

bench: install $(BENCH_VENV)/.installed ## measure the federation against a bare loop, Flower and NVFlare's simulator
	$(BIN)/python -m benchmarks.federation --flower-python $(BENCH_VENV)/bin/python

# Flower takes other versions of typer, rich and FastAPI than .venv holds: it lies in a venv of its
# own, in front of .venv, so that every arm has the very same PyTorch.
$(BENCH_VENV)/.installed: pyproject.toml benchmarks/constraints.txt $(VENV)/.installed
	$(BIN)/python -m venv --clear $(BENCH_VENV)
	@$(BIN)/python $(PURELIB) > "$$($(BENCH_VENV)/bin/python $(PURELIB))/behind.pth"
	$(BENCH_VENV)/bin/pip install --quiet --constraint benchmarks/constraints.txt $(PIP_ARGS) --editable '.[bench]'
	@touch $@

bench-quality: install ## measure AUROC and accuracy over three seeds: together, pooled and alone, skewed and IID
	$(BIN)/python -m benchmarks.quality

bench-images: install ## measure images and validated_images for 1,000 to 100,000 images
	$(BIN)/python benchmarks/images.py

pictures: install ## make the README's pictures again, from a finished run of minimal
	$(BIN)/python -m docs.pictures

bench-lifecycle: install ## measure seconds and memory of the main job in each sandbox that can run
	@for sandbox in $$($(BIN)/fed-assets sandboxes --runnable); do $(BIN)/python -m benchmarks.lifecycle --sandbox $$sandbox || exit $$?; done

bench-sealed: install ## measure what sealing a store costs against a plain one
	$(BIN)/python -m benchmarks.sealed

bench-hosts: install ## measure hospitals on hosts of their own, 50 ms away, against local ones; as root
	$(BIN)/python -m benchmarks.hosts

bench-masking: install ## measure what secure aggregation costs against plain averaging
	$(BIN)/python -m benchmarks.masking

bench-blob: install azurite ## measure a lifecycle whose home is backed by containers against one on disk
	$(BIN)/python -m benchmarks.blob

bench-encryption: install ## measure what homomorphic encryption costs against plain averaging
	$(BIN)/python -m benchmarks.encryption

bench-privacy: install ## measure what each protection of updates costs, over three seeds
	$(BIN)/python -m benchmarks.privacy

bench-robust: install ## measure what two hostile hospitals of ten do to each rule of aggregation
	$(BIN)/python -m benchmarks.robust

bench-serving: install ## measure the service of a model against MLflow's own server
	$(BIN)/python -m benchmarks.serving

bench-soak: install ## run 20 small lifecycles in a row, with random kills in half of them, and look for leaks
	$(BIN)/python -m benchmarks.soak

clean: ## remove the virtual environments; the home with its runs stays
	rm -rf $(VENV) $(BENCH_VENV) $(AZURE_VENV)
