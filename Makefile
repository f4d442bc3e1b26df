# install: a .venv with all that demo and tests need    demo: the main job, about four minutes on two cores
# test: lint, docs and tests    bench: docs/benchmarks.md's figures    lint: style and types
# docs: the pages as a site in build/site; warnings are errors
PYTHON ?= python3
BIN := .venv/bin
RUNS ?= runs

.PHONY: install demo test bench lint docs

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt "torch==$$(sed -n 's/^torch==//p' constraints.txt)"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

demo: install
	@status=0; for recipe in desk-colpali desk-bipali; do \
	  $(BIN)/collotype run $$recipe --out $(RUNS)/$$recipe --overwrite || status=$$?; \
	  if [ $$status -ne 0 ] && [ $$status -ne 3 ]; then exit $$status; fi; \
	done; \
	$(BIN)/collotype compare $(RUNS)/desk-colpali $(RUNS)/desk-bipali && \
	rm -rf $(RUNS)/slides-index && $(BIN)/collotype index src/collotype/assets/slides --to $(RUNS)/slides-index && \
	for query in "Paquets source et paquets binaires" "パッケージのテスト" "build a package in a clean chroot"; do \
	  $(BIN)/collotype search $(RUNS)/slides-index "$$query" --top-k 2 --heatmap $(RUNS)/search.png || exit $$?; \
	done && \
	exit $$status

test: install lint docs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

bench: install
	$(BIN)/python benchmarks/run.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
