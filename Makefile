# Everything a newcomer needs: `make demo`, `make test`. Needs Python 3.11 or newer with venv.
PYTHON ?= python3
BIN := .venv/bin
RUNS ?= 100000
POINTS ?= 50  # of each command, drawn with this seed; POINTS=0 tries all
SEED ?= 1
SHARD ?= 1/1  # I/N: of N equal shares of the points, the I-th
TRT := .venv/tensorrt
# 110 MB of the libraries that no command loads: their tests, C++ headers, and Arrow's network protocol
UNUSED := \( -type d \( -path '*/site-packages/*/tests' -o -path '*/pyarrow/include' -o -path '*/onnx/backend/test' \) \
	-prune -o -path '*/pyarrow/*_flight*' \)

# The tests start hundreds of processes: none should have to compile the libraries again.
unexport PYTHONDONTWRITEBYTECODE

# They run in several processes, which keep all cores busy: threads of the linear algebra would only spin.
test coverage: export OMP_NUM_THREADS ?= 1

.PHONY: demo demo-entries demo-densenet gpu-day browser test test-full-size test-tensorrt perf peers catalogues board-perf \
	coverage simulate-coverage faults attacks fuzz lint label-recovery simulate-gaming \
	lock lock-core licences spec-reference clean

demo: $(if $(TORCH),.venv/installed,.venv/core)  ## TORCH=1 installs torch too, and trains the small CNN
	$(BIN)/bench demo

demo-entries: .venv/core  ## scores, times and stores submissions/demo anew
	$(BIN)/python -m tests.demo_entries

demo-densenet: .venv/installed  ## predicts with, scores and times the DenseNet-121 of submissions/demo anew
	$(BIN)/python -m tests.demo_entries densenet121

gpu-day: .venv/installed  ## on a machine with a GPU: all that only it can show, within half an hour; resumable
	$(BIN)/python -m tests.gpu.day

browser:  ## what the browser tests need, where available; without it they are skipped
	.ci/browser

test: .venv/installed $(TRT)/bindings
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

$(TRT)/bindings: .venv/installed  ## 1.3 MB each; the tests that need them are skipped where they cannot be installed
	-$(BIN)/python -m pip install --quiet --target $(TRT)/10 --upgrade --no-deps tensorrt-cu12-bindings==10.16.1.11
	-$(BIN)/python -m pip install --quiet --target $(TRT)/11 --upgrade --no-deps tensorrt-cu13-bindings==11.4.0.106
	mkdir -p $(TRT) && touch $@

test-tensorrt: $(TRT)/bindings  ## builds engines with TensorRT-RTX, runs the runner on strict fakes; no GPU
	$(BIN)/python -m pip install --quiet --target $(TRT)/rtx --upgrade tensorrt_rtx==1.7.1.116
	PYTHONPATH=$(TRT)/rtx $(BIN)/python -m pytest tests/runtime/test_tensorrt.py tests/runtime/test_strict_tensorrt.py -p no:xdist

test-full-size: .venv/installed  ## networks of full depth, exported, timed and trained: minutes each
	$(BIN)/python -m pytest -m full_size -p no:xdist

perf: .venv/installed  ## the figures of speed, as tables
	$(BIN)/python -m pytest tests/perf -m perf -p no:xdist -s

peers: .venv/installed  ## the statistics beside other packages, as a table
	.ci/r
	$(BIN)/python -m pip install --quiet --target .venv/peers --upgrade --no-deps \
		confidenceinterval==1.0.5 statsmodels==0.15.0 patsy==1.0.3
	PYTHONPATH=.venv/peers $(BIN)/python -m tests.perf.peers_table

catalogues: .venv/installed  ## the exports, by the validators of Croissant and Every Eval Ever themselves
	$(BIN)/python -m pip install --quiet --target .venv/catalogues --upgrade --no-deps --ignore-requires-python \
		every-eval-ever==0.3.0 mlcroissant==1.1.1 absl-py==2.5.1 etils==1.15.0 jsonpath-rw==1.4.0 ply==3.11 \
		decorator==5.3.1 six==1.17.0 rdflib==7.6.0 requests==2.34.2 urllib3==2.8.0 idna==3.20 \
		charset-normalizer==3.5.3 certifi==2026.10.19.post1
	PYTHONPATH=.venv/catalogues $(BIN)/python -c "import every_eval_ever, mlcroissant"
	PYTHONPATH=.venv/catalogues $(BIN)/python -m pytest tests/publish/test_interchange.py -p no:xdist

