"""Hooks that observe and record. They never change a loss."""

from .adjustment import AdjustmentHook
from .bad_image import BadImageHook
from .class_counts import ClassCountsHook
from .distill_weight import DistillWeightHook
from .logger import EarlyStoppingHook, LoggerHook
from .memory import KeepMemoryHook
from .run_record import RunRecordHook
from .second_stage import SecondStageHook
from .training_progress import TrainingProgressHook

__all__ = [
    'AdjustmentHook',
    'BadImageHook',
    'ClassCountsHook',
    'DistillWeightHook',
    'EarlyStoppingHook',
    'KeepMemoryHook',
    'LoggerHook',
    'RunRecordHook',
    'SecondStageHook',
    'TrainingProgressHook',
]
