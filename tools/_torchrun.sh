#!/usr/bin/env bash
# What the dist_*.sh scripts share: GPUS SCRIPT ARGUMENTS...
set -euo pipefail

gpus=$1 script=$2
shift 2

# On one machine torchrun finds a free port itself; several have to agree on one.
if [[ ${NNODES:-1} -eq 1 && -z ${PORT:-} ]]; then
    rendezvous=(--standalone)
else
    rendezvous=(
        --nnodes "${NNODES:-1}"
        --node_rank "${NODE_RANK:-0}"
        --master_addr "${MASTER_ADDR:-127.0.0.1}"
        --master_port "${PORT:-29500}"
    )
fi

# Threads of several processes on the same cores mostly wait for each other.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

here="$(dirname "${BASH_SOURCE[0]}")"
exec "${PYTHON:-python}" "$here/_torchrun.py" "${rendezvous[@]}" --nproc_per_node "$gpus" \
    "$here/$script" "$@" --launcher pytorch
