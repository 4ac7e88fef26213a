# `make help` lists the targets. They set themselves up and need only Python 3.12 or newer.

VENV ?= .venv
# Candidates are executed, not just looked up: shims of version managers exist and fail. Override with `make PYTHON=…`.
PYTHON_CANDIDATES = python3.13 python3.12 python3 /usr/bin/python3 python3.14 /usr/local/bin/python3
PYTHON ?= $(shell for p in $(PYTHON_CANDIDATES); do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)
PY = $(VENV)/bin/python
SERVERS = $(PY) -m jobsplatform.embedded run
PYTEST_ARGS ?=
BENCH ?=

.DEFAULT_GOAL := help
.PHONY: help environment environment-dev demo dev unit test sealed-test coverage acceptance test-matrix lint messages docs format code-metrics screenshots browser-test chromium pgbouncer-test pgbouncer bench bench-peers bench-simulated chaos fuzz soak alerts-soak effect-kills requirements sbom image release-check clean

##@ Start
help: ## List the targets
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

define need-python
	@test -n "$(PYTHON)" || { echo "No Python 3.12 or newer was found (tried: $(PYTHON_CANDIDATES))." >&2; \
	  echo "Cure: apt-get install python3 python3-venv on Debian 13 or newer, or: make PYTHON=/path/to/python3.12 …" >&2; exit 1; }
endef

demo: environment ## Three tenants index documents on one fair pool: see it work (DEMO_EXIT=1 stops at the end)
	@$(SERVERS) -- $(PY) -m jobsplatform.demo

# Web server, and on the next three ports streams server, PostgreSQL and Valkey.
BIND ?= 127.0.0.1:8000
dev: environment ## Everything up on this machine; data are kept in var/dev (BIND=host:port moves it)
	@$(SERVERS) --keep var/dev --port $$(($(lastword $(subst :, ,$(BIND))) + 2)) -- $(PY) -m jobsplatform.embedded.develop --bind $(BIND)

environment: ## Install what the platform needs into .venv
	$(need-python)
	@"$(PYTHON)" tools/virtual_environment.py $(VENV) requirements.txt requirements-embedded.txt

environment-dev: ## Install the tools of development too, such as pytest for the tests of your own package
	$(need-python)
	@"$(PYTHON)" tools/virtual_environment.py $(VENV) requirements.txt requirements-embedded.txt requirements-dev.txt

##@ Test
unit: environment-dev ## Unit and architecture tests without servers and processes, with a tenth of the generated examples
	@TIMED_TARGET=$(if $(PYTEST_ARGS),,unit) $(PY) -m pytest -n 2 -q -p no:schemathesis -m "not process and not django_db" --hypothesis-profile=quick tests/unit tests/architecture $(PYTEST_ARGS)

test: environment-dev ## Unit, integration and the core of the acceptance tests, on servers of their own (PYTEST_ARGS="…" is passed on)
	@TIMED_TARGET=$(if $(PYTEST_ARGS),,test) $(SERVERS) --fast -- $(PY) -m pytest -n 2 -m "not browser and (core or not acceptance)" $(PYTEST_ARGS)

# Tests of what is stored and read, with values encrypted.
SEALED_TESTS = tests/integration/scheduling/jobs tests/integration/scheduling/schedules tests/integration/api/test_batches.py \
  tests/integration/workloads/webhooks tests/integration/workloads/workflow_records tests/integration/workloads/files
sealed-test: environment-dev ## Tests of stored values once more, with a master key (TESTS="…" picks files)
	@ENCRYPTION_MASTER_KEYS=$$($(PY) -c 'import base64, os; print(base64.b64encode(os.urandom(32)).decode())') \
	  $(SERVERS) --fast -- $(PY) -m pytest -n 2 $(or $(TESTS),$(SEALED_TESTS)) $(PYTEST_ARGS)

coverage: environment-dev ## Branch coverage of the four packages by unit and integration tests, in total; each line in var/coverage
	@$(SERVERS) --fast -- $(PY) -m pytest -n 2 -q --cov --cov-report=html tests/unit tests/integration $(PYTEST_ARGS)
	@$(PY) -m coverage report | sed -n '1p;$$p'

acceptance: environment-dev ## All acceptance tests, on real processes (TESTS="…" picks files)
	@TIMED_TARGET=$(if $(TESTS)$(PYTEST_ARGS),,acceptance) $(SERVERS) --fast -- $(PY) -m pytest -n 2 $(or $(TESTS),tests/acceptance) $(PYTEST_ARGS)

