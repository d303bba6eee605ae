# The only thing these targets need beforehand is Python 3.11 or newer, with pip and venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
BIN := .venv/bin
READY := .venv/.ready
# The lock file is complete; what is imported is compiled then, which halves the time of this.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile
# Each process that a test starts would compile a thousand modules anew, which takes seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run console demo test coverage torture soak check format generate baseline protos dist lock bench bench-peers clean
.DEFAULT_GOAL := help

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): requirements.lock pyproject.toml client/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'Python 3.11 or newer is needed, $(PYTHON) is not: make PYTHON=/path/to/python' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo '$(PYTHON) lacks pip or venv: on Debian and Ubuntu, apt install python3-venv' >&2; exit 1; }
	@echo 'Setting up .venv: a minute or two, once'
	@$(PYTHON) -m venv .venv
	@$(PIP) --require-hashes -r requirements.lock \
		|| { echo 'Packages did not come, as pip says above: is its index within reach (PIP_INDEX_URL)?' >&2; exit 1; }
	@$(PIP) --no-build-isolation --editable client --editable .
	@touch $(READY)

run: $(READY) ## Set up and serve (VWED_LISTEN, VWED_DATA_DIR, VWED_DATABASE_URL, VWED_REDIS_URL)
	@echo 'In a browser: make console, then http://127.0.0.1:8080'
	@exec $(BIN)/vwed-grpc serve

console: $(READY) ## Pages of the server that runs, at http://127.0.0.1:8080, to look and not to act
	@exec $(BIN)/vwed-grpc console

demo: $(READY) ## Play robots against the server that runs
	@$(BIN)/vwed-grpc demo

# Three workers, each with servers of its own, keep two cores busy: many tests wait, for leases say. A
# file stays with one of them, so that what its tests share is built once. In the order of the
# folders the long files come before the short ones.
ALL_TESTS := -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test: $(READY) ## Run the tests on a real PostgreSQL and a real Redis-compatible server
	$(BIN)/python $(ALL_TESTS)

coverage: $(READY) ## Run the tests and list the lines and branches that they leave out
	$(BIN)/coverage erase
	$(BIN)/coverage run $(ALL_TESTS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

torture: $(READY) ## The checkers in their long form, VWED_TORTURE_SECONDS each (600)
	$(BIN)/python -m pytest -m torture -s --durations=0

soak: $(READY) ## Half an hour of everyday load (VWED_SOAK_SECONDS, 1800): what grows, what fails
	$(BIN)/python -m pytest -m soak -s

check: $(READY) ## Format, lint, types, imports, protos, drift of generated code, docs, deploy/, CI, advisories
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	cd protos && ../$(BIN)/buf format --diff --exit-code .
	cd protos && ../$(BIN)/buf lint ../vwed_grpc/rpc/vwed.binpb
	cd protos && ../$(BIN)/buf breaking ../vwed_grpc/rpc/vwed.binpb --against baseline.binpb
	$(BIN)/python -m protos.generate --check
	$(BIN)/zensical build --strict
	$(BIN)/hadolint deploy/Dockerfile
	$(BIN)/zizmor --offline --strict-collection --no-progress --quiet .github
	$(BIN)/kubernetes-validate --strict --quiet $(filter-out %/kustomization.yaml,$(wildcard deploy/kubernetes/*.yaml))
	@.ci/audit

format: $(READY) ## Format everything
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	cd protos && ../$(BIN)/buf format --write .

generate: $(READY) ## Write generated/ from protos/
	$(BIN)/python -m protos.generate

baseline: generate ## Accept the protos as they are as what must not break
	cp vwed_grpc/rpc/vwed.binpb protos/baseline.binpb

protos: $(READY) ## Write dist/vwed-protos-VERSION.zip, for other languages
	@$(BIN)/python -m protos.archive

dist: $(READY) ## Build and check what a release consists of: wheels, sdists, protos, in dist/
	rm -rf dist
	cd client && ../$(BIN)/hatchling build --directory ../dist
	$(BIN)/hatchling build --directory dist
	$(BIN)/python -m protos.archive
	$(BIN)/python -m pytest -m artifacts tests/e2e/test_artifacts.py

lock: $(READY) ## Pin the versions of everything anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
		--no-emit-package vwed-client --generate-hashes --upgrade --quiet \
		--custom-compile-command "make lock" -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra tracing --extra console --constraint requirements.lock --universal \
		--python-version 3.11 --no-emit-package vwed-client --generate-hashes --upgrade --quiet \
		--custom-compile-command "make lock" -o deploy/requirements.lock

bench: $(READY) ## Measure every case beside its floor, a quarter of an hour on two idle cores
	@$(BIN)/python -m bench

bench-peers: $(READY) ## The same work with Prefect and etcd, each in an environment of its own
	@$(BIN)/python -m bench.peers

clean: ## Remove the environment and all caches, not the data
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .cache site
