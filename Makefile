# batchgen: needs make and a Python >= 3.11 that has venv; everything else lands in .venv/.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
VENV   ?= .venv
PYTHON ?=
BIN    := $(VENV)/bin
RUN    := $(VENV)/.run-ready
DEV    := $(VENV)/.dev-ready
DRIVER := $(VENV)/.browser-ready
REMOTE := $(VENV)/.servers-ready
PAGE   := batchgen/page
NPM    := $(VENV)/page
PINS   := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Without compiled files, which pip is told not to make, every start would compile the libraries anew.
unexport PYTHONDONTWRITEBYTECODE

# The first interpreter that really runs, is new enough and can make a venv: a pyenv shim may exist and not run,
# and Debian's python3 without python3-venv has no ensurepip.
FIND_PY = for p in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1 \
	&& { echo "$$p"; break; }; done
# Any Python will do to hold the set-up lock; it dies with its holder, so two makes at once do not write to one .venv.
ANY_PY  = $$(for p in $(PYTHON) python3 python3.13 python3.12 python3.11; do "$$p" -c 'import fcntl' >/dev/null 2>&1 && { echo "$$p"; break; }; done)
NO_PYTHON = { echo "batchgen needs Python 3.11, 3.12 or 3.13 that can make virtual environments; none was found." >&2; \
	echo "  Debian, Ubuntu: sudo apt install python3 python3-venv     macOS: brew install python@3.13" >&2; \
	echo "  or name one:    make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
LOCKED  = "$(ANY_PY)" -c 'import fcntl, subprocess, sys; f = open(sys.argv[1], "w"); fcntl.flock(f, 2); sys.exit(subprocess.call(sys.argv[2:], close_fds=False))' .setup.lock
# A venv whose python is gone or too old, or whose tree was moved or copied, is thrown away and made again.
CHECK   = [ "$$(cat "$(VENV)/.root" 2>/dev/null)" = "$$PWD" ] && "$(BIN)/python" -c "import sys, pip; sys.exit(sys.version_info < (3, 11))" 2>/dev/null || rm -rf "$(VENV)"
# Pins reach the isolated build environment too: by the first variable for an old pip, by the second for a new one.
PIP     = PIP_CONSTRAINT=$(PINS) PIP_BUILD_CONSTRAINT=$(PINS) "$(BIN)/python" -m pip install --quiet --no-input --no-compile --prefer-binary
ADVICE  = { echo "the installation failed. No network? Set PIP_INDEX_URL or PIP_FIND_LINKS; behind a proxy: HTTPS_PROXY." >&2; exit 1; }

.PHONY: help setup setup-dev setup-browser setup-servers _run _dev _browser _servers demo check test test-all lint format docs assets bench torture lock clean distclean

help: ## show this list
	@sed -n 's/^#: /\n/p; s/^\([a-z-]*\):.*## \(.*\)/  make \1 - \2/p' $(firstword $(MAKEFILE_LIST))

#: Setup and use
setup: ## make .venv with what batchgen needs to run (the other targets do this by themselves)
	+@[ -n "$(ANY_PY)" ] || $(NO_PYTHON); $(LOCKED) sh -c '$(CHECK); exec "$$0" "$$@"' $(MAKE) --no-print-directory _run

setup-dev: ## the same, plus test and lint tools
	+@[ -n "$(ANY_PY)" ] || $(NO_PYTHON); $(LOCKED) sh -c '$(CHECK); exec "$$0" "$$@"' $(MAKE) --no-print-directory _dev

setup-browser: ## the same, plus the driver for the tests of the page (they use the Chromium of the system)
	+@[ -n "$(ANY_PY)" ] || $(NO_PYTHON); $(LOCKED) sh -c '$(CHECK); exec "$$0" "$$@"' $(MAKE) --no-print-directory _browser

setup-servers: ## the same, plus what only `make test-all` needs: Ray, and S3-compatible servers
	+@[ -n "$(ANY_PY)" ] || $(NO_PYTHON); $(LOCKED) sh -c '$(CHECK); exec "$$0" "$$@"' $(MAKE) --no-print-directory _servers

_run: $(RUN) ; @:
_dev: $(DEV) ; @:
_browser: $(DRIVER) ; @:
_servers: $(REMOTE) ; @:

$(RUN): pyproject.toml $(PINS)
	@if ! [ -e "$(VENV)/.root" ]; then py=$$($(FIND_PY)); \
	  [ -n "$$py" ] || $(NO_PYTHON); \
	  echo "making $(VENV) with $$py ($$("$$py" -V))"; \
	  "$$py" -m venv "$(VENV)" && printf %s "$$PWD" > "$(VENV)/.root"; fi
	@echo "installing what batchgen needs (about ten seconds the first time)"
	@$(PIP) -e . || $(ADVICE)
	@touch $@

$(DEV): $(RUN)
	@echo "installing test and lint tools"
	@$(PIP) -e '.[dev]' || $(ADVICE)
	@touch $@

$(DRIVER): $(DEV)
	@echo "installing the driver of the browser"
	@$(PIP) -e '.[browser]' || $(ADVICE)
	@touch $@

$(REMOTE): $(DRIVER)
	@echo "installing Ray and S3-compatible servers"
	@$(PIP) -e '.[cluster,servers]' || $(ADVICE)
	@touch $@

demo: setup ## run the demonstration batch on simulated providers: no key, no network, no cost
	@"$(BIN)/python" -m batchgen demo

#: Development
# Three workers on two cores, because many tests wait for something. A file stays with one worker, so that its
# sandbox and module fixtures start once; the order of the folders ends with small files.
PYTEST := "$(BIN)/python" -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder

check: lint ## the inner loop, under a minute: style, types, layers and the tests of pure code
	@$(PYTEST) tests/values tests/providers tests/planning tests/engine tests/cli $(ARGS)

test: setup-dev ## run the tests (ARGS="-k name" for some of them)
	@$(PYTEST) $(ARGS)

test-all: setup-servers ## every test, slow ones too, with many random examples; then by axis, and a longer torture
	@$(PYTEST) -m "" --hypothesis-profile=ci $(ARGS)
	@for axis in postgres s3 ray; do $(PYTEST) --axis $$axis tests/acceptance || exit 1; done
	@for axis in postgres s3 ray; do "$(BIN)/python" -m tests.torture --axis $$axis --short || exit 1; done
	@"$(BIN)/python" -m tests.torture --kills 120 --syscalls 40 --errors 20 --power 10 --compound 10 --migration 8 --redos 10 --settlements 6
	@"$(BIN)/python" -m tests.torture.remote --axis postgres --times 2

lint: setup-dev ## style, types and the layers
	@"$(BIN)/python" -m ruff check .
	@"$(BIN)/python" -m ruff format --check .
	@"$(BIN)/python" -m mypy
	@"$(BIN)/lint-imports" --no-cache

format: setup-dev ## format the code
	@"$(BIN)/python" -m ruff check --fix --quiet . ; "$(BIN)/python" -m ruff format .

docs: setup-dev ## write the tables that come from the code into README and help pages
	@"$(BIN)/python" -m tests.docs

# Exact versions, and no lock file, which would name a registry; build.mjs compares the integrity of the packages.
$(NPM)/.ready: $(PAGE)/package.json
	@command -v npm >/dev/null || { echo "building the page needs node and npm (Debian, Ubuntu: sudo apt install npm)" >&2; exit 1; }
	@mkdir -p $(NPM) && cp $< $(NPM)/
	@cd $(NPM) && npm install --package-lock=false --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

assets: $(NPM)/.ready ## check and build the page of reports from batchgen/page (needs node and npm)
	@node $(NPM)/node_modules/typescript/bin/tsc -p $(PAGE)
	@node $(PAGE)/build.mjs $(NPM)

#: Measurements
bench: setup-browser ## measure speed against a bare loop in the same run (half an hour; ARGS="small url" for some)
	@"$(BIN)/python" -m tests.bench $(ARGS)

torture: setup-dev ## kill it in every way and count charges (ARGS="--kills 1000" for the long form)
	@"$(BIN)/python" -m tests.torture $(ARGS)
	@"$(BIN)/python" -m tests.torture.remote

#: Housekeeping
lock: ## rewrite constraints.txt from pyproject.toml: names and versions only
	@t=$$(mktemp -d) && py=$$($(FIND_PY)) && "$$py" -m venv $$t && $$t/bin/python -m pip install --quiet '.[dev,browser,cluster,servers]' hatchling \
	  && $$t/bin/python -m pip freeze --exclude batchgen | sed '/ @ /d; /^-e/d' > $(PINS).new && rm -rf $$t && mv $(PINS).new $(PINS)

clean: ## remove what the demonstration made, and caches
	rm -rf .batchgen .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist

distclean: clean ## remove .venv as well
	rm -rf "$(VENV)" .setup.lock
