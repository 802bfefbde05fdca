#!/usr/bin/env bash
# Train on several GPUs, or in several CPU processes where there is no GPU.
#
#   tools/dist_train.sh CONFIG GPUS [ARGUMENTS OF train.py]
#
# Several machines: set NNODES, NODE_RANK and MASTER_ADDR on each (and PORT, default 29500).
set -euo pipefail

if [[ $# -lt 2 ]]; then
    echo "usage: $0 CONFIG GPUS [ARGUMENTS OF train.py]" >&2
    exit 2
fi
config=$1 gpus=$2
shift 2
exec "$(dirname "${BASH_SOURCE[0]}")/_torchrun.sh" "$gpus" train.py "$config" "$@"
