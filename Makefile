# `make lab` to try it, `make test` to check it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OLD_KERNEL := $(VENV)/ipykernel6

.PHONY: lab demo bench bench-ui pictures controls test format clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test,training]'
	touch $@

# An older kernel beside the one that is installed: the widgets are tested with both.
$(OLD_KERNEL): $(STAMP)
	$(BIN)/python -m pip install --quiet --no-deps --target $@ ipykernel==6.30.1 nest-asyncio==1.6.0

lab: $(STAMP)  ## JupyterLab on the quickstart notebook
	$(BIN)/jupyter lab notebooks/quickstart.ipynb

demo: $(STAMP)  ## the quickstart, executed without a browser; results in demo/
	$(BIN)/python -m benchmarks.demo

# BENCH="--model sd15-random --device cuda --dtype float16 --size 512" measures another model elsewhere.
BENCH ?= --model embedded --device cpu --threads 2
bench: $(STAMP)  ## the engine against diffusers' own pipeline; tables and benchmarks/results/sweep-*.json
	$(BIN)/python -m benchmarks.sweep $(BENCH)
	$(BIN)/python -m benchmarks.sweep $(BENCH) --mixed

bench-ui: $(STAMP)  ## how quick the canvas is, in a real browser; a table and benchmarks/results/canvas.json
	$(BIN)/python -m benchmarks.canvas
	$(BIN)/python -m benchmarks.studio

pictures: $(STAMP)  ## the README's picture of the Studio
	$(BIN)/python -m benchmarks.screenshots

controls: $(STAMP)  ## a strip of pictures for each control, for docs/controls.md
	$(BIN)/python -m benchmarks.controls

test: $(STAMP) $(OLD_KERNEL)  ## everything that CI runs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not gpu"

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo
