"""What runs around the model: hooks, parts of methods, training loop, checkpoints, precision."""

import mmpretrain.engine  # noqa: F401

from .hooks import (
    BadImageHook,
    ConsoleHook,
    EarlyStoppingHook,
    InvalidLossHook,
    LoggerHook,
    RunRecordHook,
)
from .methods import (
    AdjustmentHook,
    ClassCountsHook,
    DistillWeightHook,
    SecondStageHook,
    TrainingProgressHook,
)
from .performance import Bfloat16OptimWrapper, KeepMemoryHook
from .resume import (
    CheckpointHook,
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
    'ConsoleHook',
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
