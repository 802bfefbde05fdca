"""Turn errors that a user can correct into one line that says what to change."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.config import Config
from torch import distributed

from ecl.apis.config_check import value_at, walk
from ecl.errors import UserError
from ecl.registry import type_name
from ecl.settings import SettingError

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
#: Out-of-memory messages of torch, CUDA, cuDNN, cuBLAS, NCCL and the CPU allocator.
_OUT_OF_MEMORY = re.compile(r'out of memory|ALLOC_FAILED|DefaultCPUAllocator', re.IGNORECASE)


@contextmanager
def explain_faults(cfg: Config, source: str) -> Iterator[None]:
    """Raise a UserError for common errors that a user can correct.

    These are: an argument that is out of range, with its dotted key; memory that ran out; a data
    worker that died or gave no batch; the end of another process of the run; a package that a
    library asks to install.

    Args:
        cfg: The configuration of the run.
        source: Its file name, for the message.

    Raises:
        UserError: Instead of these errors. Other exceptions are not changed.
    """
    try:
        yield
    except SettingError as error:
        raise UserError(f'{source}: {_key(cfg, error)}: {error.fault}') from error
    except ImportError as error:
        if 'pip install' not in str(error):
            raise
        raise UserError(f'{source}: {" ".join(str(error).split())}') from error
    except (RuntimeError, MemoryError) as error:
        for explain in (_explain_memory, _worker_fault, _lost_process):
            if line := explain(cfg, error):
                raise UserError(line) from error
        raise


def out_of_memory(error: BaseException) -> str | None:
    """Return which memory ran out and how much more was needed. None for other errors."""
    text = str(error)
    if not (isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(text)):
        return None
    on_cpu = isinstance(error, MemoryError) or 'DefaultCPUAllocator' in text
    asked = re.search(r'[Tt]ried to allocate ([\d.]+ \w+)', text)
    return f'out of {"memory" if on_cpu else "GPU memory"}' + (
        f' ({asked[1]} more were needed)' if asked else ''
    )


def _key(cfg: Config, error: SettingError) -> str:
    """Return the dotted key of a setting: under its owner, else the key with the same value."""
    nodes = list(walk(cfg))
    owned = [(path, node) for path, node in nodes if type_name(node) == error.owner]
    same = [
        path
        for path, node in owned or nodes
        if error.name in node and node[error.name] == error.value
    ]
    paths = same or [path for path, _ in owned]
    return f'{paths[0]}.{error.name}' if paths else f'{error.owner}.{error.name}'


def _explain_memory(cfg: Config, error: BaseException) -> str | None:
    fault = out_of_memory(error)
    if fault is None:
        return None
    lower = [*_now(cfg, 'batch_size'), *_named(cfg, 'model.backbone.num_experts')]
    return f'{fault}: lower {" or ".join(lower)}, or the size of the images; or use --amp'


def _worker_fault(cfg: Config, error: BaseException) -> str | None:
    text, workers = str(error), ' or '.join(_now(cfg, 'num_workers'))
    if waited := re.search(r'DataLoader timed out after (\S+) seconds', text):
        return (
            f'the data workers gave no batch for {waited[1]} seconds: the storage hangs or a '
            'transform does not end. If reading is only slow, increase the timeout of the data '
            'loader; num_workers=0 shows where it hangs.'
        )
    if 'Bus error' in text and 'DataLoader worker' in text:
        return f'a data worker found no shared memory: enlarge /dev/shm, or lower {workers}'
    if died := re.search(r'DataLoader worker .*?(killed by signal: \w+|exited unexpectedly)', text):
        return (
            f'a data worker died ({died[1]}), most often because the machine is out of memory: '
            f'lower {workers} or batch_size'
        )
    return None


def _lost_process(cfg: Config, error: BaseException) -> str | None:
    if not distributed.is_available() or not distributed.is_initialized():
        return None
    if isinstance(error, distributed.DistError) or re.search('gloo|NCCL', str(error)):
        reason = re.sub(r'^\[\S+\] ', '', str(error).strip().splitlines()[0])
        return (
            f'rank {distributed.get_rank()} lost another process of this run; see the message of '
            f'that process ({reason})'
        )
    return None


def _now(cfg: Config, key: str) -> list[str]:
    """Return a setting of the data loaders with its values."""
    return [text for loader in LOADERS for text in _named(cfg, f'{loader}.{key}')]


def _named(cfg: Config, key: str) -> list[str]:
    """Return a dotted key with its value, if it has one."""
    value = value_at(cfg, key)
    return [] if value is None else [f'{key} (now {value})']
