import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ecl.apis.checkpoint import latest_checkpoint
from ecl.apps.predict import predict
from ecl.apps.review import read_thresholds, review
from ecl.datasets import Digits
from ecl.errors import UserError


@pytest.fixture(scope='module')
def reviewed(digits_run, tmp_path_factory):
    out = tmp_path_factory.mktemp('review')
    page = review(digits_run, accuracy=0.9, out=out)
    assert page == out / 'review.html'
    return out


def test_the_page_shows_images_and_loads_nothing(reviewed):
    page = (reviewed / 'review.html').read_text()
    assert page.count('<img src="data:image/png') > 10
    assert 'http' not in page.replace('http-equiv', '')
    for heading in ('Abstaining', 'Classes to photograph next', 'Worst errors', 'Likely wrong'):
        assert heading in page


def test_every_class_has_a_threshold(reviewed):
    content = json.loads((reviewed / 'thresholds.json').read_text())
    assert content['accuracy'] == 0.9
    names = list(map(str, range(10)))
    assert sorted(content['thresholds']) == names
    limits = read_thresholds(reviewed / 'thresholds.json', names)
    assert limits.shape == (10,) and (limits > 0).all()


def test_thresholds_that_none_reaches_are_told(digits_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('ecl.apps.review.class_thresholds', lambda *_: np.full(10, np.inf))
    page = review(digits_run, accuracy=0.9, out=tmp_path)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if 'No threshold' in line]
    assert line.startswith('No threshold reaches 90% on ')
    assert line in page.read_text()


def test_likely_wrong_labels_are_disagreements_and_the_most_doubtful_come_first(reviewed):
    found = pd.read_csv(reviewed / 'wrong_labels.csv')
    assert len(found) and (found.label != found.predicted).all()
    assert found.doubt.is_monotonic_decreasing
    labels = [Digits(split='test')[int(place)]['gt_label'] for place in found.place]
    assert labels == found.label.tolist()


def test_a_prediction_below_the_threshold_is_not_sure(digits_run, tmp_path, capsys):
    for index in range(3):
        Image.fromarray(Digits(split='test')[index]['img']).save(tmp_path / f'{index}.png')
    checkpoint = latest_checkpoint(digits_run)
    scores = [r.guesses[0].score for r in predict(checkpoint, tmp_path, device='cpu')]
    limit = float(np.median(scores))
    file = tmp_path / 'thresholds.json'
    file.write_text(json.dumps({'thresholds': {str(c): limit for c in range(10)}}))
    capsys.readouterr()
    results = predict(checkpoint, tmp_path, device='cpu', thresholds=file)
    assert [r.accepted for r in results if not r.fault] == [score >= limit for score in scores]
    assert capsys.readouterr().out.count('(not sure)') == 1


@pytest.mark.parametrize(
    ('content', 'message'),
    [('{}', 'thresholds'), ('[', 'thresholds'), ('{"thresholds": {"0": 0.5}}', "'1'")],
)
def test_thresholds_of_another_model_are_refused(tmp_path, content, message):
    file = tmp_path / 'thresholds.json'
    file.write_text(content)
    with pytest.raises(UserError, match=message):
        read_thresholds(file, ['0', '1'])
    with pytest.raises(UserError, match='absent'):
        read_thresholds(tmp_path / 'absent.json', ['0', '1'])


def test_a_folder_without_a_training_is_refused(tmp_path):
    with pytest.raises(UserError, match='no checkpoint'):
        review(tmp_path)


def test_a_checkpoint_is_refused_with_its_work_dir(digits_run):
    with pytest.raises(UserError, match=rf'is a file\. Give the work dir: {digits_run}$'):
        review(digits_run / 'epoch_3.pth')


def test_a_percentage_is_refused_before_the_work(tmp_path):
    with pytest.raises(UserError, match='--accuracy: got 95, expected a share'):
        review(tmp_path, accuracy=95)
