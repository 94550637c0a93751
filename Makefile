# Two commands on a fresh machine: make quickstart, make test. Each works alone.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
UI_PORT ?= 5000
# Processes of tests; what a group of tests shares is started in one of them.
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest -q --numprocesses $(WORKERS) --dist loadgroup
PUBLIC ?= ../shared/data
EXAMPLES ?= 1800
EVERY ?= 450
# Two folds: each registry is measured with the adapter that was not trained on it.
FOLD_A := $(PUBLIC)/clinc150 $(PUBLIC)/seal_tools
FOLD_B := datasets $(PUBLIC)/banking77 $(PUBLIC)/hwu64
BOTH := $(PUBLIC)/healthcare_routing

ENCODER = $(BIN)/python -m optimize finetune encoder
RERANKER = $(BIN)/python -m optimize finetune reranker

# No price list from the network at the first LM call, and no telemetry.
export LITELLM_LOCAL_MODEL_COST_MAP := True
export MLFLOW_DISABLE_TELEMETRY := true
# Bytecode is kept whatever the environment says: containers often switch it off, and then every
# process that tests start would compile DSPy and its dependencies anew.
export PYTHONDONTWRITEBYTECODE :=

# Every study that the code holds, the fastest first.
EXPERIMENTS = $(shell $(BIN)/python -m experiments --list)
QUICK := default ablation plans public enrichment scaling transfer

.PHONY: help setup wheel quickstart test audit test-fast light-tests heavy-tests test-all data quick-experiments lint types format ui peers compiled adapter folds encoder encoders rerankers results clean

help:
	@echo "make quickstart  set up, compile a program with the embedded LM, delegate three tasks"
	@echo "make test        set up, lint, type-check and run the tests"
	@echo "make test-all    the same, and the tests in a browser, on a cluster and a database"
	@echo "make test-fast   the tests that take seconds each at most"
	@echo "make audit       look the pinned packages up among known vulnerabilities"
	@echo "make wheel       build dist/task_delegator-*.whl"
	@echo "make quick-experiments  studies that no test runs, small, nothing kept"
	@echo "make ui          the MLflow UI on http://127.0.0.1:$(UI_PORT)"
	@echo "make peers       an environment for the libraries that are compared with"
	@echo "make compiled    compile the program that ships again (four minutes)"
	@echo "make adapter     fine-tune the embedded LM again (hours)"
	@echo "make folds       fine-tune it on the other registries, to measure (hours)"
	@echo "make encoder     fine-tune the encoder that ships again (half an hour)"
	@echo "make encoders    fine-tune the encoders to measure with (ten minutes)"
	@echo "make rerankers   fine-tune a reranker for each public set with many requests (half an hour)"
	@echo "make results     run every study again and rewrite the documents (hours)"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt -e '.[embedded,serve]' --group dev
	touch $(READY)

quickstart: $(READY)
	$(BIN)/python -m optimize compile --preset quick --out runs/quickstart
	$(BIN)/task-delegator delegate --program runs/quickstart "A customer was billed twice for May and wants to know which charge is right."
	$(BIN)/task-delegator delegate --program runs/quickstart "Write the invitation for our October webinar on route planning."
	$(BIN)/task-delegator delegate --program runs/quickstart "What should I cook for six people on Sunday?"
	@echo
	@echo "Compiled program: runs/quickstart. Runs, trials and plots: make ui, then http://127.0.0.1:$(UI_PORT)"

# All checks at once; one that fails fails all.
test: $(READY)
	@$(MAKE) --no-print-directory --jobs 4 lint types data light-tests

test-all: test heavy-tests

data: $(READY)
	$(BIN)/python -m optimize.data check

light-tests: $(READY)
	$(PYTEST) -m "not heavy"

# In a headless browser, on a Ray cluster, on Spark and on PostgreSQL, where these are installed.
heavy-tests: $(READY)
	$(PYTEST) -m heavy

test-fast: $(READY)
	$(PYTEST) -m "not slow"

# Fails where a direct dependency has a known vulnerability with a fix.
audit: $(READY)
	$(BIN)/python .ci/audit.py

# Those that run code which no test runs; prints what each took.
quick-experiments: $(READY)
	for name in $(QUICK); do begun=$$(date +%s); $(BIN)/python -m experiments $$name --quick > /dev/null || exit; echo "$$name: $$(($$(date +%s) - begun)) s"; done

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/pyright

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The store of MLFLOW_TRACKING_URI, as compiling; of a server, its address.
ui: $(READY)
	@$(BIN)/python -m optimize.tracking.view $(UI_PORT)

wheel: $(READY)
	$(BIN)/uv build --quiet --wheel --out-dir dist

peers: $(READY)
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	$(BIN)/uv pip install --quiet --python .venv-peers/bin/python -r experiments/peer_env/requirements.txt

# The program that ships, from data and seed; a test holds its manifest against this command.
compiled: $(READY)
	$(BIN)/python -m optimize compile --preset full --no-lm --out program/task_delegator/compiled/default
	$(BIN)/python -m optimize transfer default --out program/task_delegator/compiled/default

# Rebuilds the adapter that ships, from data and seed: an hour or two.
adapter: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt -e '.[finetune]'
	$(BIN)/python -m optimize finetune lm --train $(FOLD_A) $(BOTH) --keep-out $(FOLD_B) --examples $(EXAMPLES) --every $(EVERY) --out runs/adapter --install program/task_delegator/lm/adapter

# The other fold, for the registries that the one that ships was trained on.
folds: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt -e '.[finetune]'
	$(BIN)/python -m optimize finetune lm --train $(FOLD_B) $(BOTH) --keep-out $(FOLD_A) --examples $(EXAMPLES) --every $(EVERY) --out runs/folds/other

# Rebuilds the encoder that ships, from data and seed: half an hour of two processors.
encoder: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt -e '.[encoder,finetune]'
	$(BIN)/task-delegator fetch mpnet
	$(ENCODER) --train datasets/encoder_registries.jsonl --keep-out --out runs/encoder --install program/task_delegator/embedders/tuned

# Each is for one registry, to measure with.
encoders: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt -e '.[encoder,finetune]'
	for name in banking77 clinc150 hwu64; do $(ENCODER) --adapted --train $(PUBLIC)/$$name --keep-out --out runs/encoders/adapted-$$name || exit; done

# Each is for one registry.
rerankers: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt -e '.[encoder,finetune]'
	for name in banking77 clinc150 hwu64; do $(RERANKER) --adapted --train $(PUBLIC)/$$name --keep-out --out runs/rerankers/$$name || exit; done

results: $(READY)
	for name in $(EXPERIMENTS); do $(BIN)/python -m experiments $$name || exit; done
	$(BIN)/python -m experiments.report --plots

clean:
	rm -rf .venv .venv-peers runs mlflow.db mlartifacts mlruns .pytest_cache .ruff_cache .hypothesis
