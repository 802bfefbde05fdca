"""The examples of the guide on extending train as they stand there."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from PIL import Image
from torch.nn import functional as F

from ecl.apis import load_config, train
from ecl.models import ExpertOutputs
from ecl.registry import MODELS

EXAMPLES = Path(__file__).parents[2] / 'docs' / 'examples'


@pytest.fixture
def importable(monkeypatch, fresh_engine_state):
    monkeypatch.syspath_prepend(str(EXAMPLES))


def metrics_of(config, work_dir, epochs, **options):
    options = {'train_cfg.max_epochs': epochs, 'train_cfg.val_interval': epochs, **options}
    return train(EXAMPLES / config, work_dir=work_dir, cfg_options=options)['metrics']


@pytest.mark.parametrize(
    'config', ['poly_loss_digits.py', 'consensus_digits.py', 'plain_net_digits.py']
)
def test_a_loss_a_method_and_a_backbone_train(config, importable, tmp_path):
    metrics = metrics_of(config, tmp_path, epochs=5)
    assert metrics['shot/overall'] > 20  # chance is 10


def test_the_label_loss_without_its_term_is_cross_entropy(importable):
    from poly_loss import PolyLoss

    logits, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    expected = F.cross_entropy(logits, labels)
    torch.testing.assert_close(PolyLoss(0)(logits, labels), expected)
    rest = 1 - logits.softmax(-1)[range(4), labels]
    torch.testing.assert_close(PolyLoss(2)(logits, labels), expected + 2 * rest.mean())


def test_the_consensus_is_the_mean_prediction(importable):
    from consensus import ConfidenceAggregator, ConsensusLoss

    outputs = ExpertOutputs((), torch.randn(2, 4, 3))
    p = outputs.logits.softmax(-1)
    mean = p.mean(0)
    by_hand = (mean * (mean.log() - p.log())).sum(-1).mean()
    torch.testing.assert_close(ConsensusLoss()(outputs, torch.zeros(4)), by_hand)
    c = p.amax(-1, keepdim=True)
    expected = (c[0] * outputs.logits[0] + c[1] * outputs.logits[1]) / (c[0] + c[1])
    torch.testing.assert_close(ConfidenceAggregator()(outputs), expected)


def test_a_dataset_trains(importable, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'data' / 'birds'
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, numbers in (('train', (20, 8, 4)), ('test', (4, 4, 4))):
        with (folder / f'{split}.csv').open('w', newline='') as file:
            table = csv.writer(file)
            table.writerow(['image', 'class'])
            for label, (name, number) in enumerate(
                zip(('heron', 'owl', 'wren'), numbers, strict=True)
            ):
                for i in range(number):
                    pixels = rng.integers(0, 80, (32, 32, 3), np.uint8)
                    pixels[..., label] += 150
                    path = f'{split}-{name}-{i}.png'
                    Image.fromarray(pixels).save(folder / path)
                    table.writerow([path, name])
    metrics = metrics_of(
        'csv_birds.py',
        tmp_path / 'work',
        epochs=1,
        **{
            'model.backbone.backbone.depth': 8,
            'train_dataloader.num_workers': 0,
            'val_dataloader.num_workers': 0,
        },
    )
    assert 0 <= metrics['shot/overall'] <= 100


def test_a_backbone_of_mmpretrain_needs_no_code(importable):
    cfg = load_config(EXAMPLES / 'mobilenet_cifar100.py')
    init_default_scope('ecl')
    cfg.model.contrast.queue_size = 8
    model = MODELS.build(cfg.model)
    feats = model.extract_feat(torch.rand(2, 3, 32, 32))
    assert model.head(feats).shape == (2, 100)
