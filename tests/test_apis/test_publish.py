import hashlib

import pytest
import torch

from ecl.apis import Predictor, publish
from ecl.apis import test as evaluate
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


def test_the_name_ends_in_the_sum_and_the_content_repeats(published, digits_run, tmp_path):
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    assert published.name == f'digits-{digest[:8]}.pth'
    again = publish(digits_run / 'epoch_3.pth', tmp_path / 'other.pth')
    assert again.read_bytes() == published.read_bytes()


def test_it_predicts_and_tests_as_before(published, digits_run, digits_config, tmp_path):
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
