"""What runs around the model: hooks, training loop, checkpoints, optimizer wrapper."""

import mmpretrain.engine  # noqa: F401

from .hooks import (
    AdjustmentHook,
    BadImageHook,
    ClassCountsHook,
    DistillWeightHook,
    EarlyStoppingHook,
    KeepMemoryHook,
    LoggerHook,
    RunRecordHook,
    SecondStageHook,
    TrainingProgressHook,
)
from .optimizers import Bfloat16OptimWrapper
from .resume import (
    CheckpointHook,
    InvalidLossHook,
    ResumableRunner,
    ResumableTrainLoop,
    StepSeedHook,
    SyncNormHook,
    epoch_worker_init_fn,
)

__all__ = [
    'AdjustmentHook',
    'BadImageHook',
    'Bfloat16OptimWrapper',
    'CheckpointHook',
    'ClassCountsHook',
    'DistillWeightHook',
    'EarlyStoppingHook',
    'InvalidLossHook',
    'KeepMemoryHook',
    'LoggerHook',
    'ResumableRunner',
    'ResumableTrainLoop',
    'RunRecordHook',
    'SecondStageHook',
    'StepSeedHook',
    'SyncNormHook',
    'TrainingProgressHook',
    'epoch_worker_init_fn',
]
