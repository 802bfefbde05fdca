PYTHON ?= python3
VENV ?= .venv
WORK_DIR ?= work_dirs/quick_start
TOOL = $(VENV)/bin/python tools/analysis
# Images this small leave a second thread waiting, and a busy machine makes it wait long.
export OMP_NUM_THREADS ?= 1

PIP_INSTALL = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c requirements/pinned.txt

.PHONY: train test lint docs clean

train: $(VENV)/.runtime
	$(TOOL)/matrix.py configs/comparison/quick_start.yaml --work-dir $(WORK_DIR) --jobs 2
	@$(TOOL)/compare.py $(WORK_DIR)/cross-entropy $(WORK_DIR)/ecl --out $(WORK_DIR)/comparison
	@echo 'Accuracy of each class: $(WORK_DIR)/comparison.png'
	@echo 'Writing a page about the trainings ...'
	@$(TOOL)/report.py $(WORK_DIR)/ecl/seed0 $(WORK_DIR)/cross-entropy/seed0 --out $(WORK_DIR)/report.html

test: $(VENV)/.tests
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.tests
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m mypy
	$(VENV)/bin/python -m interrogate ecl tools docs
	$(VENV)/bin/python -m pytest --quiet tests/test_package/test_doctests.py

docs: $(VENV)/.tests
	$(VENV)/bin/python -m sphinx --fail-on-warning --keep-going --quiet docs/en docs/en/_build
	@echo 'The manual: docs/en/_build/index.html'

clean:
	rm -rf $(VENV) build *.egg-info .*_cache docs/en/_build docs/en/_generated

# The stamps make a second call install nothing until a requirement changes.
$(VENV)/.runtime: $(VENV)/bin/python pyproject.toml requirements/runtime.txt requirements/pinned.txt
	@echo 'Installing the pinned requirements into $(VENV) (about 5 GB, a few minutes) ...'
	@$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.tests: $(VENV)/.runtime $(wildcard requirements/*.txt)
	@echo 'Installing the test requirements into $(VENV) ...'
	@$(PIP_INSTALL) -e '.[tests]'
	@touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
		echo 'error: Python 3.10 to 3.13 is needed, $(PYTHON) is' "$$($(PYTHON) --version 2>&1);" \
			'name another with: make $(MAKECMDGOALS) PYTHON=python3.12' >&2; exit 2; }
	@echo 'Creating $(VENV) with $(PYTHON) ...'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
