"""Hooks: they observe and record, and never change a loss."""

from .class_statistics import ClassStatisticsHook
from .distill_weight import DistillWeightHook
from .epoch_seed import EpochSeedHook
from .run_record import RunRecordHook
from .training_progress import TrainingProgressHook

__all__ = [
    'ClassStatisticsHook',
    'DistillWeightHook',
    'EpochSeedHook',
    'RunRecordHook',
    'TrainingProgressHook',
]
