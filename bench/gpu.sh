#!/bin/sh
# All that needs a GPU, in one run: the doctor, the tests marked `cuda`, the notebook's digits, and
# the timings beside PyTorch and JAX. The result is a JSON file under bench/results/.
#
#     pip install '.[cuda13,test]'        (cuda12 with a driver before 580)
#     bench/gpu.sh [PYTHON]
#
# PyTorch and JAX are timed where they are installed with CUDA. Stops at the first thing that fails.
set -eu
cd "$(dirname "$0")/.."
python=${1:-python3}
# Here a fallback to the CPU, and so a skipped test, would be a fault.
export MLP_XP_REQUIRE_DEVICE=1
# JAX would take three quarters of the GPU's memory at once.
export XLA_PYTHON_CLIENT_PREALLOCATE=false
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

echo "== doctor"
"$python" -m mlp_xp doctor --device cpu --device cuda
"$python" -m mlp_xp doctor --device cpu --device cuda --json > "$scratch/doctor.json"

echo "== tests"
"$python" -m pytest -m cuda -rs

echo "== notebook"
"$python" -m mlp_xp train --preset notebook --device cuda --out "$scratch/run" \
    > "$scratch/notebook.txt"
cat "$scratch/notebook.txt"
grep -q '^test accuracy 97\.08%$' "$scratch/notebook.txt"

echo "== timings"
mkdir -p bench/results
"$python" -m bench.gpu_timing "$scratch/doctor.json" "$scratch/notebook.txt" \
    "bench/results/$(date +%Y-%m-%d)-gpu.json"
