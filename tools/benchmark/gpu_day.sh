#!/usr/bin/env bash
# Check a new GPU and measure it, in one command, without a network:
#
#   tools/benchmark/gpu_day.sh OUT [MINUTES]
#
# 1. tools/benchmark/device_check.py: time, kernels and waits of a step, with and without a graph;
#    graph against steps one by one; resume bit by bit; a loss that is not finite; out of memory.
# 2. tools/benchmark/step.py: the training against barer loops.
# 3. Two thirds of MINUTES (default 10): configs/comparison/cifar100-lt.yaml, six trainings together.
# 4. Test, prediction of one image, export and report of the first of them.
#
# OUT/summary.txt has a line for each part, OUT/*.log the rest. It needs data/cifar100; without it or
# without a GPU, the digits in two epochs stand in, which tries the command itself in minutes.
# Records and tables lie in OUT/matrix. A second call goes on with the matrix, and repeats the checks
# and the step benchmark if they failed.
set -uo pipefail
out=${1:?usage: $0 OUT [MINUTES]}
minutes=${2:-10}
cd "$(dirname "$0")/../.." || exit 1
python=${PYTHON:-python}
mkdir -p "$out"
summary=$out/summary.txt
start=$SECONDS
failed=0

part() { # NAME SECONDS COMMAND...: run it, keep its output, tell how it ended
    local name=$1 limit=$2 before=$SECONDS
    shift 2
    if timeout "$limit" "$@" >"$out/$name.log" 2>&1; then
        echo "$name: passed in $((SECONDS - before)) s" | tee -a "$summary"
    else
        echo "$name: FAILED with status $? after $((SECONDS - before)) s, see $out/$name.log" | tee -a "$summary"
        failed=1
    fi
}

if [[ -d data/cifar100 ]] && $python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    config=configs/ecl/ecl_r32_cifar100-lt-if100_fast.py
    matrix=(configs/comparison/cifar100-lt.yaml --jobs 6)
    steps=40
else
    config=configs/ecl/ecl_r8_digits-lt.py
    matrix=(configs/comparison/quick_start.yaml --jobs 3 --cfg-options train_cfg.max_epochs=2
        optim_wrapper.optimizer.fused=True train_cfg.graph=True)
    steps=3
fi
echo "gpu_day, $(date '+%Y-%m-%d %H:%M'), $(git rev-parse --short HEAD 2>/dev/null)" >>"$summary"
passed() { grep -qs "^$1: passed" "$summary"; }
passed checks || part checks 240 $python tools/benchmark/device_check.py "$out/checks" --config "$config" --steps $steps
passed step || part step 120 $python tools/benchmark/step.py "$config" --steps $((steps / 3)) --repeats 3 --json "$out/step.json"
part matrix $((60 * minutes)) $python tools/analysis/matrix.py "${matrix[@]}" --together \
    --minutes "$(((2 * minutes + 2) / 3))" --work-dir "$out/matrix"
run=$(find "$out/matrix/ecl" -maxdepth 1 -name 'seed*' 2>/dev/null | sort | head -n 1)
if [[ -n $run && -f $run/last_checkpoint ]]; then
    trained=$run/$(head -n 1 "$run/last_checkpoint")
    settings=$(find "$run" -maxdepth 1 -name '*.py' | head -n 1)
    part test 120 $python tools/test.py "$settings" "$trained" --work-dir "$out/test"
    image=$(find data/cifar100/test -type f 2>/dev/null | head -n 1)
    part predict 60 $python tools/predict.py "$trained" "${image:-docs/en/images/demo.png}"
    part export 120 $python tools/export.py "$trained" --out "$out/model.pt2"
    part report 60 $python tools/analysis/report.py "$run" --out "$out/report.html"
fi
grep -hE '^(step|graph|resume|loss|side|out of)' "$out/checks.log" >>"$summary"
[[ -f $out/matrix/table.md ]] && cat "$out/matrix/table.md" >>"$summary"
echo "all parts: $((SECONDS - start)) s" | tee -a "$summary"
exit $failed
