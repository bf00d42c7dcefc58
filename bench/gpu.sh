#!/usr/bin/env bash
# Everything that needs a GPU, in under ten minutes:
#
#     bench/gpu.sh [--quick] FOLDER [PYTHON]
#
# Each section below runs whatever the one before it did, for as long as it may. FOLDER gets all that
# is written: each section's output, the results as JSON, and in FOLDER/scratch all else. PYTHON, by
# default python3, needs CuPy and what mlp_xp needs; mlp_xp itself is taken from this checkout. Nothing
# is installed or downloaded. PyTorch, JAX, pytest with Hypothesis, and compute-sanitizer are used
# where they are installed. --quick takes small sizes and four times the time: to try the script on an emulator.
# Exits with status 1 if any section failed.
set -u -o pipefail

# The seconds that each section may take. The last one may have what the others left.
sections='
experiments 110
tests 80
doctor 30
notebook 30
timings 105
cpu 50
peers 150
sanitizer 30
'

experiments() { "$python" -m bench.gpu $quick "$out"; }

# The long ones last.
tests() { run_tests tests/nn tests/training tests/diagnostics tests/data tests/estimators tests; }

doctor() {
    "$python" -m mlp_xp doctor --device cpu --device cuda
    local status=$?
    "$python" -m mlp_xp doctor --device cuda --json > "$out/doctor.json"
    return $status
}

# The digits of the notebook that this project began as.
notebook() {
    local expected='^test accuracy 97\.08%$' fewer=()
    [ -n "$quick" ] && expected='loss 0\.2115' fewer=(--epochs 1)
    "$python" -m mlp_xp train --preset notebook "${fewer[@]}" --device cuda \
        --out "$scratch/notebook" | tee "$scratch/notebook.txt" || return
    grep -q "$expected" "$scratch/notebook.txt" || { echo "not the notebook's digits"; return 1; }
}

timings() { time_those gpu- 30; }

cpu() { time_those threads 25 --rounds 1; }

peers() {
    "$python" -c 'import bench.peers as p; exit(all(map(p.absent, ("torch_eager", "jax_bytes"))))' ||
        skip 'neither PyTorch nor JAX is installed'
    time_those peers- 40
}

sanitizer() {
    command -v compute-sanitizer > /dev/null || skip 'compute-sanitizer is not installed'
    export WITHOUT_POOL=1
    under='compute-sanitizer --error-exitcode 9 --target-processes all'
    run_tests tests/nn/test_network.py tests/training/test_windowed.py
}

skip() { echo "$1"; exit 77; }

# run_tests FILE...: those marked `cuda`, whatever plugins and warnings this host's versions have.
run_tests() {
    local package
    for package in pytest hypothesis; do
        "$python" -c "import $package" || skip "$package is not installed"
    done
    # Where there is no GPU, each test would be skipped.
    "$python" -c 'import mlp_xp; mlp_xp.get_device("cuda", require=True)' || return
    TEST_SECONDS=$((limit / times * 3 / 4)) PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 \
        ${under:-} "$python" -m pytest -o addopts= -o filterwarnings= -W default \
        --import-mode=importlib --continue-on-collection-errors \
        -p bench.gpu.pytest_plugin -m cuda -q -rs "$@"
}

# time_those PREFIX SECONDS OPTION...: the workloads whose names begin so. What begins last may take
# that many seconds.
time_those() {
    local names seconds=$((limit - $2))
    names=$("$python" -m bench.gpu.timings --names | grep "^$1" | paste -sd,) || return
    "$python" -m bench.gpu.timings $quick --out "$out" --seconds $seconds --only "$names" "${@:3}"
}

usage() { echo "usage: bench/gpu.sh [--quick] FOLDER [PYTHON]" >&2; exit 2; }

quick='' times=1  # by which --quick multiplies the time
[ "${1:-}" = --quick ] && { quick=--quick times=4; shift; }
[ $# -ge 1 ] && [ $# -le 2 ] && [ "${1#-}" = "$1" ] || usage
python=$(command -v "${2:-python3}") || { echo "there is no ${2:-python3}" >&2; exit 2; }
python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python")
mkdir -p "$1" && out=$(cd "$1" && pwd) || exit 2
if [ ! -f "$out/summary.txt" ] && [ -n "$(ls -A "$out")" ]; then
    echo "$1: isn't empty, and holds no results of this script; name a new folder" >&2
    exit 2
fi
scratch=$out/scratch
# A copy of the checkout, in which Python and pytest leave what they leave.
rm -rf "$scratch/checkout" "$scratch/notebook"
mkdir -p "$scratch/checkout/bench" "$scratch/tmp"
cd "$(dirname "$0")/.." || exit
cp -R mlp_xp tests pyproject.toml "$scratch/checkout" || exit
cp -R bench/*.py bench/gpu bench/peers "$scratch/checkout/bench" || exit  # FOLDER may be in results/
cd "$scratch/checkout" || exit
export quick times out scratch python
export CUPY_CACHE_DIR=$scratch/cupy CUDA_CACHE_PATH=$scratch/cuda TMPDIR=$scratch/tmp
export TRITON_CACHE_DIR=$scratch/triton TORCHINDUCTOR_CACHE_DIR=$scratch/inductor
export XDG_CACHE_HOME=$scratch/cache XDG_CONFIG_HOME=$scratch/config PYTHONUNBUFFERED=1
# Here a fallback to the CPU would be a failure.
export MLP_XP_REQUIRE_DEVICE=1 XLA_PYTHON_CLIENT_PREALLOCATE=false
export -f experiments tests doctor notebook timings cpu peers sanitizer skip run_tests time_those

stop() { kill "$running"; wait "$running"; exit 130; }
trap stop INT TERM

summary=$out/summary.txt failed=0 left=0
printf '%-12s %-20s %7s %7s  %s\n' section result seconds 'at most' 'last line' > "$summary"
while read -r section seconds; do
    [ -n "$section" ] || continue
    export limit=$((seconds * times))
    [ "$section" = sanitizer ] && limit=$((limit + left))
    printf '\n== %s (at most %d s)\n' "$section" "$limit"
    start=$SECONDS
    # In the background, so that Ctrl-C ends this script at once, and the section with it.
    timeout -k 5 "$limit" bash -u -o pipefail -c "$section" > "$out/$section.txt" 2>&1 < /dev/null &
    running=$!
    wait "$running"
    status=$?
    cat "$out/$section.txt"
    took=$((SECONDS - start))
    left=$((left + limit - took))
    case $status in
        0) result=passed ;;
        77) result=skipped ;;
        124 | 137) result='FAILED: out of time' failed=1 ;;
        *) result="FAILED: status $status" failed=1 ;;
    esac
    printf '%-12s %-20s %7d %7d  %s\n' "$section" "$result" "$took" "$limit" \
        "$(tail -n 1 "$out/$section.txt" | cut -c 1-90)" >> "$summary"
done <<< "$sections"
echo
cat "$summary"
exit $failed
