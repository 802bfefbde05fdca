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
from ecl.registry import MODELS

EXAMPLES = Path(__file__).parents[2] / 'docs' / 'examples'


@pytest.fixture
def importable(monkeypatch, fresh_engine_state):
    monkeypatch.syspath_prepend(str(EXAMPLES))


def metrics_of(config, work_dir, epochs, **options):
    options = {'train_cfg.max_epochs': epochs, 'train_cfg.val_interval': epochs, **options}
    return train(EXAMPLES / config, work_dir=work_dir, cfg_options=options)['metrics']


@pytest.mark.parametrize('config', ['class_balanced_digits.py', 'plain_net_digits.py'])
def test_a_loss_and_a_backbone_train(config, importable, tmp_path):
    metrics = metrics_of(config, tmp_path, epochs=5)
    assert metrics['shot/overall'] > 20  # chance is 10


def test_the_loss_weights_by_the_effective_number(importable):
    from class_balanced_loss import ClassBalancedLoss

    loss = ClassBalancedLoss(beta=0.5)
    loss.set_class_counts([3, 1])
    logits, labels = torch.randn(2, 4, 2), torch.tensor([0, 1, 1, 0])
    weights = torch.tensor([0.5 / 0.875, 1.0])
    by_hand = torch.stack([F.cross_entropy(x, labels, weights) for x in logits]).mean()
    torch.testing.assert_close(loss(logits, labels), by_hand)


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
