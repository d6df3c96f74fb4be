# Every verb sets up .venv by itself; nothing but Python 3.11+ and a package index is needed.
# TORCH_INDEX: the index to take PyTorch from, e.g. one of CPU wheels, to keep CUDA off a machine without a GPU.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
export TQDM_DISABLE ?= 1
unexport PYTHONDONTWRITEBYTECODE  # what is imported is compiled once, not by every process

.PHONY: .venv/ready book chapter test check torture paper bench lab serve colab lint clean
.DELETE_ON_ERROR:

.venv/ready:  # looked at each time: it says which folder, Python and lock it was made for
	@$(PYTHON) .ci/venv.py $(TORCH_INDEX)

book: .venv/ready  ## the website, chapters executed from the kept results
	$(BIN)/python book/_ext/build.py --scale paper
	@echo "open _build/html/index.html, or: make serve"

chapter: .venv/ready  ## the page of one chapter alone: make chapter NAME=tasks
	$(BIN)/python book/_ext/build.py --page "$(NAME)"
	@echo "open _build/chapter/book/$(NAME).html"

test: .venv/ready  ## helpers, every chapter at scale smoke, then the site built from those runs
	rm -rf _build/smoke-results
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --ignore=tests/test_site.py --ignore=tests/test_pages.py
	$(BIN)/python book/_ext/build.py --scale smoke
	$(BIN)/pytest -n 2 tests/test_site.py tests/test_pages.py

check: lint  ## lint, and for 20 s the tests of what differs from main
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -p tests.touched --seconds 20 --durations 0 -rs tests

torture: .venv/ready  ## the faults of builds and set-ups, end to end in temporary folders
	$(BIN)/python -m tests.torture

paper: .venv/ready  ## compute what is missing of the paper-scale results; hours, resumes
	TQDM_DISABLE=0 $(BIN)/python -m interplay run all --scale paper

bench: .venv/ready  ## speed, side by side with plain implementations
	$(BIN)/python -m benchmarks

.venv/lab: requirements.lock | .venv/ready
	$(BIN)/pip install --quiet --no-compile --constraint requirements.lock -e '.[lab]'
	touch $@

lab: .venv/lab  ## the chapters as notebooks, with the kept results
	mkdir -p .venv/share/jupyter/lab/settings
	cp book/_ext/lab.json .venv/share/jupyter/lab/settings/overrides.json
	$(BIN)/jupyter-lab --notebook-dir book

serve: .venv/ready  ## the website at http://localhost:8000, or at another PORT
	@$(BIN)/python book/_ext/serve.py $(PORT)

colab: .venv/ready  ## notebooks/: the chapters as Colab opens them
	$(BIN)/python book/_ext/twins.py

lint: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell

clean:  ## all that was built and executed; .venv and the results stay
	rm -rf _build
