# Everything a newcomer types. Each target installs what it lacks first (and says so), which is quick the second time.
SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
PYTHON ?= python3
# Tests at a time: the calls in them take as long as people speak, so the machine mostly waits.
JOBS ?= 4

# What is needed from Debian, each with the program or file that shows it is there.
PHONES := baresip-core=baresip util-linux=setpriv
BROWSER := chromium=chromium
POSTGRESQL := postgresql=/usr/lib/postgresql/*/bin/initdb
DOVECOT := dovecot-imapd=/usr/lib/dovecot/imap
LOAD := sip-tester=sipp
SOUND := sox=sox

help:  ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16
	@echo 'Options are passed on with ARGS, for instance: make test ARGS="-k voicemail"'

demo: venv asterisk phones  ## Start the whole help desk on this machine, with simulated callers
	@setup/packages.sh $(DOVECOT)
	.venv/bin/centralino demo $(ARGS)

serve: venv  ## Start the service with your own settings and your own Asterisk
	.venv/bin/centralino serve $(ARGS)

test: venv asterisk phones  ## Run all tests, with a real Asterisk, real phones and a real browser
	@setup/packages.sh $(BROWSER) $(POSTGRESQL) $(DOVECOT) $(SOUND)
	.venv/bin/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

lint: venv  ## Check style and types
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	@setup/types.sh

screenshots: venv  ## Take the pictures of docs/desk.md anew
	@setup/packages.sh $(BROWSER)
	CENTRALINO_SCREENSHOTS=docs/screenshots .venv/bin/python -m pytest -q -k look_like_this tests/browser/test_every_view.py

bench: venv asterisk phones  ## Measure speed and load beside Asterisk's own queue and voicemail; more with ARGS="--help"
	@setup/packages.sh $(LOAD) $(POSTGRESQL) $(BROWSER)
	.venv/bin/python -m benchmarks $(ARGS)

chaos: venv asterisk phones  ## Kill workers under load, and tell what was lost
	@setup/packages.sh $(LOAD) $(POSTGRESQL)
	.venv/bin/python -m benchmarks.chaos $(ARGS)

setup: venv asterisk phones  ## Only install what the other targets need
	@setup/packages.sh $(BROWSER) $(POSTGRESQL) $(DOVECOT) $(SOUND) $(LOAD)
	@echo 'Centralino is set up: try make demo'

lock: venv  ## Write requirements.lock anew from pyproject.toml, with the newest releases
	setup/lock.sh

clean:  ## Remove everything the targets have made here
	rm -rf .venv .tools setup/types/node_modules build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

venv: .venv/installed

.venv/installed: requirements.lock pyproject.toml setup/venv.sh
	@PYTHON=$(PYTHON) setup/venv.sh

asterisk:
	@setup/asterisk.sh

phones:
	@setup/packages.sh $(PHONES)

.PHONY: help demo serve test lint screenshots bench chaos setup lock clean venv asterisk phones
