# Everything runs from .venv; `make setup` makes it, and every other target makes it first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TESTS ?= tests
# Parallel test processes: four for two cores, since many tests wait for something.
WORKERS ?= 4
PARALLEL = $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# An index of CPU builds of torch: PyTorch's own, which its install page shows. Unset: torch with CUDA's libraries.
TORCH_INDEX ?=

# As the command line sets it for itself: threads that wait soon sleep, also while something else is busy here.
export GOMP_SPINCOUNT ?= 2000
# Tests start hundreds of processes: without compiled files each would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test test-all lint types bench results load soak chaos attack generate lock format clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) found; name one with PYTHON=... (3.11 to 3.13)" >&2; exit 1; }
	@echo "make: installing into $(VENV), once: $(if $(TORCH_INDEX),torch from $(TORCH_INDEX): some 500 MB,torch with CUDA's libraries and the rest are some 3 GB to download; without a GPU, TORCH_INDEX=... (docs/install.md) takes some 500 MB)"
	$(PYTHON) -m venv $(VENV)
	@# On a terminal pip shows each download, its size and a bar; elsewhere it is silent.
	quiet=--quiet; [ -t 1 ] && quiet=; $(BIN)/pip install $$quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c constraints.txt -e '.[engine,train,test]'
	@touch $@

# make demo                            the generated scene
# make demo VIDEO=clip.mp4             a file of yours
# VIDEO=rtsp://u:p@host/s make demo    a camera of yours: so its password is in no list of processes
demo: export LOOKOUT_DEMO_VIDEO := $(VIDEO)
demo: $(READY)
	@exec $(BIN)/lookout demo

# make test                            all but the wide and the long forms; tests in parallel, one
#                                      thread each; a fifth of the examples of each property
# make test TESTS=tests/unit           one folder
# Types are checked meanwhile, in what the tests leave of two cores, and told last.
test: export OMP_NUM_THREADS ?= 1
test: $(READY) lint
	@sh tests/debian-packages.sh
	@said=$$(mktemp); nice $(BIN)/mypy >"$$said" 2>&1 & checker=$$!; \
	trap 'kill $$checker; rm "$$said"; exit 130' INT TERM; \
	$(PARALLEL) --hypothesis-profile few -m 'not wide and not long' $(TESTS); tests=$$?; \
	wait $$checker; types=$$?; cat "$$said"; rm "$$said"; \
	[ $$types = 0 ] && exit $$tests

# make test-all                        every example and the wide forms too, in parallel; then the long
#                                      forms, two at a time; those that need the machine for
#                                      themselves (`alone`) one after another
test-all: test
	OMP_NUM_THREADS=1 $(PARALLEL) -m '(hypothesis or wide) and not long' $(TESTS) \
		|| [ $$? = 5 ]  # a folder that has none
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder \
		-m 'long and not alone' $(TESTS) || [ $$? = 5 ]
	$(BIN)/pytest -m alone $(TESTS) || [ $$? = 5 ]

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy

bench: $(READY)
	@exec $(BIN)/python -m tests.bench

# make results                         what the shipped checkpoints reach: not run without footage
# make results FOOTAGE=ped2/           a data set with labels, as `lookout evaluate` takes it
results: $(READY)
	@exec $(BIN)/python -m tools.results $(FOOTAGE)

# make load                            every core for the engine
# make load ARGS='--threads 1'         one of them
load: $(READY)
	@exec $(BIN)/python -m tests.bench.load $(ARGS)

# make soak                            ten minutes
# make soak ARGS='--seconds 60'
soak: $(READY)
	@exec $(BIN)/python -m tests.bench.soak $(ARGS)

# make chaos                           every kind of fault once
# make chaos ARGS='--minutes 30 --seed 7'
# make chaos ARGS="--only 'SIGSTOP store'"
chaos: $(READY)
	@exec $(BIN)/python -m tests.chaos $(ARGS)

# make attack                          strangers on loopback, against an API of its own: half a minute
attack: $(READY)
	@exec $(BIN)/python -m tests.attack

# What is made of Python: docs/metrics.md and the dashboards. A test fails when they lag.
generate: $(READY)
	@exec $(BIN)/python -m deploy

# docker/requirements*.txt: the hashes of the versions in constraints.txt. Asks the package index.
lock: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check uv==0.13.9
	@exec $(BIN)/python -m tools.lock $(BIN)/uv

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) lookout-data build *.egg-info
