# Front door of the repository. Every target does the set-up it needs (scripts/setup.sh); the build
# itself is CMake's (CMakePresets.json) and works without this file.
.DEFAULT_GOAL := help
PRESET ?= release
BUILD := build/$(PRESET)
JOBS ?= $(shell scripts/jobs.sh)
PREFIX ?= $(HOME)/.local
ARGS ?=

help:  ## Say what can be made
	@echo 'Usage: make TARGET [VARIABLE=VALUE]...'
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1|\2/p' Makefile | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'
	@echo 'Variables:'
	@echo '  PRESET         build to use: release (default), dev, asan-ubsan, tsan; kept in build/PRESET'
	@echo '  JOBS           compilers or tests at once (default: what cores and memory allow)'
	@echo '  PREFIX         where `make install` puts the program and the library (default: ~/.local)'
	@echo '  ARGS           more arguments for ctest (make test), the benchmark (make bench), make fuzz, make results'
	@echo '  CHAPTER        of docs/results.md, for make results'

setup:  ## Install the Debian packages and LibTorch (all other targets do this too)
	@scripts/setup.sh

build: configure  ## Build the program: build/release/bin/switchyard
	@cmake --build $(BUILD) --parallel $(JOBS) --target switchyard

all: configure  ## Build everything: program, library, tests, benchmarks
	@cmake --build $(BUILD) --parallel $(JOBS)

test: all  ## Build everything and run every test this machine can run
	@ctest --test-dir $(BUILD) --output-on-failure --parallel $(JOBS) $(ARGS)

test-oracle: build  ## Check against transformers 4.57.6 and metrics' packages (fetches 1.9 GB), and the openai client
	@scripts/oracle.sh --clients tools/check_serve.py $(BUILD)/bin/switchyard
	@scripts/oracle.sh tools/check_hf.py $(BUILD)/bin/switchyard
	@scripts/oracle.sh tools/check_metrics.py $(BUILD)/bin/switchyard

bench: build  ## Measure this machine against the aims of docs/performance.md (ARGS='--large --compare')
	@tools/bench_table.py --program $(BUILD)/bin/switchyard $(ARGS)

bench-inference: build  ## Inference against its aims, and Hugging Face and CTranslate2 beside it (fetches them: 1.9 GB)
	@scripts/oracle.sh tools/bench_inference.py --program $(BUILD)/bin/switchyard $(ARGS)

quickstart:  ## From nothing to a measured answer: train dense and sparse models, compare them
	@scripts/quickstart.sh

results: setup  ## Reproduce a chapter of docs/results.md: CHAPTER=n (fetches matplotlib; ARGS=--publish)
	@scripts/results.sh "$(CHAPTER)" $(ARGS)

install: all  ## Install program, library and headers under PREFIX
	@cmake --install $(BUILD) --prefix $(PREFIX)

fuzz:  ## Fuzz the readers of outside files with libFuzzer (installs Clang)
	@scripts/fuzz.sh $(ARGS)

format:  ## Format the C++ code (clang-format 14)
	@scripts/format.sh

tidy: setup  ## Build with clang-tidy looking at every file
	@cmake --preset tidy && cmake --build build/tidy --parallel $(JOBS)

clean:  ## Remove all builds; what set-up has fetched stays in .deps
	@rm -rf build

configure: setup
	@test -f $(BUILD)/build.ninja || cmake --preset $(PRESET)

.PHONY: help setup configure build all test test-oracle bench bench-inference quickstart results install fuzz \
        format tidy clean
