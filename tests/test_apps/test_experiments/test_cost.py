import torch
from torch import nn

from ecl.apis import load_config
from ecl.apps.experiments.cost import model_cost
from ecl.registry import MODELS


def test_counts_what_predicts_one_image(digits_config):
    cfg = load_config(digits_config)
    cost = model_cost(cfg)
    model = MODELS.build(cfg.model).eval()
    seen = []

    def count(layer, inputs, output):
        seen.append(output.numel() * layer.weight[0].numel())

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    model(torch.rand(1, 3, 8, 8))
    assert cost['multiply_adds'] == sum(seen)
    copy = sum(p.numel() for p in model.contrast.momentum_encoder.parameters())
    assert cost['parameters'] == sum(p.numel() for p in model.parameters()) - copy
    assert cost['views'] == 2


def test_one_view(digits_config):
    one = dict(type='PackInputs')
    options = {'train_dataloader.dataset.dataset.pipeline': [one], 'model.contrast': None}
    cost = model_cost(load_config(digits_config, cfg_options=options))
    assert cost['views'] == 1
