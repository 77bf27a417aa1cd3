# `make demo` runs the main job on a fresh machine, `make test` passes the tests. Both need Python 3.11.
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/ready
GPU_READY := .venv-gpu/ready
DEMO := build/digits
IMAGE := ensemble
TORCH_CPU := https://download.pytorch.org/whl/cpu

help: ## the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1\t/p' Makefile | expand -t 24

.PHONY: help demo demo-streaming demo-pubsub image demo-docker demo-docker-streaming first-launch \
  first-launch-remove test test-long fuzz soak test-container test-gpu check check-terraform newer lock reference bench bench-gpu clean

demo: $(READY) ## train four models, run the ensemble, show what came out
	$(BIN)/python examples/digits/train.py --output_dir $(DEMO)
	$(BIN)/python examples/digits/make_records.py --output_dir $(DEMO)
	$(BIN)/python main.py \
	  --ensemble_spec=$(DEMO)/ensemble.yaml \
	  --input_file_pattern='$(DEMO)/records/*.jsonl*' \
	  --output_path=$(DEMO)/out/predictions \
	  --dead_letter_path=$(DEMO)/out/dead-letters \
	  --report_path=$(DEMO)/out/report.html \
	  --overwrite=true
	$(BIN)/python examples/digits/evaluate.py \
	  --predictions '$(DEMO)/out/predictions-*' --dead_letters '$(DEMO)/out/dead-letters-*'
	@echo "  report          one page         $(DEMO)/out/report.html"

demo-streaming: $(READY) ## refresh a model under a stream of files, show what happens
	$(BIN)/python examples/digits/train.py --output_dir $(DEMO)
	$(BIN)/python examples/digits/make_records.py --output_dir $(DEMO)
	$(BIN)/python examples/digits/stream.py --output_dir $(DEMO)

demo-pubsub: $(READY) ## the same through the Pub/Sub emulator
	$(BIN)/python examples/digits/train.py --output_dir $(DEMO)
	$(BIN)/python examples/digits/make_records.py --output_dir $(DEMO)
	$(BIN)/python examples/digits/stream.py --output_dir $(DEMO) --through pubsub

image: ## the CPU image, by Docker
	docker build --target=cpu --tag=$(IMAGE) $(DOCKER_BUILD) .

demo-docker: $(READY) image ## the main job in the image, without a network
	$(BIN)/python examples/digits/train.py --output_dir $(DEMO)
	$(BIN)/python examples/digits/make_records.py --output_dir $(DEMO)
	docker run --rm --network=none --user="$$(id -u):$$(id -g)" --volume="$(CURDIR)/$(DEMO):/data" \
	  --entrypoint=python $(IMAGE) /template/main.py \
	  --ensemble_spec=/data/ensemble.yaml \
	  --input_file_pattern='/data/records/*.jsonl*' \
	  --output_path=/data/docker/predictions \
	  --overwrite=true

demo-docker-streaming: $(READY) image ## refresh a model under a stream, the job in the image
	$(BIN)/python examples/digits/train.py --output_dir $(DEMO)
	$(BIN)/python examples/digits/make_records.py --output_dir $(DEMO)
	$(BIN)/python examples/digits/stream.py --output_dir $(DEMO) --through pubsub --image $(IMAGE)

# A removal needs no demo, and calls that are only printed need none but the one that is there.
NEEDS_DEMO = $(if $(findstring --remove,$(OPTIONS)),,$(if $(findstring --dry,$(OPTIONS)),$(if $(wildcard $(DEMO)/out),,demo),demo))
# IMAGE counts only where it was given: above it names what `make image` builds.
first-launch: $(READY) $(NEEDS_DEMO) ## the demo on Dataflow, proven, measured and removed (PROJECT, REGION, BUCKET, IMAGE, OPTIONS)
	$(BIN)/python examples/digits/first_launch.py --output_dir=$(DEMO) --project='$(PROJECT)' \
	  --region='$(REGION)' --bucket='$(BUCKET)' --image='$(if $(filter command,$(origin IMAGE)),$(IMAGE))' $(OPTIONS)

first-launch-remove: $(READY) ## what a first launch that was killed left behind (RUN, PROJECT, REGION, BUCKET)
	$(BIN)/python examples/digits/first_launch.py --project='$(PROJECT)' --region='$(REGION)' --bucket='$(BUCKET)' --remove='$(RUN)'

test: check ## lint, types, tests
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

test-long: $(READY) ## tests that take minutes each, of kinds of which `make test` tries one
	$(BIN)/python -m pytest -m long --timeout=3600

