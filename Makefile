# The one list of commands; CI calls the same targets. `make help` prints it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
PYTHON ?= python3
RQ_VERSIONS := 1.15 1.16 2.6
VENVS := target/venvs
# The sidecar that is compared with Frappe, once one is built.
PROGRAM ?= $(firstword $(wildcard target/release/memora-srs target/debug/memora-srs))
# The tests' package switches failpoints on; a program for others is built without it.
RELEASE := $(CARGO) build --locked --release -p memora-sidecar

.PHONY: help ## Print this list
help:
	@awk '/^\.PHONY:.*##/ { split($$0, part, /## /); sub(/^\.PHONY: */, "", part[1]); sub(/ *$$/, "", part[1]); printf "  make %-12s %s\n", part[1], part[2] }' $(MAKEFILE_LIST)

.PHONY: demo ## Play one student's session on private servers, stay up for your curl (ONCE=1: end after it)
demo: servers
	$(RELEASE)
	$(CARGO) build --locked -p memora-tests --bin memora-demo
	ONCE=$(ONCE) target/debug/memora-demo --program target/release/memora-srs

.PHONY: test ## Run all tests on private servers, in parallel
test: servers venvs
	$(CARGO) test --locked -p memora-core -p memora-sidecar -p memora-tests $(ARGS)

.PHONY: test-long ## Run the longer suites too
test-long: servers venvs
	$(CARGO) test --locked -p memora-core -p memora-sidecar -p memora-tests $(ARGS) -- --include-ignored

.PHONY: test-frappe ## Run the app's tests inside a bench (BENCH=<folder> [SITE=<site>]), and compare the doors if target/*/memora-srs is built
test-frappe:
	@[ -n "$(BENCH)" ] || { echo "make test-frappe BENCH=<folder of a bench> [SITE=<site>]" >&2; exit 1; }
	$(PYTHON) tests/python/frappe_tests.py $(BENCH) --site "$(SITE)" $(ARGS)
	@if [ -n "$(PROGRAM)" ]; then $(MAKE) compare-doors; else echo "no memora-srs built: the doors are not compared"; fi

.PHONY: test-frappe-life ## Install, migrate, uninstall on a site (BENCH=<folder> SITE=<site with allow_tests>); DESTROYS the site's data
test-frappe-life:
	@[ -n "$(BENCH)" ] && [ -n "$(SITE)" ] || { echo "make test-frappe-life BENCH=<folder of a bench> SITE=<site>" >&2; exit 1; }
	cd $(BENCH)/sites && ../env/bin/python -m memora.tests.schema_life $(SITE)

.PHONY: app-branch ## Make the branch frappe-app, whose root is the app, for bench get-app
app-branch:
	git branch --force frappe-app "$$(git commit-tree -m "The Frappe app of $$(git rev-parse --short HEAD)" HEAD:frappe_app)"

.PHONY: compare-doors ## Send the same requests to Frappe and to the sidecar (BENCH=<folder> SITE=<site> [PROGRAM=<memora-srs>])
compare-doors:
	@[ -n "$(BENCH)" ] && [ -n "$(PROGRAM)" ] || { echo "make compare-doors BENCH=<folder of a bench> [SITE=<site>] PROGRAM=<memora-srs>" >&2; exit 1; }
	$(BENCH)/env/bin/python tests/python/compare_doors.py $(BENCH) --site "$(SITE)" --program $(PROGRAM)

.PHONY: bench ## Measure (docs/PERFORMANCE.md has the figures and what they mean)
bench: servers
	$(CARGO) bench --locked -p memora-benches $(ARGS)

.PHONY: build ## Build target/release/memora-srs
build:
	$(RELEASE)

.PHONY: lint ## Check format and lints; warnings are errors
lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

.PHONY: fmt ## Format
fmt:
	$(CARGO) fmt --all

.PHONY: docs ## Build the documentation of the code; warnings are errors
docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items

.PHONY: servers ## Find redis-server and mariadbd, or install them from Debian's packages
servers:
	@missing=(); \
	PATH="$$PATH:/usr/sbin:/usr/local/sbin"; \
	command -v redis-server >/dev/null || missing+=(redis-server); \
	{ command -v mariadbd || command -v mysqld; } >/dev/null && \
	  { command -v mariadb-install-db || command -v mysql_install_db; } >/dev/null || missing+=(mariadb-server); \
	$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv); \
	command -v cc >/dev/null || missing+=(gcc libc6-dev); \
	[ $${#missing[@]} -eq 0 ] && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing $${missing[*]} (Debian packages)"; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  { apt-get update && apt-get install -y --no-install-recommends "$${missing[@]}"; } >/dev/null; \
	else \
	  echo "missing: $${missing[*]} (names of Debian packages); install them and try again" >&2; exit 1; \
	fi

.PHONY: venvs ## Make the Python environments with the RQ versions that Frappe 14 to 16 use
venvs: $(RQ_VERSIONS:%=$(VENVS)/rq-%/.made)

# Marked when complete: one that is not is made anew.
$(VENVS)/rq-%/.made: tests/python/requirements-rq-%.txt
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

.PHONY: clean ## Remove everything that was built
clean:
	$(CARGO) clean