board-perf: .venv/installed  ## boards of 10 to 1,000 entries, from files to the board, as a table
	$(BIN)/python -m tests.perf.board_table

faults: .venv/installed  ## kills writing commands at calls that change a file, fills the disk, takes rights; 25 minutes
	$(BIN)/python -m tests.faults --sample $(POINTS) --seed $(SEED) --shard $(SHARD)
	$(BIN)/python -m tests.faults.rush

attacks: .venv/installed  ## hands hostile files to the commands: how they end, seconds, memory, as a table
	$(BIN)/python -m tests.trust.containment

fuzz: .venv/installed  ## fuzzes what reads strangers' files; by coverage where atheris is installed
	for target in csv parquet stored manifest spec onnx scorecard wire encoder envelope site embeddings-npy embeddings-parquet; do \
		$(BIN)/python -m tests.fuzz $$target --runs $(RUNS) || exit 1; done

label-recovery: .venv/installed  ## solves for labels from published figures in each label mode; resumable, some minutes
	$(BIN)/python -m tests.trust.label_recovery

simulate-gaming: .venv/installed  ## what random entries, copies and crowds do to the ranks of others
	$(BIN)/python -m tests.simulation.gaming

coverage: .venv/installed  ## the lines and branches that the tests run, as a table and in htmlcov/
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --cov --cov-report=term --cov-report=html

simulate-coverage: .venv/installed  ## the simulation of the intervals' coverage
	$(BIN)/python -m tests.simulation
	$(BIN)/python -m tests.simulation.boards

lint: .venv/installed
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/core: requirements-core.lock pyproject.toml bench/__init__.py  ## scoring, ONNX and pages: no torch
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --only-binary :all: \
		-r requirements-core.lock
	find .venv/lib $(UNUSED) -exec rm -rf {} +
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

.venv/installed: requirements.lock requirements-torch.lock pyproject.toml bench/__init__.py  ## everything, for the tests
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --no-deps \
		--only-binary :all: -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements-torch.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' .venv/lib bench baselines || true  # templates of libraries are no Python
	touch $@ .venv/core

lock:  ## pins and hashes the newest versions that pyproject.toml allows; needs a machine that gets the CPU build of torch
	rm -rf .lock && $(PYTHON) -m venv .lock
	.lock/bin/pip install --quiet --upgrade 'pip>=25.1'
	.lock/bin/pip install --quiet -r requirements-torch.lock
	.lock/bin/pip install --quiet --editable '.[baselines,dask,plot,sign]' --group dev
	.lock/bin/pip freeze --exclude-editable --exclude torch > .lock/pinned.txt
	.lock/bin/pip install --quiet uv
	{ sed -n '/^#/p' requirements.lock; .lock/bin/uv pip compile --quiet --no-deps --generate-hashes --no-header \
		--no-annotate --no-emit-index-url .lock/pinned.txt; } > .lock/hashed.txt
	mv .lock/hashed.txt requirements.lock && rm -rf .lock

lock-core:  ## the hashed requirements of the extra `onnx`, from requirements.lock; needs uv
	uv pip compile pyproject.toml --extra onnx --generate-hashes --universal --python-version 3.11 \
		-c requirements.lock --no-header --no-emit-index-url --no-annotate -o requirements-core.lock

licences: .venv/installed  ## docs/licences.md
	$(BIN)/python -m tests.licences > docs/licences.md

spec-reference: .venv/core  ## docs/cohort-spec.md
	$(BIN)/python -m tests.spec_reference > docs/cohort-spec.md.part
	mv docs/cohort-spec.md.part docs/cohort-spec.md

clean:
	rm -rf .venv data site/public runs models .bench htmlcov .coverage*
