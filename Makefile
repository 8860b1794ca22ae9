# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Both make .venv first (bootstrap.py); a second run starts in seconds.

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: demo test test-clients lint bench experiments fuzz codex model model-check generate clean

demo:
	@$(PYTHON) bootstrap.py
	@$(BIN)/caesura demo $(ARGS)

test:
	@$(PYTHON) bootstrap.py dev
	@$(BIN)/python -m pytest $(ARGS)

test-clients:
	@$(PYTHON) bootstrap.py dev
	@$(BIN)/python -m pytest tests/real_clients $(ARGS)

lint:
	@$(PYTHON) bootstrap.py dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench:
	@$(PYTHON) bootstrap.py
	@$(BIN)/python tests/bench/run.py $(ARGS)

experiments:
	@$(PYTHON) bootstrap.py
	@PYTHONPATH=spec $(BIN)/python -m experiments.run $(ARGS)

fuzz:
	@$(PYTHON) bootstrap.py dev
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris || echo "no atheris here: not guided by coverage"
	@$(BIN)/python tests/fuzz/run.py $(ARGS)

model-check:
	@$(PYTHON) spec/model/check.py --mutants $(ARGS)

codex:
	@$(PYTHON) bootstrap.py
	@$(BIN)/python tests/compatibility/codex_cli.py

model:
	@$(PYTHON) bootstrap.py train
	OMP_NUM_THREADS=1 $(BIN)/python -m caesura.sampler.train $(ARGS)

generate:
	@$(PYTHON) bootstrap.py dev
	$(BIN)/python spec/generate.py

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
