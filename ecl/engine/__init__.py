"""What runs around the model: hooks, optimizer wrappers, worker functions."""

import mmpretrain.engine  # noqa: F401

from .hooks import (
    BadImageHook,
    ClassStatisticsHook,
    DistillWeightHook,
    EpochSeedHook,
    RunRecordHook,
    TrainingProgressHook,
)
from .optimizers import Bfloat16OptimWrapper
from .worker_init import epoch_worker_init_fn

__all__ = [
    'BadImageHook',
    'Bfloat16OptimWrapper',
    'ClassStatisticsHook',
    'DistillWeightHook',
    'EpochSeedHook',
    'RunRecordHook',
    'TrainingProgressHook',
    'epoch_worker_init_fn',
]
