"""Checkpoint files from anywhere, opened without running what is in them."""

import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import barrier, is_main_process
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, get_torchvision_models
from torch.hub import download_url_to_file, get_dir

from ecl.errors import UserError

_trusted: ContextVar[bool] = ContextVar('trusted', default=False)


def _statistic(cls: type, name: str) -> Any:
    """Stand in for ``getattr``, by which a HistoryBuffer names its statistics."""
    if cls is not HistoryBuffer or name not in ('min', 'max', 'mean', 'current'):
        raise UserError(f'it asks for {name} of {cls}')
    return getattr(cls, name)


_reconstruct = np.empty(0).__reduce__()[0]
_scalar = np.float64(0).__reduce__()[0]

#: What a checkpoint may name beside tensors and plain data, which PyTorch itself admits: numpy's
#: arrays and numbers, under their paths in numpy 1 and 2, and the engine's log.
ADMITTED: list[Any] = [
    *((_reconstruct, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')),
    *((_scalar, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
    np.ndarray,
    np.dtype,
    *{type(np.dtype(kind)) for kind in '?bhilqBHILQefd'},
    HistoryBuffer,
    *((_statistic, f'{module}.getattr') for module in ('builtins', '__builtin__')),
]


@contextmanager
def trust_checkpoints(trusted: bool = True) -> Iterator[None]:
    """Let the checkpoints opened inside run what code they hold.

    Args:
        trusted: False changes nothing.

    Example:
        >>> with trust_checkpoints():  # doctest: +SKIP
        ...     test('config.py', 'from_a_friend.pth')
    """
    token = _trusted.set(trusted or _trusted.get())
    try:
        yield
    finally:
        _trusted.reset(token)


def trusts_checkpoints() -> bool:
    """Whether a checkpoint opened now may run code."""
    return _trusted.get()


def load_from_file(path: str | Path, map_location: Any = 'cpu') -> Any:
    """Read a file that ``torch.save`` wrote.

    The sums of its parts are compared first: PyTorch alone would take a flipped bit in a weight
    for the weight.

    Args:
        path: The file.
        map_location: Where the tensors go, as in :func:`torch.load`.

    Returns:
        What was saved.

    Raises:
        UserError: If the file is missing or damaged, or names anything but tensors, plain data and
            ``ADMITTED`` and is not trusted by :func:`trust_checkpoints`.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f'checkpoint {path} does not exist')
    _check_sums(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(ADMITTED):
            warnings.simplefilter('ignore')  # of the unpickler, about foreign files
            return torch.load(path, map_location, weights_only=not _trusted.get())
    # Whatever a damaged or foreign file makes the unpickler do, the file is what has to change.
    except Exception as error:
        raise UserError(f'{path} cannot be loaded: {_reason(error)}') from error


def _check_sums(path: Path) -> None:
    """Raise UserError if a part of the file is not what was written; older files hold no sums."""
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    except Exception as error:  # of a damaged directory anything may come
        raise UserError(f'{path} cannot be loaded: it is damaged ({error})') from error
    if damaged:
        raise UserError(f'{path} cannot be loaded: it is damaged (in its part {damaged})')


def _reason(error: Exception) -> str:
    foreign = re.search(r'GLOBAL (\S+)', str(error))
    if foreign or isinstance(error, UserError):
        asked = f'it asks for {foreign[1]}' if foreign else error
        return (
            f'{asked}, which is no plain data and could run anything; if you know where the file '
            'comes from and trust it, add --trust-checkpoint'
        )
    return 'it is damaged, or no checkpoint of tensors and plain data'


def load_from_url(url: str, map_location: Any = None) -> Any:
    """Download once, then read as any file."""
    path = Path(get_dir(), 'checkpoints', url.partition('?')[0].rpartition('/')[2])
    if is_main_process() and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            download_url_to_file(url, str(path))
        except OSError as error:
            raise UserError(f'{url} cannot be downloaded: {error}') from error
    barrier()
    return load_from_file(path, map_location)


def load_from_torchvision(name: str, map_location: Any = None) -> Any:
    """Download the weights that torchvision has under ``torchvision://<name>``."""
    urls = get_torchvision_models()
    model = name.partition('://')[2]
    if model not in urls:
        raise UserError(f'{name}: torchvision has no such weights')
    return load_from_url(urls[model], map_location)


def load_from_nowhere(name: str, map_location: Any = None) -> Any:
    """Refuse a source that the engine knows but whose files cannot be examined first."""
    raise UserError(f'{name}: download the file, and give its path')


# The engine's own loaders run the code of a file that holds any, after a warning. Its Runner, hooks
# and ``init_cfg`` all ask this table.
_LOADERS = {
    '': load_from_file,
    'http://': load_from_url,
    'https://': load_from_url,
    'torchvision://': load_from_torchvision,
    'modelzoo://': load_from_torchvision,
}
for _prefix in list(CheckpointLoader._schemes):
    _loader = _LOADERS.get(_prefix, load_from_nowhere)
    CheckpointLoader.register_scheme(_prefix, _loader, force=True)