browser-test: environment-dev chromium ## The console in headless Chromium
	@$(SERVERS) --fast -- $(PY) -m pytest -n 2 -m browser tests/browser $(PYTEST_ARGS)

chromium: ## Install the browser of those tests, as root on Debian
	@command -v chromium >/dev/null 2>&1 || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium; \
	  else echo "Chromium is missing. Cure: sudo apt-get install chromium" >&2; exit 1; fi; }

pgbouncer-test: environment-dev pgbouncer ## The platform behind PgBouncer in transaction mode
	@$(SERVERS) --fast -- $(PY) -m pytest -m pgbouncer $(PYTEST_ARGS)

pgbouncer: ## Install PgBouncer, as root on Debian
	@command -v pgbouncer >/dev/null 2>&1 || test -x /usr/sbin/pgbouncer || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends pgbouncer; \
	  else echo "PgBouncer is missing. Cure: sudo apt-get install pgbouncer" >&2; exit 1; fi; }

# Each installed Python with each Django, in an environment of its own.
MATRIX_PYTHONS ?= python3.12 python3.13
test-matrix: ## All tests on Python 3.12 and 3.13 with Django 5.2 and 6.0 (MATRIX_PYTHONS="…" says where they are)
	@ran=0; for python in $(MATRIX_PYTHONS); do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1 || { echo "$$python is not here: left out."; continue; }; \
	  for django in 5.2 6.0; do \
	    folder=$(VENV)-$$(basename "$$python")-django$$django; \
	    "$$python" tools/virtual_environment.py "$$folder" requirements.txt requirements-embedded.txt requirements-dev.txt || exit 1; \
	    [ $$django = 5.2 ] || "$$python" tools/virtual_environment.py "$$folder" requirements-django$$django.txt || exit 1; \
	    echo "== $$python, Django $$django"; \
	    "$$folder/bin/python" -m jobsplatform.embedded run --fast -- "$$folder/bin/python" -m pytest -n 2 -q -m "not browser and (core or not acceptance)" $(PYTEST_ARGS) || exit 1; \
	    ran=$$((ran + 1)); \
	  done; \
	done; test $$ran -gt 0 || { echo "None of $(MATRIX_PYTHONS) is here." >&2; exit 1; }

# Each row starts its own servers. The launcher cleans up, however the run ends.
SEEDS ?=
SEED ?=
STACKS ?=
chaos: environment-dev ## Faults on real processes, and what became of the promises (SEEDS=n, ONLY=W1,R2, SLICE=n, SEED=first)
	@$(SERVERS) -- $(PY) -m tests.chaos $(if $(SEEDS),--seeds $(SEEDS)) $(if $(SEED),--seed $(SEED)) \
	  $(if $(STACKS),--stacks $(STACKS)) $(if $(SLICE),--slice $(SLICE)) $(addprefix --only ,$(ONLY))

REQUESTS ?= 20000
fuzz: environment-dev ## Hostile requests to API and console, none may be answered with a server error (REQUESTS=n, SEED=1)
	@$(SERVERS) --fast -- $(PY) -m tests.fuzz --requests $(REQUESTS) --seed $(or $(SEED),1)

MINUTES ?= 10
soak: environment-dev ## Load and faults of all kinds for MINUTES=10 (SEED=1): is anything lost, does anything grow?
	@$(SERVERS) -- $(PY) -m tests.chaos.soak --minutes $(MINUTES) --seed $(or $(SEED),1)

alerts-soak: MINUTES = 60
alerts-soak: environment-dev ## Twelve faults and killed dispatchers for MINUTES=60 (SEED=1): is an alert lost, or sent twice?
	@$(SERVERS) -- $(PY) -m tests.chaos.alert_soak --minutes $(MINUTES) --seed $(or $(SEED),1)

effect-kills: KILLS = 10000
effect-kills: environment-dev ## KILLS=10000 of dispatchers and workers over a payment service (SEED=1): is an order charged twice, or not refunded?
	@EFFECT_KILLS=$(KILLS) EFFECT_SEED=$(or $(SEED),1) $(SERVERS) -- $(PY) -m pytest -q -s -p no:cacheprovider tests/integration/scheduling/compensation/test_kills.py

