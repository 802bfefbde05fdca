import hashlib

import pytest
import torch

from ecl.apis import Predictor
from ecl.apis import test as evaluate
from ecl.apps.publish import publish
from ecl.checkpoint_file import load_checkpoint, trust_checkpoints
from ecl.datasets import Digits
from ecl.errors import UserError


class _Stranger:
    pass


@pytest.fixture(scope='module')
def published(digits_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp('published')
    return publish(digits_run / 'epoch_3.pth', folder / 'digits.pth')


def test_only_what_predicts_is_left(published, digits_run):
    before, after = load_checkpoint(digits_run / 'epoch_3.pth'), load_checkpoint(published)
    assert after.keys() == {'meta', 'state_dict'}
    gone = before['state_dict'].keys() - after['state_dict'].keys()
    assert gone
    assert all(key.startswith('contrast.') for key in gone)
    assert str(digits_run) not in after['meta']['cfg']
    assert after['meta']['class_counts'] == before['meta']['class_counts']


@pytest.mark.parametrize(
    'initial',
    [
        "dict(type='Pretrained', checkpoint='/home/me/x.pth')",
        "[dict(type='Kaiming'), dict(type='Pretrained', checkpoint='/home/me/x.pth')]",
    ],
)
@pytest.mark.parametrize('prefix', ["'/home/me/images'", "dict(img_path='/home/me/images')"])
def test_folders_of_the_training_are_left_out(digits_run, tmp_path, initial, prefix):
    content = load_checkpoint(digits_run / 'epoch_3.pth')
    places = f"data_root='/home/me', data_prefix={prefix}, split='test'"
    text = content['meta']['cfg'].replace("split='test'", places)
    text = text.replace('depth=8', f'depth=8, init_cfg={initial}')
    assert '/home/me/images' in text and '/home/me/x.pth' in text
    content['meta']['cfg'] = text + "\ndata_root = '/home/me/birds'\n"
    torch.save(content, tmp_path / 'a.pth')
    published = publish(tmp_path / 'a.pth', tmp_path / 'b.pth')
    text = load_checkpoint(published)['meta']['cfg']
    assert '/home/me' not in text
    assert ('Kaiming' in text) == ('Kaiming' in initial)
    assert Predictor(published, 'cpu').num_experts == 3


def test_the_name_ends_in_the_sum_and_the_content_repeats(published, digits_run, tmp_path):
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    assert published.name == f'digits-{digest[:8]}.pth'
    again = publish(digits_run / 'epoch_3.pth', tmp_path / 'other.pth')
    assert again.read_bytes() == published.read_bytes()


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_it_predicts_and_tests_as_before(published, digits_run, digits_config, tmp_path, suffix):
    published = published.with_suffix(suffix)
    images = [Digits(split='test')[i]['img'] for i in range(9)]
    one, two = (Predictor(file, 'cpu')(images) for file in (digits_run / 'epoch_3.pth', published))
    assert all((a.scores == b.scores).all() for a, b in zip(one, two, strict=True))
    metrics = [
        evaluate(digits_config, file, work_dir=tmp_path)['shot/few']
        for file in (digits_run / 'epoch_3.pth', published)
    ]
    assert metrics[0] == metrics[1]


def test_a_file_that_runs_code_is_refused(digits_run, tmp_path, monkeypatch):
    content = load_checkpoint(digits_run / 'epoch_3.pth')
    monkeypatch.setattr(_Stranger, '__module__', 'builtins')
    monkeypatch.setattr('builtins._Stranger', _Stranger, raising=False)
    torch.save({**content, 'extra': _Stranger()}, tmp_path / 'a.pth')
    with pytest.raises(UserError, match=r'a\.pth cannot be loaded'):
        publish(tmp_path / 'a.pth')
    with trust_checkpoints():
        assert load_checkpoint(tmp_path / 'a.pth')
    assert [file.name for file in tmp_path.iterdir()] == ['a.pth']


def test_of_a_trusted_file_only_what_is_safe_is_published(digits_run, tmp_path, monkeypatch):
    content = load_checkpoint(digits_run / 'epoch_3.pth')
    monkeypatch.setattr(_Stranger, '__module__', 'builtins')
    monkeypatch.setattr('builtins._Stranger', _Stranger, raising=False)
    torch.save({**content, 'extra': _Stranger()}, tmp_path / 'a.pth')
    content['meta'] = {**content['meta'], 'seed': _Stranger()}
    torch.save(content, tmp_path / 'b.pth')
    with trust_checkpoints():
        published = publish(tmp_path / 'a.pth')
        with pytest.raises(UserError, match=r'b\.pth: its meta holds more than tensors'):
            publish(tmp_path / 'b.pth')
    assert 'extra' not in load_checkpoint(published)
