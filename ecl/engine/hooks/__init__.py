"""Hooks that observe a training and record it. They never change a loss."""

from .console import ConsoleHook, EarlyStoppingHook, LoggerHook
from .faults import BadImageHook, InvalidLossHook
from .run_record import RunRecordHook

__all__ = [
    'BadImageHook',
    'ConsoleHook',
    'EarlyStoppingHook',
    'InvalidLossHook',
    'LoggerHook',
    'RunRecordHook',
]
