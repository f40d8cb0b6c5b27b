# Slipway: every verb of a working day. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

PYTHON ?= /usr/bin/python3
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
VENV := .venv
PY := $(VENV)/bin/python
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Each program of a test would compile all its sources anew.
unexport PYTHONDONTWRITEBYTECODE
# One more than there are processors: tests wait for services and clocks, too.
WORKERS ?= $(shell expr 1 + $$(nproc))
LAB := ansible-playbook -i inventory/lab

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

# --- what a fresh Debian needs -------------------------------------------------
.PHONY: apt
apt:
	@wanted=$$(sed 's/#.*//' requirements/apt.txt | xargs)
	have=$$(dpkg-query -W -f='$${db:Status-Status} $${Package}\n' | sed -n 's/^installed //p')
	missing=$$(comm -23 <(tr ' ' '\n' <<<"$$wanted" | sort -u) <(sort -u <<<"$$have") | xargs)
	if [ -n "$$missing" ]; then
	  echo "installing: $$missing"
	  $(SUDO) apt-get update -q
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing
	fi

$(VENV)/.made-from: requirements/dev.txt | apt
	@echo "making $(VENV) from requirements/dev.txt"
	$(PYTHON) -m venv --clear $(VENV)
	$(PY) -m pip install -q --require-hashes -r requirements/dev.txt
	# The agent as a command of this environment: it works on anybody's disks and folders, too.
	printf '%s\n' '#!$(CURDIR)/$(PY)' 'import sys' 'sys.path.insert(0, "$(CURDIR)/client_image/agent")' \
	  'from slipway.cli.main import main' 'sys.exit(main())' > $(VENV)/bin/slipway
	chmod +x $(VENV)/bin/slipway
	sha256sum requirements/dev.txt > $@

.PHONY: setup
setup: apt $(VENV)/.made-from ## install what the project needs (apt packages, pinned virtual environment)

# --- the lab -------------------------------------------------------------------
.PHONY: lab lab-down demo demo-night
lab: setup ## bring the virtual lab up and leave it up
	$(LAB) playbooks/lab_up.yml
	$(LAB) playbooks/site.yml

lab-down: setup ## take the lab down: no process, namespace, loop device or mount stays
	$(LAB) playbooks/lab_down.yml

demo: setup ## the main job on two virtual PCs: back up, wipe, restore, boot (VERBOSE=1: all that Ansible says)
	@VERBOSE=$(VERBOSE) PYTHONPATH=roles/virtual_lab/files $(PY) -m slipway_lab.demo

demo-night: setup ## a night that works alone: a window over three PCs, its digest by mail, prune and collection
	@VERBOSE=$(VERBOSE) PYTHONPATH=roles/virtual_lab/files $(PY) -m slipway_lab.demo_night

# Unpacked, not installed: nobody wants a web server or a way in to be started here.
NGINX := .cache/nginx/usr/sbin/nginx
SSHD := .cache/openssh-server/usr/sbin/sshd
$(NGINX) $(SSHD): PACKAGE = $(word 2,$(subst /, ,$@))
$(NGINX) $(SSHD): | apt
	@mkdir -p .cache/$(PACKAGE)
	cd .cache/$(PACKAGE)
	apt-get download -q $(PACKAGE)
	dpkg-deb --extract $(PACKAGE)_*.deb .
	rm $(PACKAGE)_*.deb

# --- tests ---------------------------------------------------------------------
# $(call tier,PYTEST'S WORDS,AS WHOM). What fails beside others on a busy machine runs once more,
# alone: a fault fails again, and a test that does not is named, to be mended.
define tier
	@again="$(2) $(PY) -m pytest -q --durations=10 -o cache_dir=$(CURDIR)/.cache/pytest/$@ $(1)"
	status=0
	eval "$$again" || status=$$?
	if [ $$status = 1 ]; then
	  echo "==== make $@: what failed runs once more, alone ===="
	  eval "$$again -n 0 -v --maxfail 4 --last-failed --last-failed-no-failures none $(AGAIN)"
	  echo "==== make $@: NOT STEADY, passed alone: see the failures above ===="
	else
	  exit $$status
	fi
endef
.PHONY: test lint test-unit test-plays test-web test-storage test-e2e test-slow fuzz
test: setup ## everything but the slow tests: lint, unit, web, storage, plays, e2e
	# Whole trips take the longest and mostly wait for PCs that boot: the others have the cores meanwhile.
	$(MAKE) --no-print-directory -k -j2 --output-sync=target test-e2e lint test-unit test-storage test-plays test-web COVER=

lint: setup ## ruff, mypy, yamllint, ansible-lint
	ruff format --check .
	ruff check .
	mypy
	yamllint --strict .
	python -m tests.warm_lint --offline --profile production

