# `make demo` and `make test` need Python 3.10 or later and nothing else.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all lint docs package clean

.venv/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("dorl needs Python 3.10 or later: make PYTHON=python3.12 ..." if sys.version_info < (3, 10) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/.test-installed: .venv/.installed
	$(BIN)/python -m pip install --quiet --editable '.[test,benchmark,fast,onnx,packaging,serve]'
	@touch $@

# an interrupted demo goes on, a finished one begins anew
demo: .venv/.installed
	@test ! -e demo/run/metrics.json || rm -rf demo
	$(BIN)/dorl demo --out demo

# two processes of one thread each are quicker than one of two, since most tests are small
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test: .venv/.test-installed
	$(PYTEST) -m 'not slow'

test-all: .venv/.test-installed
	$(PYTEST)

.venv/.docs-installed: .venv/.installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@

# a warning is an error, unless --quiet hides it from mkdocs itself
docs: .venv/.docs-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# wheel and sdist in dist/, as the package index takes them
package: .venv/.test-installed
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents --toplevel dorl dist/*.whl

lint: .venv/.test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

clean:
	rm -rf .venv demo dist site
