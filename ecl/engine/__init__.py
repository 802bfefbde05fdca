"""What runs around the model: hooks, optimizer wrappers, worker functions."""

import mmpretrain.engine  # noqa: F401

from .hooks import (
    BadImageHook,
    CheckpointHook,
    ClassStatisticsHook,
    DistillWeightHook,
    FiniteLossHook,
    LoggerHook,
    RunRecordHook,
    StepSeedHook,
    TrainingProgressHook,
)
from .loop import ResumableTrainLoop
from .optimizers import Bfloat16OptimWrapper
from .worker_init import epoch_worker_init_fn

__all__ = [
    'BadImageHook',
    'Bfloat16OptimWrapper',
    'CheckpointHook',
    'ClassStatisticsHook',
    'DistillWeightHook',
    'FiniteLossHook',
    'LoggerHook',
    'ResumableTrainLoop',
    'RunRecordHook',
    'StepSeedHook',
    'TrainingProgressHook',
    'epoch_worker_init_fn',
]
