#!/usr/bin/env bash
# Runs a script of tools/ with transformers 4.57.6, the implementation that model directories are
# checked against, and the packages that metrics are checked against (rouge-score, sacrebleu,
# scikit-learn). Makes the environment .deps/oracle first if it is not there (about 1.9 GB; 5 GB where
# PyTorch needs its GPU libraries to start). Never needed to build, test or use the program.
# With --clients: with the clients that servers are asked through (openai, prometheus_client) instead, in
# .deps/clients (some 70 MB).
#
# Usage: scripts/oracle.sh [--clients] tools/SCRIPT.py [ARGUMENT...]
#   ORACLE_PYTHON=PYTHON   use this Python, which has the packages already
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
environment=$root/.deps/oracle
modules="torch, transformers, safetensors, rouge_score, sacrebleu, sklearn, scipy"
if [ "${1:-}" = --clients ]; then
  environment=$root/.deps/clients
  modules="openai, prometheus_client"
  shift
fi
python=${ORACLE_PYTHON:-$environment/bin/python}

fail() { printf 'oracle: error: %s\n' "$*" >&2; exit 1; }
works() { "$1" -c "import $modules" 2>/dev/null; }

make_environment() {
  printf 'oracle: making %s\n' "$environment" >&2
  python3 -m venv "$environment" || fail "cannot make it; apt-get install python3-venv"
  local install=("$environment/bin/python" -m pip install --quiet --disable-pip-version-check)
  if [[ $modules == openai* ]]; then
    "${install[@]}" openai==3.57.0 prometheus_client==0.26.0
    return
  fi
  "${install[@]}" numpy filelock typing-extensions sympy networkx jinja2 fsspec setuptools
  "${install[@]}" --no-deps torch==2.11.0 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85 \
    nvidia-cufile==1.20.0.107 nvidia-cusparselt-cu13==0.8.0 nvidia-nvshmem-cu13==3.8.0
  "${install[@]}" transformers==4.57.6
  "${install[@]}" ctranslate2==4.8.5
  "${install[@]}" rouge-score==0.1.2 sacrebleu==2.6.0 scikit-learn scipy
  works "$environment/bin/python" || "${install[@]}" torch==2.11.0  # with all GPU libraries
}

[ $# -gt 0 ] || fail "name a script of tools/"
if [ -z "${ORACLE_PYTHON:-}" ] && ! { [ -x "$python" ] && works "$python"; }; then make_environment; fi
works "$python" || fail "$python cannot import $modules"
exec "$python" -B "$@"