fuzz: $(READY) ## many damaged model files at the gate of a stream (FUZZED_FILES of each format)
	FUZZED_FILES=$${FUZZED_FILES:-100} $(BIN)/python -m pytest --timeout=7200 tests/releases/test_fuzzed_candidates.py

soak: $(READY) ## a stream that is refreshed, corrupted, rolled back, paused, cut off and killed (SOAK_SECS, SOAK_SEED, SOAK_PROCESSES)
	SOAK_SECS=$${SOAK_SECS:-1800} SOAK_EVERY_SECS=$${SOAK_EVERY_SECS:-10} \
	  $(BIN)/python -m pytest -s tests/chaos/test_soak.py

test-engines: $(READY) ## jobs on Prism, Beam's runner for tests, PRISM_RUNS times each
	PRISM_RUNS=$${PRISM_RUNS:-10} $(BIN)/python -m pytest --timeout=7200 tests/engines

test-container: $(READY) ## builds the image and runs it; needs Docker and the base images
	$(BIN)/python -m pytest tests/container

test-gpu: $(GPU_READY) ## models of PyTorch, ONNX Runtime, TensorFlow and transformers on a GPU
	.venv-gpu/bin/python -m pytest tests/gpu --noconftest

check: $(READY) ## lint and types only
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# In an environment of its own: checkov brings another hcl2 than the tests have.
CHECKOV := build/checkov
$(CHECKOV)/bin/checkov:
	$(PYTHON) -m venv $(CHECKOV)
	$(CHECKOV)/bin/pip install --quiet checkov==3.3.30

check-terraform: $(CHECKOV)/bin/checkov ## the rules of checkov for Google Cloud, over terraform/
	$(CHECKOV)/bin/checkov --config-file terraform/checkov.yaml

bench: $(READY) ## the figures and pictures of docs/benchmarks.md, in about 43 minutes
	$(BIN)/python -m benchmarks.run_all

bench-gpu: $(GPU_READY) ## the GPU part of docs/benchmarks.md, in about 3 minutes
	.venv-gpu/bin/python -m benchmarks.gpu

# What the GPU image has, and what its tests and benchmark need on top. Not all of requirements-dev.txt:
# XGBoost wants another NCCL than PyTorch.
$(GPU_READY): requirements-gpu.txt requirements-dev.txt
	$(PYTHON) -m venv .venv-gpu
	.venv-gpu/bin/pip install --quiet --require-hashes -r requirements-gpu.txt
	.venv-gpu/bin/pip install --quiet \
	  $$(grep -oE '^(matplotlib|onnx|pytest|pytest-timeout|transformers)==[^ ]+' requirements-dev.txt)
	touch $(GPU_READY)

# The CPU build of torch is a tenth of the size of PyPI's. Where its index cannot be reached, pip says
# so after some seconds and takes PyPI's; --no-deps keeps that wait to this one package. The last line is
# for what PyPI's build needs besides: CUDA's libraries, of the versions that it names, without hashes.
$(READY): requirements.txt requirements-torch.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v == (3, 11) or sys.exit("Python 3.11 is needed, found %d.%d: make PYTHON=/path/to/python3.11" % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-deps --require-hashes --extra-index-url $(TORCH_CPU) \
	  -r requirements-torch.txt
	$(BIN)/pip install --quiet --no-warn-conflicts --require-hashes -r requirements.txt -r requirements-dev.txt
	$(BIN)/pip install --quiet torch
	touch $(READY)

# Exact pins of everything that gets installed, from the direct ones in the .in files. In an environment
# of its own, so that a lock that cannot be installed can be mended.
LOCK := build/lock/bin
lock: ## the exact pins and hashes of requirements*.txt, from the .in files
	$(PYTHON) -m venv build/lock
	$(LOCK)/pip install --quiet uv==0.13.9
	$(LOCK)/python .ci/lock.py requirements.in requirements.txt
	$(LOCK)/python .ci/lock.py requirements-gpu.in requirements-gpu.txt
	$(LOCK)/python .ci/lock.py requirements-dev.in requirements-dev.txt
	$(LOCK)/python .ci/lock.py requirements-audit.in requirements-audit.txt

newer: $(READY) ## what is newer than what is pinned: requirements, launcher; changes nothing
	.ci/newer

reference: $(READY) ## the tables of README.md, from the code
	$(BIN)/python .ci/reference.py

clean: ## remove what was built, the environments too
	rm -rf build .venv .venv-gpu