##@ Check and write
# The kit, and the modules whose docstrings `docs/reference/` renders: each public name there has a docstring. The docstring
# of a class covers its constructor (D107) and its special methods (D105).
DOCUMENTED = scheduling/kit $(addsuffix .py,$(subst .,/,$(shell sed -n 's/^::: //p' docs/reference/*.md)))
lint: environment-dev ## Style, docstrings of the kit, types, import contracts, missing migrations
	@$(PY) -m ruff check .
	@$(PY) -m ruff check --select D1 --ignore D105,D107 $(DOCUMENTED)
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports --no-cache
	@$(PY) -W "ignore:Got an error checking a consistent migration history" manage.py makemigrations --check --dry-run

messages: environment-dev ## Bring the translations up to date with the texts; print those that are missing
	@$(PY) -m tools.translations

docs: environment-dev ## Draw the tables of benchmarks, and build the documentation site into var/site; any warning is an error
	@$(PY) -m tools.benchmark_page
	@$(VENV)/bin/mkdocs build

format: environment-dev ## Rewrite the code in the project's style
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

screenshots: environment-dev chromium ## Pictures of the console at work, empty, refused and cut off, into docs/screenshots
	@$(SERVERS) --fast -- $(PY) docs/screenshots/make.py

AGAINST ?=
code-metrics: ## Print the size and the shape of the code base as Markdown (AGAINST=commit compares with another commit)
	$(need-python)
	@"$(PYTHON)" -m tools.code_metrics $(if $(AGAINST),--against "$(AGAINST)")

##@ Measure
ONLY ?=
bench: environment ## Measure on this machine, more than an hour in all (BENCH="fairness eta" picks, ONLY="idle ticks" picks parts)
	@$(SERVERS) --admin -- $(PY) -m benchmarks $(BENCH) $(addprefix --only ,$(ONLY))

bench-simulated: environment ## The fair scheduler's numbers in simulation: no server, half a minute
	@$(PY) -m benchmarks.fairness.simulated

ROUNDS ?= 5
bench-peers: environment ## Beside other queues, in an environment of their own: 25 minutes (ROUNDS=n, ONLY="drain flood")
	@"$(PYTHON)" tools/virtual_environment.py $(VENV)-peers requirements-peers.txt
	@PEER_PROGRAMS="$(abspath $(VENV)-peers/bin)" ROUNDS=$(ROUNDS) $(SERVERS) --admin -- $(PY) -m benchmarks peers $(addprefix --only ,$(ONLY))

##@ Release and clean
requirements: environment ## Pin requirements/*.in whole, with uv
	@$(PY) -m pip install --quiet uv
	@$(VENV)/bin/uv pip compile --quiet --python-version 3.12 --no-emit-index-url --no-emit-find-links --annotation-style line \
	  --custom-compile-command "make requirements" requirements/runtime.in -o requirements.txt
	@sed '/^# Tests/,$$d' requirements/runtime.in | $(VENV)/bin/uv pip compile --quiet --python-version 3.12 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make requirements" -c requirements.txt - \
	  -o requirements-production.txt
	@for part in embedded dev ocr peers sbom; do $(VENV)/bin/uv pip compile --quiet --python-version 3.12 --no-emit-index-url --no-emit-find-links \
	  --annotation-style line --custom-compile-command "make requirements" -c requirements.txt requirements/$$part.in \
	  -o requirements-$$part.txt || exit 1; done

sbom: ## What the image installs, as CycloneDX: var/sbom.json
	$(need-python)
	@"$(PYTHON)" tools/virtual_environment.py $(VENV)-sbom requirements-sbom.txt
	@mkdir -p var
	@$(VENV)-sbom/bin/cyclonedx-py requirements requirements-production.txt --output-reproducible --of JSON -o var/sbom.json

PYTHON_IMAGE ?=
image: environment-dev ## Build the image on PYTHON_IMAGE=name@sha256:… and print its digest
	@$(PY) -m tools.image_references "$(PYTHON_IMAGE)"
	@docker build --quiet -f deploy/Containerfile --build-arg "PYTHON_IMAGE=$(PYTHON_IMAGE)" .

release-check: environment-dev ## Refuse images by tag and placeholders in deploy/ before a release
	@$(PY) -m tools.image_references

clean: ## Remove the virtual environment, kept data, caches (not while `make dev` runs)
	@if [ -e var/dev/lock ] && command -v flock >/dev/null && ! flock -n var/dev/lock true; then \
	  echo "make dev is running on var/dev: stop it first (Ctrl-C where it runs)." >&2; exit 1; fi
	@rm -rf $(VENV) $(VENV).lock $(VENV)-python* $(VENV)-sbom* var .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
