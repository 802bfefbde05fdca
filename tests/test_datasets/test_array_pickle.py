import collections
import os
import pickle
import subprocess

import numpy as np
import pytest

from ecl.datasets.array_pickle import load_array_pickle
from ecl.errors import UserError


class _Runs:
    """Unpickling it calls a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('protocol', [0, 1, 2, 3, 4])
def test_arrays_come_back(protocol):
    content = {
        'data': np.arange(12, dtype=np.uint8).reshape(3, 4),
        'labels': [1, 2],
        'raw': b'\xff',
    }
    loaded = load_array_pickle(pickle.dumps(content, protocol), 'batch')
    np.testing.assert_array_equal(loaded['data'], content['data'])
    assert loaded['data'].dtype == np.uint8
    assert (loaded['labels'], loaded['raw']) == ([1, 2], b'\xff')


@pytest.mark.parametrize('protocol', [0, 2, 4])
@pytest.mark.parametrize('where', [lambda x: x, lambda x: {'data': [x]}])
def test_nothing_is_run(tmp_path, protocol, where):
    trace = tmp_path / 'was-here'
    harmful = _Runs(os.mkdir, str(trace))
    with pytest.raises(UserError, match=r'data_batch_1 asks to run (posix|nt)\.mkdir'):
        load_array_pickle(pickle.dumps(where(harmful), protocol), 'data_batch_1')
    assert not trace.exists()


@pytest.mark.parametrize(
    'harmful',
    [
        _Runs(eval, '1'),
        _Runs(getattr, 'text', 'format'),
        _Runs(subprocess.Popen, ['true']),
        _Runs(np.load, 'file.npy'),
        collections.OrderedDict(a=1),
        np.save,
    ],
    ids=['eval', 'getattr', 'Popen', 'numpy.load', 'harmless type', 'numpy function'],
)
def test_every_other_name_is_refused(harmful):
    with pytest.raises(UserError, match='asks to run'):
        load_array_pickle(pickle.dumps(harmful), 'batch')


def test_dotted_names_do_not_reach_through_an_admitted_one():
    # Protocol 4 may ask for an attribute of a name: numpy / ndarray.tofile.
    data = pickle.dumps(np.ndarray.tofile, 4)
    with pytest.raises(UserError, match='asks to run'):
        load_array_pickle(data, 'batch')


def test_cut_file():
    with pytest.raises(UserError, match='batch is not a complete pickle'):
        load_array_pickle(pickle.dumps({'data': np.zeros(9)}, 2)[:-20], 'batch')
    with pytest.raises(UserError, match='batch is not a complete pickle'):
        load_array_pickle(b'', 'batch')
