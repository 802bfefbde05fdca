"""Hooks: they observe and record, and never change a loss."""

from .bad_image import BadImageHook
from .class_statistics import ClassStatisticsHook
from .distill_weight import DistillWeightHook
from .epoch_seed import EpochSeedHook
from .run_record import RunRecordHook
from .training_progress import TrainingProgressHook

__all__ = [
    'BadImageHook',
    'ClassStatisticsHook',
    'DistillWeightHook',
    'EpochSeedHook',
    'RunRecordHook',
    'TrainingProgressHook',
]
