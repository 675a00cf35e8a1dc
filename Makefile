# Two commands: `make demo` and `make test`; `make docs` builds the site. Each makes its own environment in .venv, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HUB := .venv-keras-hub
export TF_CPP_MIN_LOG_LEVEL ?= 2
export PYTHONPATH :=

.PHONY: demo test test-tensorflow test-jax test-torch test-slow docs lint format requirements clean

demo: $(VENV)/.demo  ## digits: train, measure, export, serve; photographs: name, find, scan, explain, serve
	KERAS_BACKEND=tensorflow $(BIN)/keras-metric train digits-siamese --export
	KERAS_BACKEND=tensorflow $(BIN)/keras-metric train digits-triplet --export
	$(BIN)/python examples/01_serve_a_query.py out/digits-triplet
	KERAS_BACKEND=tensorflow $(BIN)/python examples/05_photographs.py out/photographs
	KERAS_BACKEND=tensorflow $(BIN)/python examples/06_find_photographs.py out/photographs
	$(BIN)/python examples/07_serve_an_explanation.py out/photographs

test: lint test-tensorflow test-jax test-torch  ## every test, on TensorFlow, JAX and torch

test-tensorflow: $(VENV)/.test
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow"

test-jax test-torch: test-%: $(VENV)/.test
	KERAS_BACKEND=$* $(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow and not tensorflow"

test-slow: $(VENV)/.test $(HUB)/.test  ## the tests that take minutes; those of KerasHub apart
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest -q -m slow
	KERAS_BACKEND=jax $(BIN)/python -m pytest -q -n 2 --dist worksteal -m "slow and not tensorflow"
	KERAS_BACKEND=tensorflow $(HUB)/bin/python -m pytest -q -m slow tests/zoo/encoders/test_hub_presets.py

docs: $(VENV)/.docs  ## the site, in site/index.html; a warning is an error
	NO_COLOR=1 $(BIN)/python docs/build.py

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check

format: $(VENV)/.test  ## mend what can be mended: imports, layout, simple findings
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.demo: requirements/demo.txt pyproject.toml
	@$(PYTHON) -c "import sys; v = sys.version_info; v >= (3, 11) or sys.exit('Python is too old. Expected: 3.11 or newer. Received: %d.%d. Try: make PYTHON=python3.11' % v[:2])"
	@echo "Setting up $(VENV) (some 400 MB to fetch, once) ..."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r $<
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: requirements/test.txt requirements/torch.txt $(VENV)/.demo
	@echo "Setting up the tests in $(VENV): JAX, torch, pytest ..."
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r $<
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements/torch.txt
	@touch $@

$(HUB)/.test: requirements/keras-hub.txt
	@echo "Setting up $(HUB): KerasHub and its own TensorFlow (some 700 MB to fetch, once) ..."
	@$(HUB)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(HUB)
	$(HUB)/bin/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r $<
	$(HUB)/bin/python -m pip install -q --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/.docs: requirements/docs.txt $(VENV)/.demo
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

requirements:  ## pin anew, with hashes and without addresses; needs uv
	$(PYTHON) requirements/pin.py

clean:
	rm -rf $(VENV) $(HUB) out build dist site
