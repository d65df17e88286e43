# Every target makes its own environment first, in .venv; a change of pyproject.toml or constraints.txt renews it.
# Another interpreter: make test PYTHON=python3.12. Arguments for pytest: make test ARGS="tests/test_units.py -x".

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
READY := .venv/.installed
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo example-lifecycle test tensorflow lint bench accuracy paper clean

help:  ## show this list
	@echo "make TARGET, one of:"
	@sed -n 's/^\([a-z-]*\):.*## /  \1 /p' Makefile | while read -r name text; do printf '  %-17s %s\n' "$$name" "$$text"; done

demo: $(READY)  ## train a small network on handwritten digits and show what it cost
	@$(BIN)/python examples/digits_lightning.py $(ARGS)

example-lifecycle: $(READY)  ## live a model's whole life on real data, and tell what it cost
	@$(BIN)/python examples/lifecycle.py $(ARGS)

test: lint  ## lint, then the tests
	@$(BIN)/python -m pytest -n 2 $(ARGS)

tensorflow: $(READY)  ## install TensorFlow too (1.3 GB), and test on it
	@$(PIP) tensorflow-cpu
	@$(BIN)/python -m pytest -n 2 tests/flops/test_tensorflow_graph.py tests/flops/test_tensorflow_keras.py \
		"tests/keras/test_each_backend.py::test_on[tensorflow]" $(ARGS)

lint: $(READY)  ## style, types and floors
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "Not formatted as above: $(BIN)/ruff format ." >&2; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo

bench: $(READY)  ## measure speed and size
	@$(BIN)/python benchmarks/run.py $(ARGS)

accuracy: $(READY)  ## compare with other programs on emulated hardware (20 minutes; as root)
	@$(BIN)/python benchmarks/accuracy.py $(ARGS)

paper: $(READY)  ## draw the paper's figures 1 and 2 from measured runs and grids, and count networks' FLOPs
	@$(BIN)/python -m benchmarks.paper $(ARGS)

clean:  ## remove the environment, caches and builds
	@rm -rf .venv build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# PyTorch goes first and alone: with it in place, nothing that follows picks another build.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "joulegram needs Python 3.11 or newer; '$(PYTHON)' is not. Name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up .venv (a few minutes, once) ..."
	@$(PYTHON) -m venv .venv
	@$(PIP) torch
	@$(PIP) -e ".[all,dev]"
	@touch $@
