# make demo    the whole pipeline on the example, with nothing but Python, git and make
# make test    the tests
# Both set up what they need, once, in .build/.

PYTHON ?= python3
VENV := .build/venv
READY := $(VENV)/ready
RUN := $(VENV)/bin/python
PYTEST ?=
BREAK ?=
ENGINE ?=

.PHONY: help demo test lint format metadata lock bench clean

help: ## what can be made
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): requirements/dev.txt tools/bootstrap.py
	@echo "Preparing .build/venv (once) …"
	@$(PYTHON) tools/bootstrap.py $(VENV) requirements/dev.txt

demo: $(READY) ## run the example's pipeline end to end (BREAK=health, BREAK=contract)
	@$(RUN) -m demo $(if $(BREAK),--break $(BREAK)) $(if $(ENGINE),--engine $(ENGINE))

test: $(READY) ## run the tests (PYTEST="-k gate" hands options on)
	@$(RUN) -m pytest $(PYTEST)

lint: $(READY) ## ruff, mypy --strict, zizmor, and that the metadata is fresh
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/zizmor --offline --quiet --persona pedantic .
	@$(RUN) tools/metadata.py --check

format: $(READY) ## let ruff mend what it can
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

metadata: $(READY) ## write action.yml and the README tables from the definitions
	@$(RUN) tools/metadata.py

lock: $(READY) ## resolve the locked requirements again, for the oldest Python
	@for name in dev node; do \
	    $(VENV)/bin/uv pip compile --universal --generate-hashes --python-version 3.10 --no-header --quiet \
	        requirements/$$name.in -o requirements/$$name.txt || exit 1; done
	@$(VENV)/bin/uv pip compile --universal --generate-hashes --python-version 3.10 --no-header --quiet \
	    pyproject.toml -o requirements/runtime.txt

bench: $(READY) ## print the figures and hold them to their targets
	@for file in benchmarks/*.py; do echo "== $$file"; $(RUN) $$file || exit 1; done

clean: ## remove what make made
	rm -rf .build .cache .demo
