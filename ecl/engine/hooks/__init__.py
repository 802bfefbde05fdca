"""Hooks: they observe and record, and never change a loss."""

from .bad_image import BadImageHook
from .checkpoint import CheckpointHook
from .class_statistics import ClassStatisticsHook
from .distill_weight import DistillWeightHook
from .finite_loss import FiniteLossHook
from .keep_memory import KeepMemoryHook
from .logger import LoggerHook
from .run_record import RunRecordHook
from .step_seed import StepSeedHook
from .training_progress import TrainingProgressHook

__all__ = [
    'BadImageHook',
    'CheckpointHook',
    'ClassStatisticsHook',
    'DistillWeightHook',
    'FiniteLossHook',
    'KeepMemoryHook',
    'LoggerHook',
    'RunRecordHook',
    'StepSeedHook',
    'TrainingProgressHook',
]
