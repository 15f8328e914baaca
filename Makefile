# The two commands are `make demo` and `make test`; both do all their own set-up.
#   make demo    the whole path in under a minute, with proof        make run     the same world, left running
#   make test    every check and every test                          make bench   the figures of bench/README.md
#   make conformance   writes docs/conformance.md from the conformance data of others
# INSTALL=0 forbids installing Debian packages (then what is missing is printed and the run fails).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL ?= 1

.PHONY: demo run test check conformance bench lock clean

$(VENV)/.ready: requirements.lock pyproject.toml
	@echo "== Python environment in $(VENV) (first time: about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Missing: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(VENV)/.ready
	@sh tests/debian_packages.sh $(INSTALL) openssl
	@$(BIN)/python -m addin_sim.world.demo

run: $(VENV)/.ready
	@sh tests/debian_packages.sh $(INSTALL) openssl
	@$(BIN)/python -m addin_sim.world.demo --keep-running

check: $(VENV)/.ready
	@echo "== Style, types and layers"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

test: check
	@sh tests/debian_packages.sh $(INSTALL) openssl gpgsm gnupg postfix dovecot-imapd dovecot-lmtpd slapd ldap-utils samba samba-common-bin samba-ad-provision samba-dsdb-modules samba-vfs-modules ldb-tools postgresql chromium libatomic1 systemd
	@echo "== Tests"
	@$(BIN)/pytest -n 2 --dist loadgroup $(PYTEST)

conformance: $(VENV)/.ready
	@WRITE_CONFORMANCE=1 $(BIN)/pytest tests/interop/conformance

bench: $(VENV)/.ready
	@sh tests/debian_packages.sh $(INSTALL) openssl postfix
	@$(BIN)/python -m bench

lock: $(VENV)/.ready
	@$(BIN)/pip install --quiet pip-tools
	@$(BIN)/pip-compile --quiet --generate-hashes --extra dev --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras --allow-unsafe -o requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info build
