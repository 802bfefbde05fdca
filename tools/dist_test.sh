#!/usr/bin/env bash
# Evaluate a checkpoint on several GPUs, or in several CPU processes where there is no GPU.
#
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [ARGUMENTS OF test.py]
#
# Several machines: set NNODES, NODE_RANK and MASTER_ADDR on each (and PORT, default 29500).
set -euo pipefail

if [[ $# -lt 3 ]]; then
    echo "usage: $0 CONFIG CHECKPOINT GPUS [ARGUMENTS OF test.py]" >&2
    exit 2
fi
config=$1 checkpoint=$2 gpus=$3
shift 3
exec "$(dirname "${BASH_SOURCE[0]}")/_torchrun.sh" "$gpus" test.py "$config" "$checkpoint" "$@"
