#!/bin/sh
# Everything that needs a GPU, in one run: the doctor, the tests marked `cuda`, the notebook's
# digits, and timings beside PyTorch and JAX. Results go to bench/results/DATE-gpu*.
#
#     pip install '.[cuda13,test]'        (cuda12 with a driver before 580)
#     bench/gpu.sh [PYTHON]
#
# PyTorch and JAX are timed if they are installed with CUDA. Stops at the first failure.
set -eu
cd "$(dirname "$0")/.."
python=${1:-python3}
# Here a fallback to the CPU, and so a skipped test, would be a failure.
export MLP_XP_REQUIRE_DEVICE=1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
results=bench/results/$(date +%Y-%m-%d)-gpu

echo "== doctor"
"$python" -m mlp_xp doctor --device cpu --device cuda
"$python" -m mlp_xp doctor --device cpu --device cuda --json > "$scratch/doctor.json"

echo "== tests"
"$python" -m pytest -n 0 -m cuda -rs

echo "== notebook"
"$python" -m mlp_xp train --preset notebook --device cuda --out "$scratch/run" \
    > "$scratch/notebook.txt"
cat "$scratch/notebook.txt"
grep -q '^test accuracy 97\.08%$' "$scratch/notebook.txt"

mkdir -p bench/results
mv "$scratch/doctor.json" "$results-doctor.json"
mv "$scratch/notebook.txt" "$results-notebook.txt"

echo "== timings"
"$python" -m bench --device cuda        # writes $results.json
