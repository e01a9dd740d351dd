# `make demo` and `make test` do everything on a machine that has only Python and make.
PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check
# `tensorflow` and `tensorflow-cpu` own the same files, so exactly one of them is installed.
TENSORFLOW ?= $(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),tensorflow-cpu,tensorflow)>=2.18

.PHONY: demo test lint bench fuzz fuzz-count differential clean

$(VENV)/installed: setup.cfg pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[test]' '$(TENSORFLOW)'
	touch $@

demo: $(VENV)/installed
	$(PY) scripts/demo.py

# Everything once under TensorFlow, then what touches Keras again under the other backends that are installed.
test: $(VENV)/installed
	KERAS_BACKEND=tensorflow $(PY) -m pytest
	KERAS_BACKEND=jax $(PY) -m pytest -m keras
	if $(PY) -c 'import torch' 2>/dev/null; then KERAS_BACKEND=torch $(PY) -m pytest -m keras; \
	else echo 'torch is not installed: its tests were left out (pip install torch, then make test again)'; fi

lint: $(VENV)/installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m mypy --strict --follow-imports=silent tests/typing/right_calls.py
	PYTHONPATH=. $(PY) -m pyright --verifytypes w2v_embed --ignoreexternal

bench: $(VENV)/installed
	$(PY) benchmarks/run.py
	$(PY) benchmarks/steps.py

# Coverage-guided fuzzing, with sanitizers in the compiled loops: of all targets in turn, or of TARGET=readers, say. What it finds is written
# to benchmarks/.work/fuzz/, and so is a log of how many executions there were: `make fuzz-count`, SINCE=2026-01-31T12:00:00 or
# SINCE=commit.
SECONDS ?= 600
JOBS ?= 1

$(VENV)/fuzzer: $(VENV)/installed
	$(PIP) 'atheris>=3'
	touch $@

fuzz: $(VENV)/fuzzer
	$(PY) -m tests.fuzz.run --seconds $(SECONDS) --jobs $(JOBS) $(addprefix --target ,$(TARGET))

fuzz-count: $(VENV)/installed
	$(PY) -m tests.fuzz.run --count --since '$(SINCE)'

# All readers against a slow one, over so many made-up files.
FILES ?= 10000

differential: $(VENV)/installed
	$(PY) -m tests.fuzz.differential --files $(FILES)

clean:
	rm -rf $(VENV) build dist demo_out benchmarks/.work *.egg-info
