# Every target sets up .venv by itself. `make conformance` and `make test` are the two that a newcomer needs.

PYTHON ?= python3
VENV := .venv/bin/python
READY := .venv/.ready
FIGURES := docs/figures
PUBLISHED := build/scoreboard
BACKENDS := numpy torch jax tensorflow
SCRATCH := $(or $(TMPDIR),/tmp)
TEXT_BACKEND := numpy
ALONE := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
BEYOND_AVX2 := from numpy._core._multiarray_umath import __cpu_dispatch__ as names; \
  print(*[name for name in names if name == "X86_V4" or name.startswith("AVX512")])
INSTALL := $(VENV) -m pip install --quiet --no-compile -c constraints.txt
GROUPS := --group test --group lint --group docs --group peers

LINK := ip link set lo up mtu 9000 gso_max_size 9000 gso_max_segs 1 && \
  tc qdisc add dev lo root tbf rate 1gbit burst 10kb limit 64mb

.PHONY: conformance nightly test test-avx2 lint release self-test looks-like stress bench cost cost-on-paper arrangements choices products heads parallel newton workers-time conformance-parts bound frames exporters exported kappa teeth operators remembering noise handwriting experiments tracking text speech language launched scoreboard kernelbench report docs site serve clean

conformance: $(READY)
	$(VENV) -m conformance --backend all

# The same in parts, one after the other, and the report of all. A part that fails leaves the others running.
PARTS ?= 4
PART_REPORTS := build/parts

