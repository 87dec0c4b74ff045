# make demo    the whole pipeline on the example, with nothing but Python, git and make (and Docker with ENGINE=swarm)
# make test    the tests
# Both set up what they need, once, in .build/.

PYTHON ?= python3
VENV := .build/venv
READY := $(VENV)/ready
RUN := $(VENV)/bin/python
PYTEST ?=
BREAK ?=
ENGINE ?=
STRATEGY ?=
QUICK ?=
REHEARSE ?=

# The tests' modules are compiled once, whatever the caller does: each worker would do it again.
unexport PYTHONDONTWRITEBYTECODE
# What is measured, and the floor, are those of pyproject.toml.
unexport COVERAGE_RCFILE COVERAGE_PROCESS_START

VERSION ?=
ACTION ?=
COMMIT ?=
IMAGE ?=
REFERENCES ?=
BASE ?=
RELEASE := .build/release/$(if $(ACTION),$(ACTION)-)$(VERSION)

.PHONY: help demo test mutation golden pictures lint format metadata lock release image verify-release bench rehearsal rehearsal-page clean

help: ## what can be made
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): requirements/dev.txt tools/bootstrap.py
	@echo "Preparing .build/venv (once) …"
	@$(PYTHON) tools/bootstrap.py $(VENV) requirements/dev.txt

demo: $(READY) ## run the example's pipeline end to end (BREAK=health, contract, contract-migration, migration or errors; ENGINE=swarm; STRATEGY=canary; QUICK=1)
	@$(RUN) -m demo $(if $(ENGINE),--engine $(ENGINE)) $(if $(BREAK),--break $(BREAK)) $(if $(BASE),--base $(BASE)) \
	    $(if $(STRATEGY),--strategy $(STRATEGY)) $(if $(QUICK),--quick $(filter first,$(QUICK)))

# A part of the tests is run for what it says, and takes twice the time when it is measured.
MEASURE ?= $(if $(PYTEST),$(if $(filter-out 0,$(FLOOR)),yes),yes)
# What a skipped test would cover is missing: the floor of pyproject.toml counts where none may be skipped.
FLOOR ?= $(if $(CICD_ACTIONS_NO_SKIP),,0)
# A worker ends with a test that hangs (faulthandler_timeout), and would begin with the same test again.
SPREAD := --numprocesses auto --dist loadgroup --no-loadscope-reorder --max-worker-restart 0
COVERED := .build/coverage/$(notdir $(VENV))
# Each run has a folder: another one in this checkout, or what a killed one left running, adds nothing to its data.
DATA = $(COVERED)/$(shell echo $$PPID)

# `exec`: SIGTERM reaches pytest itself, not a shell that leaves it running.
test: $(READY) ## run the tests and measure which lines and branches of src/ they run (PYTEST="-k gate" for some, MEASURE=yes or no)
ifeq ($(filter-out no,$(MEASURE)),)
	@exec $(RUN) -m pytest $(SPREAD) $(PYTEST)
else
	@[ -z "$(FLOOR)" ] || echo "$(FLOOR)" | grep -qxE '100|[0-9]{1,2}' || { echo "Write FLOOR as a whole percentage: FLOOR=60"; exit 2; }
	@rm -rf $(DATA) && mkdir -p $(DATA) && find $(COVERED) -mindepth 1 -maxdepth 1 -type d -mtime +0 -exec rm -rf {} +
	@export COVERAGE_FILE="$(CURDIR)/$(DATA)/data" && exec $(VENV)/bin/coverage run -m pytest $(SPREAD) $(PYTEST)
	@COVERAGE_FILE=$(DATA)/data $(VENV)/bin/coverage combine --quiet
	@COVERAGE_FILE=$(DATA)/data $(VENV)/bin/coverage report $(if $(FLOOR),--fail-under $(FLOOR)) >$(DATA)/report.txt; code=$$?; \
	    [ $$code = 0 ] || cat $(DATA)/report.txt; mv $(DATA)/data $(DATA)/report.txt $(COVERED)/ && rm -rf $(DATA); exit $$code
	@awk '/^TOTAL/ { print "The tests cover " $$NF " of lines and branches. $(COVERED)/report.txt lists the others." }' $(COVERED)/report.txt
endif

