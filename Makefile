# `make demo` and `make test` do everything on a machine that has only Python and make.
PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check
# `tensorflow` and `tensorflow-cpu` own the same files, so exactly one of them is installed.
TENSORFLOW ?= $(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),tensorflow-cpu,tensorflow)>=2.18

.PHONY: demo test lint bench fuzz clean

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

bench: $(VENV)/installed
	$(PY) benchmarks/run.py
	$(PY) benchmarks/steps.py

# Coverage-guided fuzzing of the readers, with bounds-checked kernels. What it finds is written to benchmarks/.work/fuzz/.
SECONDS ?= 600
FUZZ := benchmarks/.work/fuzz

$(VENV)/fuzzer: $(VENV)/installed
	$(PIP) 'atheris>=3'
	touch $@

# A fresh process now and then: the fuzzer itself keeps 4 kB a run, and would come to the bound that is meant for the readers.
fuzz: $(VENV)/fuzzer
	mkdir -p $(FUZZ)/corpus
	end=$$(($$(date +%s) + $(SECONDS))); while left=$$((end - $$(date +%s))) && test $$left -gt 0; do \
		NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(FUZZ)/numba $(PY) -m tests.fuzz.fuzz_readers -max_total_time=$$left -runs=100000 \
			-max_len=600 -timeout=20 -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix=$(FUZZ)/ \
			$(FUZZ)/corpus tests/fuzz/corpus || exit 1; \
	done

clean:
	rm -rf $(VENV) build dist demo_out benchmarks/.work *.egg-info
