# Everything a person does here. Each target prepares what it needs; nothing runs as a service.

bin := .venv/bin
# Tests mostly wait, so two workers a core; they share servers, a file stays with one worker.
# Random tests draw from another seed each run: `make test SEED=7` takes that one.
parallel := -n 4 --dist loadfile --no-loadscope-reorder $(if $(SEED),--hypothesis-seed=$(SEED))
# `make test CLOCK=2027-12-31T23:59:50` runs the tests as if it were then.
pytest := $(if $(CLOCK),$(bin)/python -m tests.clock $(CLOCK)) $(bin)/pytest
unexport PYTHONDONTWRITEBYTECODE # compiled modules halve the time that everything starts in
export PATH := $(CURDIR)/$(bin):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo up down check test test-fast prove sabotage lint proto contract-release release clean setup broker

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## a purchase end to end on embedded servers, and its story
	$(bin)/paymesh demo

up: broker ## start the whole mesh on this machine
	$(bin)/paymesh up

down: setup ## stop it; `paymesh down --purge` also removes its data
	$(bin)/paymesh down

check: setup ## check all invariants of the books
	$(bin)/paymesh check

test: broker lint ## lint, and each rule proven once on real servers: about 9 minutes
	$(pytest) $(parallel) -m "not prove"

test-fast: broker lint ## lint and the quick tests, about 2 minutes
	$(pytest) $(parallel) -m "not slow and not prove"

prove: broker ## the long proof, an hour at most: what takes minutes, and a page of it
	$(bin)/paymesh prove

sabotage: broker ## take guards away one by one; the tests must notice each
	$(bin)/python -m tests.sabotage

lint: setup ## style, types, imports and contracts
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/lint-imports
	$(bin)/buf lint
	$(bin)/buf format --diff --exit-code
	$(bin)/buf breaking --against protos/baseline.binpb

proto: setup ## generate gen/ from protos/
	scripts/generate.sh

contract-release: setup ## make today's contract the one that may not be broken
	$(bin)/buf build --exclude-source-info --path protos/payments -o protos/baseline.binpb

release: setup ## say what keeps this checkout from being released, or how it is tagged
	$(bin)/python scripts/release.py

clean: ## remove caches and build output; the data and .venv stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -path ./.venv -prune -o -type d -name __pycache__ -exec rm -rf {} +

setup:
	@scripts/setup.sh

broker: ## install RabbitMQ where it is missing and that is possible
	@scripts/setup.sh --broker
