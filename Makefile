# `make demo` and `make test` do everything on a machine that has only Python and make.
PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check
# `tensorflow` and `tensorflow-cpu` own the same files, so exactly one of them is installed.
TENSORFLOW ?= $(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),tensorflow-cpu,tensorflow)>=2.18

.PHONY: demo test test-reading test-tensorflow test-jax test-torch test-sanitizers test-lowest test-pythons lint docs notebooks bench fuzz fuzz-count \
	differential wheels check-dist clean

$(VENV)/installed: setup.cfg setup.py pyproject.toml w2v_embed/readers/scan/kernels.c
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo 'Installing into $(VENV): TensorFlow, JAX and what the tests need, 2.8 GB; some minutes the first time …'
	$(PIP) --editable '.[test]' '$(TENSORFLOW)'
	touch $@

demo: $(VENV)/installed
	$(PY) scripts/demo.py

# What knows nothing of Keras; and what touches it, under each backend that is installed. (-j2 -O runs two of them at the same time.)
test: test-reading test-tensorflow test-jax test-torch

test-reading: $(VENV)/installed
	KERAS_BACKEND=tensorflow $(PY) -m pytest -m 'not keras'

test-tensorflow: $(VENV)/installed
	KERAS_BACKEND=tensorflow $(PY) -m pytest -m keras

# Hundreds of small functions are compiled, and each runs once or twice: JAX need not make them fast.
test-jax: $(VENV)/installed
	KERAS_BACKEND=jax JAX_DISABLE_MOST_OPTIMIZATIONS=1 $(PY) -m pytest -m keras

test-torch: $(VENV)/installed
	if $(PY) -c 'import torch' 2>/dev/null; then KERAS_BACKEND=torch $(PY) -m pytest -m keras; \
	else echo 'torch is not installed: its tests were left out (pip install torch, then make test again)'; fi

# The compiled loops with AddressSanitizer and UBSan.
test-sanitizers: $(VENV)/installed
	$(PY) -m pytest -m slow tests/test_sanitizers.py

# In environments of their own, under .venvs/, with nothing of this one: scripts/environments.py. TESTS='--keras tests/test_cli.py' are
# arguments for it and for pytest.
test-lowest:
	$(PYTHON) scripts/environments.py lowest $(TESTS)

test-pythons: $(VENV)/installed
	$(PY) scripts/environments.py pythons $(TESTS)

lint: $(VENV)/installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m mypy --strict --follow-imports=silent tests/typing/right_calls.py
	PYTHONPATH=. $(PY) -m pyright --verifytypes w2v_embed --ignoreexternal

# The site, into build/site; what is not right in a page or a docstring fails it.
$(VENV)/sphinx: $(VENV)/installed
	$(PIP) --editable '.[docs]'
	touch $@

docs: $(VENV)/sphinx
	KERAS_BACKEND=tensorflow $(PY) -m sphinx -q -W --keep-going docs build/site

# Runs them and writes what came out into them; one fetches a model of 80 MB.
$(VENV)/notebooks: $(VENV)/installed
	$(PIP) --editable '.[notebooks]'
	touch $@

notebooks: $(VENV)/notebooks
	$(PY) scripts/notebooks.py

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

# What is published: the source, and from it a wheel for each platform, compiled by zig; the first time takes minutes, for Windows.
# Each is its tag, and what zig calls it.
TARGETS = \
	manylinux_2_17_x86_64.manylinux2014_x86_64=x86_64-linux-gnu.2.17 \
	manylinux_2_17_aarch64.manylinux2014_aarch64=aarch64-linux-gnu.2.17 \
	musllinux_1_1_x86_64=x86_64-linux-musl \
	musllinux_1_1_aarch64=aarch64-linux-musl \
	macosx_11_0_x86_64=x86_64-macos.11.0 \
	macosx_11_0_arm64=aarch64-macos.11.0 \
	win_amd64=x86_64-windows-gnu

$(VENV)/zig: $(VENV)/installed
	$(PIP) ziglang
	touch $@

wheels: $(VENV)/zig
	rm -rf dist
	export W2V_EMBED_URL=$${W2V_EMBED_URL:-$$(git config --get remote.origin.url)}; $(PY) setup.py --quiet sdist
	export W2V_EMBED_URL=$${W2V_EMBED_URL:-$$(git config --get remote.origin.url)}; \
	export SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)} ZIG_GLOBAL_CACHE_DIR=$(abspath $(VENV))/zig-cache; \
	for target in $(TARGETS); do W2V_EMBED_TARGET=$$target $(PY) -m pip wheel --quiet --no-cache-dir --no-deps \
		--no-build-isolation --disable-pip-version-check --wheel-dir dist dist/*.tar.gz || exit 1; done; \
	$(PY) -m pytest -m slow tests/test_wheels.py
	$(MAKE) check-dist

# What an index would say of what lies in dist/.
$(VENV)/checkers: $(VENV)/installed
	$(PIP) twine check-wheel-contents
	touch $@

check-dist: $(VENV)/checkers
	$(PY) -m twine check --strict dist/*
	$(VENV)/bin/check-wheel-contents dist

clean:
	rm -rf $(VENV) .venvs build dist demo_out benchmarks/.work *.egg-info w2v_embed/readers/scan/_kernels.*