conformance-parts: $(READY)
	rm -rf $(PART_REPORTS) && mkdir -p $(PART_REPORTS)
	for part in $$(seq $(PARTS)); do \
	  $(VENV) -m conformance --backend all --part $$part/$(PARTS) --json $(PART_REPORTS)/$$part.json || test $$? = 1 || exit 2; done
	$(VENV) -m conformance join $(PART_REPORTS)/*.json --json $(PART_REPORTS).json --html $(PART_REPORTS).html

# Other cases every night, and the same ones again with the seed that the report has; first what failed the night before.
nightly: $(READY)
	$(VENV) -m conformance --backend all --tier deep --seed $(shell date +%Y%m%d) --json nightly.json --html nightly.html \
	  $(if $(wildcard nightly.json),--after nightly.json)

# Two processes, each with all frameworks in 5 GB of memory; a file of tests stays together, and so do its programs.
# One thread each: two pools of two threads on two cores wait for each other.
test: $(READY)
	$(ALONE) $(VENV) -m pytest -n 2 --dist loadfile

# The same as on a processor without AVX-512, where libraries take other kernels, and other roundings. NumPy refuses the
# name of a feature that it has no code for, so it is asked for its names.
test-avx2: $(READY)
	ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 OPENBLAS_CORETYPE=Haswell ATEN_CPU_CAPABILITY=avx2 \
	  XLA_FLAGS=--xla_cpu_max_isa=AVX2 NPY_DISABLE_CPU_FEATURES="$$($(VENV) -c '$(BEYOND_AVX2)')" \
	  $(ALONE) $(VENV) -m pytest -n 2 --dist loadfile

lint: $(READY)
	$(VENV) -m ruff check .
	$(VENV) -m mypy

# A wheel and a source distribution in dist/, checked, and tried in fresh environments.
release: $(READY)
	$(ALONE) $(VENV) -m tests.release

# What is too long for CI. Each writes the figures that docs/figures.md shows.

self-test: $(READY)
	$(ALONE) $(VENV) -m conformance.mutants.matrix
	$(VENV) -m conformance --self-test --json $(FIGURES)/self-test.json
	$(VENV) docs/includes.py

# How often the kinds of faults that a report names are right, for faults that no self-test contains.
looks-like: $(READY)
	$(ALONE) $(VENV) $(FIGURES)/looks_like.py --json $(FIGURES)/looks_like.json
	$(VENV) docs/includes.py

stress: $(READY)
	$(VENV) -m tests.stress --json $(FIGURES)/stress.json
	$(VENV) docs/includes.py

bench: $(READY)
	$(VENV) $(FIGURES)/import_time.py --json $(FIGURES)/import.json
	$(VENV) $(FIGURES)/memory.py --json $(FIGURES)/memory.json
	$(ALONE) $(VENV) $(FIGURES)/first_calls.py --json $(FIGURES)/first_calls.json
	$(ALONE) $(VENV) $(FIGURES)/verification.py --json $(FIGURES)/verification.json
	$(ALONE) $(VENV) $(FIGURES)/recomputation.py --json $(FIGURES)/recomputation.json
	for name in $(BACKENDS); do \
	  $(VENV) -m conformance --backend $$name --speed-only --tier deep --json $(FIGURES)/speed-$$name.json || exit 1; done
	for name in torch jax tensorflow; do \
	  $(VENV) $(FIGURES)/layers.py --backend $$name --json $(FIGURES)/layers-$$name.json || exit 1; done
	$(VENV) $(FIGURES)/missed.py --json $(FIGURES)/missed.json
	$(VENV) docs/includes.py

# What the default tier takes, alone and with two busy processes for each processor.
cost: $(READY)
	$(VENV) $(FIGURES)/cost.py --json $(FIGURES)/cost.json
	$(VENV) $(FIGURES)/cost.py --json $(FIGURES)/cost-loaded.json --load $$((2 * $$(nproc)))
	$(VENV) docs/includes.py

cost-on-paper: $(READY)
	unshare --net --map-root-user sh -c '$(LINK) && $(ALONE) $(VENV) $(FIGURES)/cost_on_paper.py \
	  --json $(FIGURES)/cost_on_paper.json'
	$(VENV) docs/includes.py

heads: $(READY)
	$(ALONE) $(VENV) $(FIGURES)/heads.py --json $(FIGURES)/heads.json
	$(VENV) docs/includes.py

# On a machine that does nothing else; memory is that of processes of their own.
parallel: $(READY)
	$(VENV) $(FIGURES)/parallel.py --json $(FIGURES)/parallel.json
	$(ALONE) $(VENV) $(FIGURES)/parallel_kappa.py --json $(FIGURES)/parallel_kappa.json
	$(VENV) docs/includes.py

bound: $(READY)
	$(ALONE) $(VENV) $(FIGURES)/bound.py --json $(FIGURES)/bound.json
	$(VENV) docs/includes.py

frames: $(READY)
	$(ALONE) $(VENV) $(FIGURES)/frames.py --json $(FIGURES)/frames.json
	$(VENV) docs/includes.py

exporters: $(READY)
	$(VENV) $(FIGURES)/exports.py --json $(FIGURES)/exports.json
	$(VENV) docs/includes.py

exported: $(READY)
	$(ALONE) $(VENV) $(FIGURES)/exported.py --json $(FIGURES)/exported.json
	$(VENV) docs/includes.py

newton: $(READY)
	$(ALONE) $(VENV) $(FIGURES)/newton.py --json $(FIGURES)/newton.json
	$(VENV) docs/includes.py

# On a machine that does nothing else: two processes with one thread each.
workers-time: $(READY)
	$(VENV) $(FIGURES)/workers_time.py --json $(FIGURES)/workers_time.json
	$(VENV) docs/includes.py

arrangements: $(READY)
	$(VENV) $(FIGURES)/arrangements.py --json $(FIGURES)/arrangements.json
	XLA_FLAGS=--xla_cpu_max_isa=AVX2 $(VENV) $(FIGURES)/arrangements.py --json $(FIGURES)/arrangements-avx2.json
	$(VENV) docs/includes.py

choices: $(READY)
	$(VENV) $(FIGURES)/choices.py --json $(FIGURES)/choices.json
	$(VENV) docs/includes.py

products: $(READY)
	$(VENV) $(FIGURES)/products.py --json $(FIGURES)/products.json
	$(VENV) docs/includes.py

kappa: $(READY)
	$(VENV) $(FIGURES)/kappa.py --json $(FIGURES)/kappa.json
	$(VENV) docs/includes.py

teeth: $(READY)
	$(VENV) $(FIGURES)/detectable.py --json $(FIGURES)/detectable.json
	$(VENV) $(FIGURES)/other_suites.py --json $(FIGURES)/other_suites.json
	$(VENV) docs/includes.py

remembering: $(READY)
	$(ALONE) $(VENV) $(FIGURES)/found_gains.py
	$(ALONE) $(VENV) $(FIGURES)/remembering.py --json $(FIGURES)/remembering.json
	$(VENV) docs/includes.py

noise: $(READY)
	$(ALONE) $(VENV) $(FIGURES)/noise_cost.py --json $(FIGURES)/noise-cost.json
	$(VENV) $(FIGURES)/dropout.py --json $(FIGURES)/dropout.json
	$(VENV) docs/includes.py

operators: $(READY)
	$(VENV) $(FIGURES)/operators.py --json $(FIGURES)/operators.json
	$(VENV) docs/includes.py

handwriting: $(READY)
	$(VENV) docs/examples/handwriting_table.py --json $(FIGURES)/handwriting.json
	$(VENV) docs/includes.py

# PyTorch's layer is the reference; then every backend reads with the weights that the first training left, and is
# trained itself, two at a time, each on a thread of its own.
text: $(READY)
	for task in digits words; do \
	  $(VENV) docs/examples/text_recognition.py --task $$task --backend $(TEXT_BACKEND) --save $(SCRATCH)/$$task.safetensors \
	    --picture $(FIGURES)/text-$$task.png --json $(FIGURES)/text-$$task.json || exit 1; done
	$(VENV) docs/examples/text_reference.py --task digits --json $(FIGURES)/text-reference.json
	$(VENV) docs/examples/text_reference.py --task words --json $(FIGURES)/text-reference-words.json
	if command -v tesseract; then $(VENV) docs/examples/text_tesseract.py --json $(FIGURES)/text-tesseract.json; fi
	$(VENV) docs/examples/text_table.py --weights $(SCRATCH)/digits.safetensors --json $(FIGURES)/text-backends.json
	rm -rf $(SCRATCH)/rnnspec-courses && mkdir $(SCRATCH)/rnnspec-courses
	printf '%s\n' $(foreach task,digits words,$(BACKENDS:%=$(task),%)) | $(ALONE) xargs -P 2 -I {} sh -c 'course={}; \
	  $(VENV) docs/examples/text_recognition.py --task $${course%,*} --backend $${course#*,} \
	  --save $(SCRATCH)/rnnspec-courses/{}.safetensors --json $(SCRATCH)/rnnspec-courses/{}.json'
	$(VENV) $(FIGURES)/text_courses.py $(SCRATCH)/rnnspec-courses --json $(FIGURES)/text-courses.json
	$(VENV) docs/includes.py

# Goes on where it was stopped, with as many runs at a time as there are processors.
experiments: $(READY)
	$(VENV) docs/examples/experiments.py --json $(FIGURES)/experiments.json --checkpoints .experiments
	$(VENV) $(FIGURES)/experiments.py
	$(VENV) docs/includes.py

tracking: $(READY)
	$(VENV) docs/examples/state_tracking.py --seeds 2 --json $(FIGURES)/tracking.json
	$(VENV) docs/includes.py

checked = $(foreach name,$(filter-out $(1),$(BACKENDS)),--check-backend $(name))

speech: $(READY)
	for cell in lstm gru; do \
	  $(VENV) docs/examples/speech.py --backend numpy --cell $$cell --seeds 3 $(call checked,numpy) \
	    --save $(SCRATCH)/speech.safetensors --json $(FIGURES)/speech-$$cell.json \
	    --picture $(FIGURES)/speech-$$cell.png || exit 1; done
	$(VENV) docs/includes.py

language: $(READY)
	$(VENV) docs/examples/language_model.py --backend torch $(call checked,torch) \
	  --save $(SCRATCH)/language.safetensors --json $(FIGURES)/language.json --picture $(FIGURES)/language.png
	$(VENV) docs/includes.py

launched: $(READY)
	$(ALONE) $(VENV) $(FIGURES)/launched.py --json $(FIGURES)/launched.json
	$(VENV) docs/includes.py

# The published packages have an environment of their own, over the packages of .venv. sru compiles its kernel there.
scoreboard: $(READY) $(PUBLISHED)/.ready
	$(VENV) docs/scoreboard/measure.py --json $(FIGURES)/scoreboard.json
	PATH="$(CURDIR)/$(PUBLISHED)/bin:$$PATH" $(PUBLISHED)/bin/python docs/scoreboard/published.py \
	  --json $(FIGURES)/published.json
	$(VENV) docs/includes.py

$(PUBLISHED)/.ready: docs/scoreboard/requirements.txt $(READY)
	$(PYTHON) -m venv $(PUBLISHED)
	$(VENV) -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > \
	  "$$($(PUBLISHED)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/shared.pth"
	$(PUBLISHED)/bin/python -m pip install --quiet --no-deps -r docs/scoreboard/requirements.txt
	touch $@

kernelbench: $(READY)
	$(ALONE) $(VENV) $(FIGURES)/kernelbench.py --json $(FIGURES)/kernelbench.json
	$(VENV) docs/includes.py

# The picture of a report that the README shows.
report: $(READY)
	$(VENV) -m conformance --tier smoke --json $(SCRATCH)/report.json
	$(VENV) $(FIGURES)/report.py $(SCRATCH)/report.json $(FIGURES)/report.svg

# Writes what the pages include: sources, equations, figures.
docs: $(READY)
	$(VENV) $(FIGURES)/gradients.py
	$(VENV) $(FIGURES)/rooms.py
	$(VENV) docs/includes.py

# Pages of HTML in build/site, of which `make serve` shows the last ones. Whatever Sphinx warns of fails.
site: $(READY)
	$(VENV) -m sphinx -b html -W --keep-going -q -d build/doctrees docs build/site

serve: site
	$(VENV) -m http.server --bind localhost --directory build/site 8000

# The build tools come first and from the pins, so that nothing is fetched outside them; pip reads groups from 25.1 on.
# All processors compile modules, where pip would use one. Files for another version of Python cannot be compiled.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) pip hatchling editables
	$(INSTALL) --no-build-isolation -e '.[all,conformance]' $(GROUPS)
	$(VENV) -m compileall -qq -j 0 .venv/lib rnnspec backends conformance || true
	touch $@

clean:
	rm -rf .venv
