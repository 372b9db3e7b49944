# One short list of recipes. Each works on a fresh clone: the first one that needs it makes .venv with pip and the constraints.
PYTHON ?= python3
VENV ?= .venv
DATA := $(or $(SEGKIT_TEST_DATA),../shared/data)
MODEL ?= $(DATA)/checkpoints/yolov8n-seg.pt
SOURCE ?= $(DATA)/images/bus.jpg
DEMO := runs/demo
BIN = $(CURDIR)/$(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test lint format types docs bench check clean
.DEFAULT_GOAL := help

help:  ## list the recipes
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv, with everything needed to use and to develop segkit

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "segkit needs Python 3.11 or newer; '$(PYTHON)' is older or absent. Run: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(READY)  ## segment a picture with .pt and with .onnx, side by side (MODEL=weights.pt SOURCE=picture.jpg)
	@test -f "$(MODEL)" || { echo "make demo: no weights at '$(MODEL)'. Run: make demo MODEL=path/to/yolov8n-seg.pt SOURCE=path/to/picture.jpg" >&2; exit 2; }
	@test -f "$(SOURCE)" || { echo "make demo: no picture at '$(SOURCE)'. Run: make demo SOURCE=path/to/picture.jpg" >&2; exit 2; }
	@rm -rf $(DEMO) && mkdir -p $(DEMO) && cp "$(MODEL)" $(DEMO)/model.pt && cp "$(SOURCE)" $(DEMO)/picture.jpg
	cd $(DEMO) && $(BIN)/segkit predict model=model.pt source=picture.jpg
	cd $(DEMO) && $(BIN)/segkit export model=model.pt format=onnx
	cd $(DEMO) && $(BIN)/segkit predict model=model.onnx source=picture.jpg
	cd $(DEMO) && $(BIN)/python $(CURDIR)/examples/demo.py model.pt model.onnx picture.jpg side-by-side.jpg
	@echo "The picture: $(DEMO)/side-by-side.jpg"

test: $(READY)  ## run every test (PYTEST_ARGS="-k nms" runs some)
	$(BIN)/pytest $(PYTEST_ARGS)

lint: $(READY)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)  ## rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)  ## mypy, strict, on a normal install (an editable one is invisible to it)
	.ci/installed $(VENV) $(VENV)-installed
	$(VENV)-installed/bin/python -P -m mypy --config-file pyproject.toml -p segkit

docs: $(READY)  ## check that what the pages say is true: commands run, links lead somewhere
	$(BIN)/pytest tests/test_repository.py

bench: $(READY)  ## speed and memory against the bare runtime and a peer (PEER=its/python BENCH_ARGS=--quick)
	$(BIN)/python benchmarks $(if $(PEER),--peer "$(PEER)") $(BENCH_ARGS)

check: lint types test  ## lint, types and test

clean:  ## remove what the recipes made, .venv included
	rm -rf $(VENV) $(VENV)-installed build dist runs *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
