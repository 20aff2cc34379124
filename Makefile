# Every target makes .venv first. PYTHON=python3.12 make demo   chooses another interpreter.
PYTHON ?= python3
BIN := .venv/bin
BUNDLE := bundles/us_hydronephrosis
FUZZ_SECONDS ?= 600

.PHONY: demo ablation test lint bench peers torture fuzz clients mlflow lock sbom clean

.venv/.installed: pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	mkdir -p .venv/links/pyraseg  # for mypy and editors, which do not follow an editable install
	ln -sfn ../../../pipeline ../../../transforms .venv/links/pyraseg/
	touch $@

demo: .venv/.installed  ## phantom, training, evaluation, inference, pictures: some minutes on 2 cores
	$(BIN)/python scripts/demo.py

ablation: .venv/.installed  ## the shipped grid, small, on the demo's phantom: some minutes on 2 cores; again: goes on
	test -d demo/phantom || $(BIN)/pyraseg phantom --modality us --cases 60 --seed 0 --output demo/phantom
	$(BIN)/pyraseg ablation --bundle $(BUNDLE) --grid $(BUNDLE)/grids/attention_labels.yaml --seeds 0,1 \
	    --dataset_dir demo/phantom --output demo/ablation --resume -- --tracking_uri sqlite:///demo/mlruns.db \
	    --experiment_name ablation --cache_dir demo/cache --input_size [96,128] --depth 18 --superpixel_size 7 \
	    --batch_size 4 --max_epochs 6 --val_interval 3 --learning_rate 0.001 --batch_dice true --num_workers 1

test: lint  ## ruff, mypy, pytest
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadgroup --durations 40

lint: .venv/.installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.installed  ## tables of speed, measured side by side on this machine
	$(BIN)/python -m tests.bench

peers: .venv/.installed  ## beside nnU-Net, MONAI, highdicom and others, in environments of their own in peers/
	$(BIN)/python -m tests.bench.peers

fuzz: .venv/.installed  ## coverage-guided fuzzing of every reader, with the corpus in fuzz/; again: goes on
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[fuzz]"
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

torture: .venv/.installed  ## 100 kills, 10,000 broken files, 10,000 small ones, a PACS under 30 kills: about two hours
	$(BIN)/python -m tests.torture

clients/.installed:  # what cannot be had is said by the tests that need it; Debian has orthanc-dicomweb and chromium
	mkdir -p clients/ohif clients/node
	-$(PYTHON) -m venv clients/dcmqi && clients/dcmqi/bin/pip install -q dcmqi==1.5.7
	-$(PYTHON) -m venv clients/pydicom-seg && clients/pydicom-seg/bin/pip install -q pydicom-seg==0.4.1 "pydicom<3"
	-$(PYTHON) -m venv clients/rt-utils && clients/rt-utils/bin/pip install -q rt-utils==1.2.7
	-cd clients/ohif && npm pack --silent @ohif/app@3.12.10 && tar -xzf ohif-app-3.12.10.tgz
	-cd clients/node && npm install --silent --no-save --ignore-scripts @cornerstonejs/adapters@5.14.0 \
	    @babel/runtime@8.1.3 dcmjs@0.52.0 playwright-core@1.65.1
	touch $@

clients: .venv/.installed clients/.installed  ## results in OHIF, 3D Slicer's dcmqi and other readers: some minutes
	$(BIN)/python -m pytest tests/clients -rs

tools/.installed:  # of what is installed, not among it
	$(PYTHON) -m venv tools
	tools/bin/pip install --quiet --disable-pip-version-check uv==0.13.9 cyclonedx-bom==7.5.0
	touch $@

lock: tools/.installed  ## requirements.lock: constraints.txt with the hashes of all files
	tools/bin/uv pip compile pyproject.toml --quiet --constraints constraints.txt --output-file requirements.lock \
	    --extra openvino --extra onnxruntime --extra pacs --extra publish \
	    --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url

sbom: .venv/.installed tools/.installed  ## sbom.json: what .venv holds, with licences, as CycloneDX
	tools/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type library --output-reproducible \
	    --output-format JSON --output-file sbom.json $(BIN)/python

mlflow: .venv/.installed  ## the tracking page of the demo's runs, on http://127.0.0.1:5000
	$(BIN)/mlflow ui --host 127.0.0.1 --backend-store-uri sqlite:///demo/mlruns.db

clean:
	rm -rf .venv demo clients tools peers sbom.json
