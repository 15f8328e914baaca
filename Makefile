# The two commands are `make demo` and `make test`; both do all their own set-up.
#   make demo    the whole circle in two chapters, with proof        make run     the world of chapter 1, left running
#   make test    every check and every test                          make bench   the figures of bench/README.md
#   make company [DIR=new folder]   as root: the servers of chapter 2, left running for README's walk-through
#   make conformance   writes docs/conformance.md from the conformance data of others
# INSTALL=0 forbids installing Debian packages (then what is missing is printed and the run fails; make demo shows chapter 1).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL ?= 1
SAMBA := samba samba-common-bin samba-ad-provision samba-dsdb-modules samba-vfs-modules ldb-tools
COMPANY := openssl postfix dovecot-imapd dovecot-lmtpd ldap-utils $(SAMBA)

.PHONY: demo run company test check conformance bench lock clean

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
	@echo
	@if [ "$$(id -u)" = 0 ] && sh tests/debian_packages.sh $(INSTALL) $(COMPANY); then $(BIN)/python -m tests.story.circle; else \
	  echo "Chapter 2 was left out, chapter 1 is all that was shown: its Active Directory (Samba), Postfix and Dovecot need root"; \
	  echo "and Debian packages, which  sudo make demo  installs."; fi

run: $(VENV)/.ready
	@sh tests/debian_packages.sh $(INSTALL) openssl
	@$(BIN)/python -m addin_sim.world.demo --keep-running

company: $(VENV)/.ready
	@sh tests/debian_packages.sh $(INSTALL) $(COMPANY)
	@$(BIN)/python -m tests.story.company $(DIR)

check: $(VENV)/.ready
	@echo "== Style, types and layers"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

test: check
	@sh tests/debian_packages.sh $(INSTALL) $(COMPANY) gpgsm gnupg slapd postgresql chromium libatomic1 systemd
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
