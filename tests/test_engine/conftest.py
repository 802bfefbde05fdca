"""A training of a second: two linear experts on random vectors, in a real Runner."""

import uuid
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils.data import Dataset

from ecl.engine import ResumableRunner
from ecl.models.losses import DistillWeighting
from ecl.models.outputs import ExpertOutputs

COUNTS = [120, 40, 6]
DIMENSION = 4


class Vectors(Dataset):
    """Class c lies around corner c; training adds noise from the generator named."""

    def __init__(self, counts=COUNTS, split='train', num_named=None, noise='torch'):
        self.labels = np.repeat(np.arange(len(counts)), counts)
        names = [f'kind{c}' for c in range(num_named or len(counts))]
        self.metainfo = {'classes': names}
        self.split = split
        self.noise = noise

    def get_gt_labels(self):
        return self.labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        label = int(self.labels[index])
        vector = torch.eye(DIMENSION)[label]
        if self.split == 'train':
            draw = torch.randn if self.noise == 'torch' else np.random.randn
            vector += 0.3 * torch.as_tensor(draw(DIMENSION)).float()
        return {'inputs': vector, 'data_samples': DataSample().set_gt_label(label)}


class Experts(BaseModel):
    def __init__(self, num_classes=3, compares=True):
        super().__init__()
        self.label_layers = nn.ModuleList(nn.Linear(DIMENSION, num_classes) for _ in range(2))
        self.distill_layers = nn.ModuleList(nn.Linear(DIMENSION, num_classes) for _ in range(2))
        self.comparison = DistillWeighting(2, num_classes) if compares else None
        self.head = SimpleNamespace(num_classes=num_classes)
        self.batches = []
        self.weights = []

    def forward(self, inputs, data_samples=None, mode='tensor'):
        vectors = torch.stack(inputs)
        by_labels, by_peers = (
            torch.stack([layer(vectors) for layer in layers])
            for layers in (self.label_layers, self.distill_layers)
        )
        if mode == 'predict':
            scores = by_labels.softmax(-1)
            for sample, expert_scores in zip(data_samples, scores.transpose(0, 1), strict=True):
                sample.set_pred_score(expert_scores.mean(0))
                sample.set_field(expert_scores, 'expert_scores')
            return data_samples
        labels = torch.cat([sample.gt_label for sample in data_samples])
        self.batches.append(vectors)
        if self.comparison is not None:
            outputs = ExpertOutputs((), by_labels, by_peers)
            self.weights.append((labels, self.comparison(outputs, labels)))
        losses = [nn.functional.cross_entropy(x, labels) for x in (*by_labels, *by_peers)]
        return {'loss': sum(losses)}


@pytest.fixture
def make_runner(tmp_path):
    """Build a runner that trains ``make_runner.Experts`` on ``make_runner.Vectors``."""

    def make(hooks, model=None, dataset=None, max_epochs=2, loader=None, seed=0, **settings):
        loader = {'batch_size': 32, 'num_workers': 0, **(loader or {})}
        validation = dict(
            batch_size=32,
            num_workers=0,
            dataset=Vectors([5, 5, 5], split='val'),
            sampler=dict(type='DefaultSampler', shuffle=False),
        )
        settings = {
            'work_dir': str(tmp_path / 'run'),
            'val_cfg': dict(),
            'val_dataloader': validation,
            'val_evaluator': dict(type='ShotAccuracy'),
            'train_cfg': dict(by_epoch=True, max_epochs=max_epochs),
            'optim_wrapper': dict(optimizer=dict(type='SGD', lr=0.1)),
            'default_hooks': dict(logger=dict(type='LoggerHook', interval=2)),
            **settings,
        }
        return ResumableRunner(
            model=model or Experts(),
            train_dataloader=dict(
                dataset=dataset or Vectors(),
                **{'sampler': dict(type='DefaultSampler', shuffle=True), **loader},
            ),
            custom_hooks=[dict(type=hook) if isinstance(hook, str) else hook for hook in hooks],
            randomness=dict(seed=seed),
            default_scope='ecl',
            experiment_name=uuid.uuid4().hex,
            **settings,
        )

    make.Experts, make.Vectors = Experts, Vectors
    return make
