"""Pickles that hold arrays, read without letting them run code."""

import _codecs
import io
import pickle
from typing import Any

import numpy as np

from ecl.errors import UserError

_reconstruct = np.empty(0).__reduce__()[0]

#: The only names such a pickle may call upon: those that rebuild numpy arrays, under their paths
#: in numpy 1 and 2, and the one by which protocol 2 writes bytes.
_ADMITTED = {
    ('numpy.core.multiarray', '_reconstruct'): _reconstruct,
    ('numpy._core.multiarray', '_reconstruct'): _reconstruct,
    ('numpy', 'ndarray'): np.ndarray,
    ('numpy', 'dtype'): np.dtype,
    ('_codecs', 'encode'): _codecs.encode,
}


def load_array_pickle(data: bytes, name: str) -> Any:
    """Unpickle containers, numbers, strings and numpy arrays, and nothing else.

    Args:
        data: The pickle. Strings written by Python 2 are read as latin-1.
        name: What to call it in an error, such as its path.

    Returns:
        What was pickled.

    Raises:
        UserError: If the pickle asks for any other name, or is damaged.
    """
    return _ArrayUnpickler(io.BytesIO(data), name).load()


class _ArrayUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, name: str) -> None:
        super().__init__(file, encoding='latin1')
        self.name = name

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise UserError(
                f'{self.name} asks to run {module}.{name}, which no plain array file does; '
                'it was not opened: replace it by the original'
            )
        return _ADMITTED[module, name]

    def load(self) -> Any:
        try:
            return super().load()
        except UserError:
            raise
        # Whatever a damaged pickle makes the unpickler do, the file is what has to change.
        except Exception as error:
            raise UserError(
                f'{self.name} is not a complete pickle ({error}); replace it by the original'
            ) from error
