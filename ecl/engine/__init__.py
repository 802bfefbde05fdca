"""Hooks, training loop, checkpoints, mixed precision, and parts of methods outside the model."""

import mmpretrain.engine  # noqa: F401

from .hooks.console import ConsoleHook, EarlyStoppingHook, LoggerHook
from .hooks.drawings import DrawPredictionsHook
from .hooks.faults import BadImageHook, InvalidLossHook
from .hooks.run_record import RunRecordHook
from .methods.adjustment import AdjustmentHook
from .methods.class_counts import ClassCountsHook, TrainingProgressHook
from .methods.distill_weight import DistillWeightHook
from .methods.linear_probe import LinearProbeLoop
from .methods.second_stage import SecondStageHook
from .performance import Bfloat16OptimWrapper, KeepMemoryHook
from .resume.checkpoint_hook import CheckpointHook
from .resume.loop import ResumableTrainLoop
from .resume.processes import epoch_worker_init_fn
from .resume.rank_state import StepSeedHook, SyncNormHook
from .resume.runner import ResumableRunner

__all__ = [
    'AdjustmentHook',
    'BadImageHook',
    'Bfloat16OptimWrapper',
    'CheckpointHook',
    'ClassCountsHook',
    'ConsoleHook',
    'DistillWeightHook',
    'DrawPredictionsHook',
    'EarlyStoppingHook',
    'InvalidLossHook',
    'KeepMemoryHook',
    'LinearProbeLoop',
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