# Counting takes half as long again as the tests: `make test` leaves it to whoever asks.
test-unit: COVER := yes
test-unit: COUNTED = $(if $(COVER),--cov --cov-report=)
test-unit: AGAIN = $(if $(COVER),--cov-append)
test-unit: setup ## fast tests, no root needed; says how much of the code they run (COVER= for speed)
	@if [ -n "$(COVER)" ]; then
	  trap 'echo "make $@ ran $$($(PY) -m coverage report --format=total) % of the code"' EXIT
	fi
	$(call tier,-n $(WORKERS) --dist loadscope -m 'not plays and not slow' tests/unit $(COUNTED))

test-plays: setup $(SSHD) ## whole playbooks without a lab, the service killed and under load; no root needed
	$(call tier,-n $(WORKERS) --dist loadgroup -m 'plays and not slow' tests/unit,nice)

test-web: setup $(NGINX) ## the page in a real browser: each page for each role, each action, the keyboard alone; no root needed
	$(call tier,-m 'web and not slow' tests/web,nice)

test-storage: setup $(NGINX) ## real file systems on loop devices, bytes compared (root)
	$(call tier,-n auto --dist loadgroup -m 'storage and not slow' tests/storage,$(SUDO) env PATH='$(PATH)' nice)

test-e2e: setup ## whole trips in the virtual lab (root)
	$(call tier,-m 'e2e and not slow' tests/e2e,$(SUDO) env PATH='$(PATH)')

test-slow: setup $(NGINX) $(SSHD) ## trips that take long: menus, registration, power cuts, other networks, Secure Boot, a broken line, large disks (root)
	$(SUDO) env PATH="$$PATH" $(PY) -m pytest -q -m slow tests/e2e --durations=20
	$(SUDO) env PATH="$$PATH" $(PY) -m pytest -q -m slow -n auto --dist loadgroup tests/storage
	$(PY) -m pytest -q -m slow -n auto --dist loadgroup tests/unit
	$(PY) -m pytest -q -m slow tests/web

fuzz: COUNT := 100000
fuzz: setup ## hostile registrations and menus, COUNT=100000 of each kind (half an hour)
	SLIPWAY_FUZZ=$(COUNT) $(PY) -m pytest -q -n auto -m fuzz --timeout 14400 tests/unit --durations=6

.PHONY: soak
soak: SECONDS := 1800
soak: setup ## collection in a loop beside writers, restores and a pruner, 20 kills, a clock gone mad (SECONDS=1800)
	SLIPWAY_SOAK=$(SECONDS) $(PY) -m pytest -q -s -n 0 tests/unit/server/test_soak.py

.PHONY: siege
siege: setup ## the service under its unit's limits, attacked while a PC boots and another is backed up (root; ten minutes)
	$(SUDO) unshare --net env PATH="$$PATH" bash -c 'ip link set lo up && \
	  timeout 900 $(PY) -m pytest -q -s -m siege tests/siege --timeout 300'

.PHONY: matrix
matrix: ROWS :=
matrix: AT_A_TIME := 2
matrix: setup ## every network card and disk controller of QEMU (root; ROWS="tulip or e1000" AT_A_TIME=2)
	$(SUDO) env PATH="$$PATH" AT_A_TIME=$(AT_A_TIME) $(PY) -m pytest -q -m matrix tests/matrix --timeout 3600 $(if $(ROWS),-k "$(ROWS)")

.PHONY: bench
bench: SIZE := 2G
bench: ROUNDS := 3
bench: BEFORE :=
bench: MEDIA := 5G
bench: CASES :=
bench: setup $(NGINX) ## speed beside Clonezilla, FOG and a plain pipe, and beside our own of a REVISION (root; SIZE=2G ROUNDS=3 BEFORE= MEDIA=5G CASES=)
	@$(SUDO) env PATH="$$PATH" PYTHONPATH=client_image/agent:roles/image_server/files \
	  $(PY) -m tests.bench --size $(SIZE) --media-size $(MEDIA) --rounds $(ROUNDS) \
	  $(if $(BEFORE),--before $(BEFORE)) $(if $(CASES),--cases $(CASES))

.PHONY: changelog
changelog: setup ## a release of galaxy.yml's version: its fragments become CHANGELOG.rst
	antsibull-changelog release

.PHONY: table
table: setup ## write the table of proven contents into the agent's README
	PYTHONPATH=client_image/agent $(PY) -m tests.storage.table

.PHONY: boot-programs
boot-programs: FILES := roles/boot_menu/files
boot-programs: ## assemble the boot program of CDs again, after a change of its source
	as --32 -o $(FILES)/cdrom.o $(FILES)/cdrom.S
	ld -m elf_i386 -Ttext 0x600 --oformat binary -o $(FILES)/cdrom.0 $(FILES)/cdrom.o
	rm $(FILES)/cdrom.o
	chmod 0644 $(FILES)/cdrom.0

.PHONY: clean
clean: lab-down ## labs down, and every cache and built file removed
	ansible-playbook -i inventory/matrix playbooks/lab_down.yml
	$(SUDO) rm -rf .lab .lab-matrix .cache .venv
