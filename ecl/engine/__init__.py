"""What runs around the model: hooks, optimizer wrappers, worker functions."""

import mmpretrain.engine  # noqa: F401

from .hooks import (
    BadImageHook,
    CheckpointHook,
    ClassStatisticsHook,
    DistillWeightHook,
    EpochSeedHook,
    FiniteLossHook,
    LoggerHook,
    RunRecordHook,
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
    'EpochSeedHook',
    'FiniteLossHook',
    'LoggerHook',
    'ResumableTrainLoop',
    'RunRecordHook',
    'TrainingProgressHook',
    'epoch_worker_init_fn',
]
