"""Faults of a run, each put into one line that says what to change."""

import multiprocessing
import re
import signal
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import build_from_cfg
from mmengine.runner import BaseLoop, TestLoop, ValLoop
from torch import distributed

from ecl.apis.config_check import walk
from ecl.errors import UserError
from ecl.settings import SettingError

#: Whose constructors complain of their arguments only.
_LIBRARIES = ('torch', 'mmengine', 'mmcv', 'mmpretrain')
#: What uses memory in training, beside the batch.
_MEMORY = ('model.backbone.num_experts', 'model.contrast.queue_size')


@contextmanager
def explain_faults(cfg: Config, source: str) -> Iterator[None]:
    """Turn what a user can put right into a UserError, whatever raised it.

    That is: a constructor's argument out of range, which gets its dotted key; what the libraries'
    own classes refuse to be built from; memory that ran out, of a GPU or the machine; a data worker
    that died or gave nothing for too long; another process of the training that ended.

    Args:
        cfg: The configuration of the run.
        source: What to call it in a message: its file name.

    Raises:
        UserError: Instead of each of these; other exceptions pass.
    """
    try:
        yield
    except SettingError as error:
        raise UserError(f'{source}: {_key(cfg, error)}: {error.fault}') from error
    except (TypeError, ValueError, AssertionError) as error:
        if line := _refused_setting(cfg, error):
            raise UserError(f'{source}: {line}') from error
        raise
    except (RuntimeError, MemoryError) as error:
        for explain in (_explain_memory, _worker_fault, _lost_process):
            if line := explain(cfg, error):
                raise UserError(line) from error
        raise


def _key(cfg: Config, error: SettingError) -> str:
    """Dotted key of a setting: under its owner, else where the same value stands."""
    nodes = list(walk(cfg))
    owned = [
        (path, node)
        for path, node in nodes
        if str(node.get('type', '')).rpartition('.')[2] == error.owner
    ]
    same = [
        path
        for path, node in owned or nodes
        if error.name in node and node[error.name] == error.value
    ]
    paths = same or [path for path, _ in owned]
    return f'{paths[0]}.{error.name}' if paths else f'{error.owner}.{error.name}'


def _refused_setting(cfg: Config, error: BaseException) -> str | None:
    """What a class of the libraries said while it was built from a part of the configuration.

    A constructor from elsewhere may have a fault of its own, so its traceback is worth more; but
    any may lack an argument.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    building = [i for i, frame in enumerate(frames) if frame.f_code is build_from_cfg.__code__]
    if isinstance(error, UserError) or not building:
        return None
    known = frames[building[-1]].f_locals
    part, target = known['cfg'], known.get('obj_cls')
    constructor = frames[building[-1] + 1 :][:1]
    names = [frame.f_globals['__name__'].partition('.')[0] for frame in constructor]
    if target is None or not set(names) <= set(_LIBRARIES):
        return None
    kind = part.get('type')
    alike = [(path, node) for path, node in walk(cfg) if kind and node.get('type') == kind]
    # What is built may have got more than the configuration says.
    same = [path for path, node in alike if all(part.get(k) == v for k, v in node.items())]
    places = same or [path for path, _ in alike]
    reason = ' '.join(str(error).split()) or f'it does not take {dict(part)}'
    place = f'{places[0]}: ' if places else ''
    return f'{place}{getattr(target, "__name__", kind)} cannot be built: {reason}'


def out_of_memory(error: BaseException) -> str | None:
    """Which memory an error says has run out, and what was asked for; None for other errors."""
    on_gpu = isinstance(error, torch.OutOfMemoryError)
    if not (on_gpu or isinstance(error, MemoryError) or 'DefaultCPUAllocator' in str(error)):
        return None
    asked = re.search(r'[Tt]ried to allocate ([\d.]+ \w+)', str(error))
    return f'out of {"GPU memory" if on_gpu else "memory"}' + (
        f' ({asked[1]} more were asked for)' if asked else ''
    )


def _explain_memory(cfg: Config, error: BaseException) -> str | None:
    fault = out_of_memory(error)
    if fault is None:
        return None
    loader = _loader(error)
    keys = [f'{loader}.batch_size', *(_MEMORY if loader == 'train_dataloader' else ())]
    values = {key: _value(cfg, key) for key in keys}
    lower = [f'{key} (now {value})' for key, value in values.items() if value is not None]
    if loader == 'train_dataloader':
        lower.append('the size or number of views in the train pipeline')
    precision = _value(cfg, 'optim_wrapper.type') or 'OptimWrapper'
    return (
        fault
        + f': lower {" or ".join(lower)}'
        + ('; or train with --amp' if precision == 'OptimWrapper' else '')
    )


def _worker_fault(cfg: Config, error: BaseException) -> str | None:
    text, loader = str(error), _loader(error)
    workers = f'{loader}.num_workers (now {_value(cfg, f"{loader}.num_workers")})'
    if waited := re.search(r'DataLoader timed out after (\S+) seconds', text):
        _end_workers()
        return (
            f'the data workers gave no batch for {waited[1]} seconds: storage hangs, or a '
            f'transform does not end; if reading is only slow, raise {loader}.timeout; '
            f'{loader}.num_workers=0 shows where it hangs'
        )
    if 'Bus error' in text and 'DataLoader worker' in text:
        return f'a data worker found no shared memory: enlarge /dev/shm, or lower {workers}'
    if died := re.search(r'DataLoader worker .*?(killed by signal: \w+|exited unexpectedly)', text):
        return (
            f'a data worker died ({died[1]}): most often the machine is out of memory; '
            f'lower {workers} or {loader}.batch_size'
        )
    return None


def _end_workers() -> None:
    """End the data workers, of which one hangs: it may not heed the signal of the loader."""
    # The loader watches for workers that die, which is no news now.
    watch = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in multiprocessing.active_children():
        worker.kill()
        worker.join()
    signal.signal(signal.SIGCHLD, watch)


def _lost_process(cfg: Config, error: BaseException) -> str | None:
    if not distributed.is_available() or not distributed.is_initialized():
        return None
    if isinstance(error, distributed.DistError) or re.search('gloo|NCCL', str(error)):
        reason = re.sub(r'^\[\S+\] ', '', str(error).strip().splitlines()[0])
        return (
            f'process {distributed.get_rank()} lost another process of this run, whose own message '
            f'tells why ({reason})'
        )
    return None


def _loader(error: BaseException) -> str:
    """Which data loader was being read, or its batch computed, when an error arose."""
    trace: TracebackType | None = error.__traceback__
    loop: Any = None
    while trace is not None:
        owner = trace.tb_frame.f_locals.get('self')
        loop = owner if isinstance(owner, BaseLoop) else loop
        trace = trace.tb_next
    names = {ValLoop: 'val_dataloader', TestLoop: 'test_dataloader'}
    return names.get(type(loop), 'train_dataloader')


def _value(cfg: Config, key: str) -> Any:
    node: Any = cfg
    for part in key.split('.'):
        node = node.get(part) if isinstance(node, Mapping | Config) else None
    return node
