# Everything sets itself up: `make demo`, `make test`, `make test-zoo`, `make bench`, `make lint`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# torch is asked for by exact version so that the pinned CPU build is taken. With a GPU, install
# the build for your CUDA version first (see README) and leave this out.
TORCH := torch==2.13.0

.PHONY: demo test test-zoo bench lint clean

$(VENV)/.made: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet -c constraints.txt $(TORCH)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[demo,tensorboard,textures]" --group dev
	touch $@

demo: $(VENV)/.made
	$(BIN)/striate demo --out demo

test: $(VENV)/.made
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --durations=50

# The tests beside the real timm and torchvision, which skip elsewhere. Both are put in a folder of
# their own, without what they ask for: torchvision would bring a CUDA build of torch of several
# gigabytes. tests/conftest.py says how torchvision is imported beside the CPU build.
$(VENV)/zoo/.made: $(VENV)/.made constraints.txt
	rm -rf $(VENV)/zoo
	$(BIN)/python -m pip install --quiet -c constraints.txt --target $(VENV)/zoo --no-deps timm torchvision
	$(BIN)/python -m pip install --quiet -c constraints.txt --target $(VENV)/zoo huggingface_hub
	touch $@

test-zoo: $(VENV)/zoo/.made
	OMP_NUM_THREADS=1 STRIATE_NO_SKIPS=1 PYTHONPATH=$(VENV)/zoo $(BIN)/python -m pytest tests/models/test_zoo.py

$(VENV)/.bench: $(VENV)/.made
	$(BIN)/python -m pip install --quiet -c constraints.txt --group bench
	touch $@

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/run.py

lint: $(VENV)/.made
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
