# The one list of commands; CI calls the same targets. `make help` prints it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
PYTHON ?= python3
RQ_VERSIONS := 1.15 1.16 2.6 3
VENVS := target/venvs
PY := $(VENVS)/py/bin/python
MATURIN := $(VENVS)/py/bin/maturin
# The sidecar that is compared with Frappe, once one is built.
PROGRAM ?= $(firstword $(wildcard target/release/memora-srs target/debug/memora-srs))
# The same bytes in whatever folder and whenever they are built: neither is in them. The time is
# the first that an archive can have.
CARGO_HOME ?= $(HOME)/.cargo
ANYWHERE = RUSTFLAGS="--remap-path-prefix=$(CURDIR)=. --remap-path-prefix=$(CARGO_HOME)=cargo" \
	CFLAGS="-ffile-prefix-map=$(CURDIR)=. -ffile-prefix-map=$(CARGO_HOME)=cargo" \
	SOURCE_DATE_EPOCH=315532800
# The tests' package switches failpoints on; a program for others is built without it.
RELEASE = $(ANYWHERE) $(CARGO) build --locked --release -p memora-sidecar

# Tests wait for servers more than they compute: one more at once than a small machine has cores.
export RUST_TEST_THREADS ?= 3

.PHONY: help ## Print this list
help:
	@awk '/^\.PHONY:.*##/ { split($$0, part, /## /); sub(/^\.PHONY: */, "", part[1]); sub(/ *$$/, "", part[1]); printf "  make %-16s %s\n", part[1], part[2] }' $(MAKEFILE_LIST)

.PHONY: demo ## Play one student's session on private servers, stay up for your curl (ONCE=1: end after it)
demo: servers
	$(RELEASE)
	$(CARGO) build --locked -p memora-tests --bin memora-demo
	ONCE=$(ONCE) target/debug/memora-demo --program target/release/memora-srs

.PHONY: test ## Run all tests on private servers, in parallel
test: servers nginx promtool venvs
	$(CARGO) test --locked -p memora-core -p memora-sidecar -p memora-tests $(ARGS)
	$(MAKE) test-python

.PHONY: test-long ## Run the longer suites too, and each fuzzer for a minute
test-long: servers nginx promtool chromium cargo-fuzz venvs
	$(CARGO) test --locked -p memora-core -p memora-sidecar -p memora-tests $(ARGS) -- --include-ignored
	$(MAKE) test-python PYTEST_ARGS="-m ''"
	$(MAKE) fuzz

.PHONY: soak ## Kill, stop, cut and wipe under load, then check every promise (MINUTES=30 SEED=1 [ARGS="--double-fault --json"])
soak: servers
	$(CARGO) build --locked -p memora-tests --bins
	@# A worker of RQ's takes part if its Python is there.
	@[ -x $(PY) ] || echo "make test-python first, and a worker of RQ's takes part" >&2
	target/debug/memora-soak --minutes $(or $(MINUTES),1) --seed $(or $(SEED),1) $(ARGS)

.PHONY: test-python ## Run the tests of the wheel alone (PYTEST_ARGS="-k fork")
test-python: servers reader $(VENVS)/py/.made
	$(CARGO) build --locked -p memora-tests --bin memora-stage --bin memora-srs-failpoints
	rm -f target/test-wheels/*.whl
	$(MATURIN) build --quiet --profile dev --features failpoints --locked --out target/test-wheels
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall target/test-wheels/*.whl
	$(PY) -m pytest -q $(PYTEST_ARGS)

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

.PHONY: front ## Stop, freeze, kill, restart the sidecar behind nginx and before a real Frappe (BENCH=<folder> SITE=<site> [PROGRAM=<memora-srs>])
front: nginx
	@[ -n "$(BENCH)" ] && [ -n "$(PROGRAM)" ] || { echo "make front BENCH=<folder of a bench> [SITE=<site>] PROGRAM=<memora-srs>" >&2; exit 1; }
	$(BENCH)/env/bin/python tests/python/front_of_frappe.py $(BENCH) --site "$(SITE)" --program $(PROGRAM)

.PHONY: desk ## Rebuild and archive in Desk, in Chromium (BENCH=<folder, its assets built> SITE=<site> [PROGRAM=<memora-srs>])
desk: nginx chromium
	@[ -n "$(BENCH)" ] && [ -n "$(PROGRAM)" ] || { echo "make desk BENCH=<folder of a bench> [SITE=<site>] PROGRAM=<memora-srs>" >&2; exit 1; }
	$(BENCH)/env/bin/python tests/python/desk_of_frappe.py $(BENCH) --site "$(SITE)" --program $(PROGRAM)

.PHONY: season-cycle ## Make, fill, archive, migrate, restore a season of 120,000 rows through Frappe (BENCH=<folder> SITE=<site> [PROGRAM=<memora-srs>])
season-cycle:
	@[ -n "$(BENCH)" ] && [ -n "$(PROGRAM)" ] || { echo "make season-cycle BENCH=<folder of a bench> [SITE=<site>] PROGRAM=<memora-srs>" >&2; exit 1; }
	$(BENCH)/env/bin/python tests/python/season_cycle.py $(BENCH) --site "$(SITE)" --program $(PROGRAM)

.PHONY: bench ## Measure (docs/PERFORMANCE.md has the figures and what they mean)
bench: servers $(VENVS)/bench/.made
	@# Some drive the program as it is released.
	$(RELEASE)
	$(CARGO) bench --locked -p memora-benches $(ARGS)
	@# One table of all that has been measured so far, and plots, in target/bench.
	$(CARGO) run --quiet --locked --profile bench -p memora-benches --bin memora-bench-report

.PHONY: bench-python ## Measure calls from Python beside redis-py doing the same
bench-python: servers wheel $(VENVS)/bench/.made
	$(CARGO) build --locked -p memora-tests --bin memora-stage
	$(VENVS)/bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall target/wheels/*.whl
	$(VENVS)/bench/bin/python benches/python/calls.py $(ARGS)

.PHONY: bench-frappe ## Measure the endpoints on a real bench, both doors beside frappe.ping (BENCH=<folder> [SITE=<site>])
bench-frappe:
	@[ -n "$(BENCH)" ] && [ -n "$(PROGRAM)" ] || { echo "make bench-frappe BENCH=<folder of a bench> [SITE=<site>] PROGRAM=<memora-srs>" >&2; exit 1; }
	$(BENCH)/env/bin/python benches/python/frappe_doors.py $(BENCH) --site "$(SITE)" --program $(PROGRAM) $(ARGS)

.PHONY: build ## Build target/release/memora-srs
build:
	$(RELEASE)

.PHONY: wheel ## Build the Python module: target/wheels/memora_srs-*.whl
wheel: $(VENVS)/build/.made
	rm -f target/wheels/*.whl
	$(ANYWHERE) $(VENVS)/build/bin/maturin build --quiet --release --locked --out target/wheels
	@ls target/wheels/*.whl

.PHONY: release ## Build what is handed out, reproducibly: program, its debug information, wheel, checksums in target/dist
release: build wheel
	rm -rf target/dist
	mkdir -p target/dist
	objcopy --only-keep-debug target/release/memora-srs target/dist/memora-srs.debug
	objcopy --strip-debug --add-gnu-debuglink=target/dist/memora-srs.debug target/release/memora-srs target/dist/memora-srs
	cp target/wheels/*.whl target/dist
	cd target/dist && sha256sum * > SHA256SUMS && ls -s --block-size=K && cat SHA256SUMS

.PHONY: lint ## Check format and lints; warnings are errors
lint: $(VENVS)/py/.made
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(PY) -m ruff format --check --quiet
	$(PY) -m ruff check --quiet
	$(PY) -m mypy
	$(VENVS)/py/bin/hadolint deploy/container/Containerfile

.PHONY: fmt ## Format
fmt: $(VENVS)/py/.made
	$(CARGO) fmt --all
	$(PY) -m ruff format --quiet

.PHONY: fuzz ## Let libFuzzer look for inputs that break what reads bytes of others (SECONDS=60 for each, TARGETS="pickle")
TARGETS ?= cookies parameters pickle rq_job session_text
fuzz: cargo-fuzz
	@# Sanitizers are for compilers of the night; this one has them too, if told to.
	@for target in $(TARGETS); do \
	  mkdir -p target/fuzz/$$target target/fuzz/found; \
	  RUSTC_BOOTSTRAP=1 CARGO_PROFILE_RELEASE_LTO=off $(CARGO) fuzz run --fuzz-dir fuzz --features targets $$target \
	    target/fuzz/$$target fuzz/seeds/$$target -- -max_total_time=$(or $(SECONDS),60) \
	    -rss_limit_mb=1024 -timeout=10 -max_len=8192 -artifact_prefix=target/fuzz/found/; \
	done

.PHONY: deny ## Check licences, bans and sources of dependencies; known vulnerabilities too if their database can be had
deny:
	@command -v cargo-deny >/dev/null || { echo "cargo install cargo-deny --locked, and try again" >&2; exit 1; }
	$(CARGO) deny --locked --all-features --log-level error check bans licenses sources
	@if git ls-remote --quiet https://github.com/RustSec/advisory-db HEAD >/dev/null 2>&1; then \
	  $(CARGO) deny --locked --all-features --log-level error check advisories; \
	else \
	  echo "github.com cannot be reached: advisories NOT checked" >&2; \
	fi

.PHONY: docs ## Build the documentation of the code; warnings are errors
docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items

.PHONY: guard ## Count instructions and allocations of hot functions against benches/guard/baseline.json (UPDATE=1 writes it)
guard: valgrind
	$(CARGO) build --locked --config benches/guard/profile.toml -p memora-guard
	target/debug/memora-guard $(if $(UPDATE),--update)

# Debian asks this file whether what it installs may be started.
POLICY ?= /usr/sbin/policy-rc.d

# Ends a list `missing` of Debian packages: installs them, or names them. Programs are wanted, no
# services: nothing of them is started.
define install_missing
	[ $${#missing[@]} -eq 0 ] && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing $${missing[*]} (Debian packages)"; \
	  if [ ! -e $(POLICY) ]; then \
	    trap 'rm -f $(POLICY)' EXIT; \
	    printf '#!/bin/sh\nexit 101\n' > $(POLICY); \
	    chmod +x $(POLICY); \
	  fi; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  { apt-get update && apt-get install -y --no-install-recommends "$${missing[@]}"; } >/dev/null; \
	else \
	  echo "missing: $${missing[*]} (names of Debian packages); install them and try again" >&2; exit 1; \
	fi
endef

.PHONY: chromium ## Find Chromium and its driver, or install them from Debian's packages
chromium:
	@missing=(); \
	command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium); \
	command -v chromedriver >/dev/null || missing+=(chromium-driver); \
$(install_missing)

.PHONY: valgrind ## Find valgrind, or install it from Debian's package
valgrind:
	@missing=(); \
	command -v valgrind >/dev/null || missing+=(valgrind); \
$(install_missing)

.PHONY: cargo-fuzz ## Find cargo-fuzz, or build it from crates.io
cargo-fuzz:
	@command -v cargo-fuzz >/dev/null || $(CARGO) install cargo-fuzz --locked

.PHONY: servers ## Find redis-server and mariadbd, or install them from Debian's packages
servers:
	@missing=(); \
	PATH="$$PATH:/usr/sbin:/usr/local/sbin"; \
	command -v redis-server >/dev/null || missing+=(redis-server); \
	{ command -v mariadbd || command -v mysqld; } >/dev/null && \
	  { command -v mariadb-install-db || command -v mysql_install_db; } >/dev/null || missing+=(mariadb-server); \
	$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv); \
	command -v cc >/dev/null || missing+=(gcc libc6-dev); \
$(install_missing)

.PHONY: nginx ## Find nginx, which tests put in front of the sidecar, or install it from Debian's package
nginx:
	@missing=(); \
	PATH="$$PATH:/usr/sbin:/usr/local/sbin"; \
	command -v nginx >/dev/null || missing+=(nginx); \
$(install_missing)

.PHONY: promtool ## Find promtool, which judges the alert rules, or install it from Debian's package
promtool:
	@missing=(); \
	command -v promtool >/dev/null || missing+=(prometheus); \
$(install_missing)

.PHONY: reader ## Find curl and jq, which a reader of the docs types, or install them from Debian's packages
reader:
	@missing=(); \
	command -v curl >/dev/null || missing+=(curl); \
	command -v jq >/dev/null || missing+=(jq); \
$(install_missing)

.PHONY: venvs ## Make the Python environments with the RQ versions of Frappe 14 to 16, and RQ 3
venvs: $(RQ_VERSIONS:%=$(VENVS)/rq-%/.made)

# A Python environment with what the requirements name, and nothing else: what one of them needs
# and they do not name is missing, which `pip check` says. Marked when complete: one that is not
# is made anew.
define make_venv
rm -rf $(@D)
$(PYTHON) -m venv $(@D)
$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $(^:%=-r %)
$(@D)/bin/python -m pip --disable-pip-version-check check >&2
touch $@
endef

$(VENVS)/rq-%/.made: tests/python/requirements-rq-%.txt
	$(make_venv)

# One for the tests of the wheel, one that builds wheels, one for benches and their peer.
$(VENVS)/py/.made: tests/python/requirements.txt tests/python/requirements-build.txt
$(VENVS)/build/.made: tests/python/requirements-build.txt
$(VENVS)/bench/.made: benches/python/requirements.txt
$(VENVS)/py/.made $(VENVS)/build/.made $(VENVS)/bench/.made:
	$(make_venv)

.PHONY: clean ## Remove everything that was built
clean:
	$(CARGO) clean
