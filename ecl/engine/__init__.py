"""What runs around the model: hooks, training loop, checkpoints, optimizer wrapper."""

import mmpretrain.engine  # noqa: F401

from .hooks import (
    BadImageHook,
    ClassCountsHook,
    DistillWeightHook,
    KeepMemoryHook,
    LoggerHook,
    RunRecordHook,
    TrainingProgressHook,
)
from .optimizers import Bfloat16OptimWrapper
from .resume import (
    CheckpointHook,
    InvalidLossHook,
    ResumableRunner,
    ResumableTrainLoop,
    StepSeedHook,
    epoch_worker_init_fn,
)

__all__ = [
    'BadImageHook',
    'Bfloat16OptimWrapper',
    'CheckpointHook',
    'ClassCountsHook',
    'DistillWeightHook',
    'InvalidLossHook',
    'KeepMemoryHook',
    'LoggerHook',
    'ResumableRunner',
    'ResumableTrainLoop',
    'RunRecordHook',
    'StepSeedHook',
    'TrainingProgressHook',
    'epoch_worker_init_fn',
]
