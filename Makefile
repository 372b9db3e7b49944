# One short list of recipes. Each works on a fresh clone: the first one that needs it makes .venv with pip and the constraints.
PYTHON ?= python3
VENV ?= .venv
DATA := $(or $(SEGKIT_TEST_DATA),../shared/data)
MODEL ?= $(DATA)/checkpoints/yolov8n-seg.pt
SOURCE ?= $(DATA)/images/bus.jpg
DEMO := runs/demo
PICTURE := runs/picture
BIN = $(CURDIR)/$(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo picture golden test lint format types docs bench check clean
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

demo: $(READY)  ## train a tiny model on generated shapes, export it to every format, show it all on a page (DEMO_ARGS="--seed 7")
	@rm -rf $(DEMO)
	$(BIN)/segkit demo project=$(dir $(DEMO)) name=$(notdir $(DEMO)) $(DEMO_ARGS)

picture: $(READY)  ## segment a picture with .pt and with .onnx, side by side (MODEL=weights.pt SOURCE=picture.jpg)
	@test -f "$(MODEL)" || { echo "make picture: no weights at '$(MODEL)'. Run: make picture MODEL=path/to/yolov8n-seg.pt SOURCE=path/to/picture.jpg" >&2; exit 2; }
	@test -f "$(SOURCE)" || { echo "make picture: no picture at '$(SOURCE)'. Run: make picture SOURCE=path/to/picture.jpg" >&2; exit 2; }
	@rm -rf $(PICTURE) && mkdir -p $(PICTURE) && cp "$(MODEL)" $(PICTURE)/model.pt && cp "$(SOURCE)" $(PICTURE)/picture.jpg
	cd $(PICTURE) && $(BIN)/segkit predict model=model.pt source=picture.jpg
	cd $(PICTURE) && $(BIN)/segkit export model=model.pt format=onnx
	cd $(PICTURE) && $(BIN)/segkit predict model=model.onnx source=picture.jpg
	cd $(PICTURE) && $(BIN)/python $(CURDIR)/examples/demo.py model.pt model.onnx picture.jpg side-by-side.jpg
	@echo "The picture: $(PICTURE)/side-by-side.jpg"

golden: $(READY)  ## train the golden model of the conformance suite anew, and hold it against the one that ships
	$(BIN)/python scripts/golden_model.py --check

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
