"""Stop and resume a training at any step with bit-identical results."""

from .checkpoint_hook import CheckpointHook
from .invalid_loss import InvalidLossHook
from .loop import ResumableTrainLoop
from .rank_state import SyncNormHook
from .runner import ResumableRunner
from .seeding import StepSeedHook
from .workers import epoch_worker_init_fn

__all__ = [
    'CheckpointHook',
    'InvalidLossHook',
    'ResumableRunner',
    'ResumableTrainLoop',
    'StepSeedHook',
    'SyncNormHook',
    'epoch_worker_init_fn',
]
