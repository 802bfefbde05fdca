#!/usr/bin/env bash
# Train under Slurm: one torchrun on each node.
#
#   [NNODES=1] [GPUS_PER_NODE=8] [CPUS_PER_TASK=40] [PORT=29500] [SRUN_ARGS=...] \
#       tools/slurm_train.sh PARTITION JOB_NAME CONFIG [ARGUMENTS OF train.py]
set -euo pipefail

if [[ $# -lt 3 ]]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG [ARGUMENTS OF train.py]" >&2
    exit 2
fi
partition=$1 job_name=$2 config=$3
shift 3

export GPUS_PER_NODE="${GPUS_PER_NODE:-8}"
export PORT="${PORT:-29500}"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
export PYTHON="${PYTHON:-python}"
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

# SRUN_ARGS holds several words on purpose.
# shellcheck disable=SC2086
exec srun \
    --partition "$partition" \
    --job-name "$job_name" \
    --nodes "${NNODES:-1}" \
    --ntasks-per-node 1 \
    --cpus-per-task "${CPUS_PER_TASK:-40}" \
    --gres "gpu:$GPUS_PER_NODE" \
    --kill-on-bad-exit 1 \
    ${SRUN_ARGS:-} \
    bash -c '
        set -euo pipefail
        head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
        exec "$PYTHON" "$0/_torchrun.py" \
            --nnodes "$SLURM_JOB_NUM_NODES" --nproc_per_node "$GPUS_PER_NODE" \
            --rdzv_id "$SLURM_JOB_ID" --rdzv_backend c10d --rdzv_endpoint "$head:$PORT" \
            "$0/train.py" "$@" --launcher pytorch
    ' "$tools" "$config" "$@"
