# Everything a person or CI runs. Needs Python 3.11 or newer and make; nothing else.
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv

.PHONY: setup demo test soak zoo benchmark serving-benchmark check format lock protos images arm64 clean report-test
.DEFAULT_GOAL := help

help: ## Show the targets.
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: .venv/.ready ## Make .venv from the hashed lock file.

# Compiled once: TensorFlow then starts in half the time, also where PYTHONDONTWRITEBYTECODE is set.
.venv/.locked: requirements/dev.lock requirements/uv.lock scripts/setup
	@echo "making .venv from requirements/dev.lock"
	@PYTHON=$(PYTHON) scripts/setup .venv requirements/dev.lock --compile-bytecode
	@touch $@

.venv/.ready: .venv/.locked pyproject.toml
	@$(UV) pip install --quiet --no-config --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## Train, export, serve and query a digit classifier; print one table.
	@$(BIN)/python -m examples.digits.demo

zoo: setup ## Export every model of the zoo and rewrite the tables of docs/models.md: about 13 minutes.
	@$(BIN)/python -m tests.zoo.run --page

benchmark: setup ## Keras' own exports against export-model, side by side: about 4 minutes on a quiet machine.
	@$(BIN)/python -m benchmarks.export

serving-benchmark: setup ## The server beside a bare echo, and PEERS=kserve,mlserver,triton; see docs/performance.md.
	@$(BIN)/python -m benchmarks.serving --cache build/serving --peers "$(PEERS)"

check: setup ## Format, lint and types: seconds, no models.
	@scripts/check

test: setup ## Lint, types and the whole suite.
	@scripts/check
	@scripts/test

soak: setup ## The long forms of tests/reliability: about ten minutes.
	@scripts/test tests/reliability --soak

report-test: setup ## report.html in a real Chromium, which root installs where it is missing.
	@scripts/test_report.sh

format: setup ## Let ruff rewrite what it can.
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

lock: setup ## Recompile requirements/*.lock from pyproject.toml.
	@scripts/lock

protos: setup ## Regenerate server/kedge_server/pb from proto/.
	@scripts/protos

images: ## Build the CPU image with buildah and try what is in it.
	@scripts/test_images.sh

arm64: setup ## Verify and attest real bundles under an emulated ARM64 processor: a few minutes.
	@scripts/test_arm64.sh

clean: ## Remove environments and caches.
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache
