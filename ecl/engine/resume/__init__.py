"""Stop and resume a training at any step with bit-identical results."""

from .checkpoint_hook import CheckpointHook
from .processes import epoch_worker_init_fn
from .rank_state import StepSeedHook, SyncNormHook
from .runner import ResumableRunner, ResumableTrainLoop

__all__ = [
    'CheckpointHook',
    'ResumableRunner',
    'ResumableTrainLoop',
    'StepSeedHook',
    'SyncNormHook',
    'epoch_worker_init_fn',
]
