# Every verb sets up .venv by itself; nothing but Python 3.11+ and a package index is needed.
# TORCH_INDEX: extra package index, e.g. one of PyTorch's CPU wheels, to keep CUDA off a machine without a GPU.
PYTHON ?= python3
PIP_ARGS := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
BIN := .venv/bin
export TQDM_DISABLE ?= 1

.PHONY: book test paper bench serve colab lint
.DELETE_ON_ERROR:

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-compile $(PIP_ARGS) -r requirements.lock
	$(BIN)/pip install --quiet --no-deps -e .
	touch $@

book: .venv/ready  ## the website, chapters executed from the kept results
	$(BIN)/python book/_ext/build.py --scale paper
	@echo "open _build/html/index.html, or: make serve"

test: .venv/ready  ## helpers, every chapter at scale smoke, then the site built from those runs
	rm -rf _build/smoke-results
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --ignore=tests/test_site.py
	$(BIN)/python book/_ext/build.py --scale smoke
	$(BIN)/pytest tests/test_site.py

paper: .venv/ready  ## compute what is missing of the paper-scale results; hours, resumes
	TQDM_DISABLE=0 $(BIN)/python -m interplay run all --scale paper

bench: .venv/ready  ## speed, side by side with plain implementations
	$(BIN)/python -m benchmarks

serve: book
	$(BIN)/python -m http.server --directory _build/html

colab: .venv/ready  ## notebooks/: the chapters as Colab opens them
	$(BIN)/python book/_ext/twins.py

lint: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