MUTATION := .build/venv-mutation
$(MUTATION)/ready: requirements/mutation.txt tools/bootstrap.py
	@$(PYTHON) tools/bootstrap.py $(MUTATION) requirements/mutation.txt

mutation: $(MUTATION)/ready ## change the safety rules one by one, and see whether a test fails (PARTS="judge proof" for some)
	@$(MUTATION)/bin/python -m tools.mutation $(PARTS)

golden: $(READY) ## keep the summaries that the actions write now (tests/golden), and name those that changed
	@CICD_ACTIONS_GOLDEN=write $(RUN) -m pytest -q $(or $(PYTEST),$(wildcard tests/integration/*/test_summaries.py))
	@git status --short -- tests/golden

pictures: $(READY) ## draw the pictures of the README from the kept summaries
	@$(RUN) -m tools.picture tests/golden/health-gate/fail.md docs/images/red-gate.svg
	@$(RUN) -m tools.picture tests/golden/demo/health.md docs/images/demo.svg
	@git status --short -- docs/images

lint: $(READY) ## ruff, mypy --strict, vulture, zizmor, actionlint, and that the metadata is fresh
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@cd examples/two-lane/apps/api && "$(abspath $(VENV))/bin/ruff" check . && "$(abspath $(VENV))/bin/ruff" format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/vulture
	@$(VENV)/bin/zizmor --offline --quiet --persona pedantic .
	@$(VENV)/bin/actionlint -shellcheck= -pyflakes= .github/workflows/*.yml examples/*/.github/workflows/*.yml
	@PYTHONPATH=src PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(RUN) -m cicd_actions pipeline-audit --fail-on minor \
	    --acknowledge .github/pipeline-audit.yml --repositories . --repositories examples/two-lane \
	    >.build/pipeline-audit.txt || { cat .build/pipeline-audit.txt; exit 1; }
	@$(RUN) tools/metadata.py --check

format: $(READY) ## let ruff fix what it can
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

metadata: $(READY) ## write action.yml and the README tables from the definitions
	@$(RUN) tools/metadata.py

COMPILE = $(VENV)/bin/uv pip compile --universal --generate-hashes --python-version 3.10 --no-header --quiet

lock: $(READY) ## resolve the locked requirements again, for the oldest Python
	@$(COMPILE) pyproject.toml -o requirements/runtime.txt
	@$(COMPILE) requirements/dev.in -o requirements/dev.txt
	@$(COMPILE) requirements/mutation.in -o requirements/mutation.txt
	@$(COMPILE) requirements/node.in -o requirements/node.txt

release: $(READY) ## build a release's tree of HEAD: VERSION=1.2.3, one action alone with ACTION=health-gate
	@test -n "$(VERSION)" || { echo "write: make release VERSION=1.2.3"; exit 2; }
	@rm -rf $(RELEASE)
	@$(RUN) -m tools.release build $(VERSION) $(RELEASE) $(if $(ACTION),--action $(ACTION)) $(if $(IMAGE),--image $(IMAGE)) \
	    $(if $(REFERENCES),--references $(REFERENCES))

image: release ## build the container image of that release: VERSION=1.2.3, BASE=… for another base image
	@DOCKER_BUILDKIT=1 docker build --file Dockerfile $(if $(BASE),--build-arg BASE=$(BASE)) --tag cicd-actions:$(VERSION) $(RELEASE)

verify-release: $(READY) ## rebuild a release commit and compare every byte: COMMIT=v1.2.3
	@test -n "$(COMMIT)" || { echo "write: make verify-release COMMIT=v1.2.3"; exit 2; }
	@$(RUN) -m tools.release verify $(COMMIT)

bench: $(READY) ## print the figures and hold them to their targets
	@missed=; for file in benchmarks/*.py; do echo "== $$file"; $(RUN) $$file || missed="$$missed $$file"; done; \
	    test -z "$$missed" || { echo "missed a target or failed:$$missed"; exit 1; }

rehearsal: $(READY) ## deploy releases with faults to a Swarm, and count wrong verdicts (REHEARSE="--only crash --repeat 3"); root
	@$(RUN) -m rehearsal $(REHEARSE)

rehearsal-page: $(READY) ## write docs/rehearsal.md of docs/rehearsal.json
	@$(RUN) -m rehearsal --page

clean: ## remove what make made
	rm -rf .build .cache .demo
