import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ecl.apis import load_config
from ecl.apps.experiments.cost import _BACKWARD, cost_figure, model_cost, spread_apart
from ecl.datasets import in_memory
from ecl.engine.methods.linear_probe import LinearProbeLoop
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


def test_images_in_memory_are_not_all_decoded(digits_config, monkeypatch):
    monkeypatch.setattr(in_memory, '_decode', lambda *args: pytest.fail('decodes all'))
    inner = load_config(digits_config).train_dataloader.dataset
    inner.dataset.pipeline = [dict(type='PackInputs')]
    options = {
        'train_dataloader.dataset': dict(_delete_=True, type='InMemoryDataset', dataset=inner),
        'data_preprocessor.type': 'MultiViewDataPreprocessor',
        'data_preprocessor.views': [[dict(type='BatchRandomFlip')]] * 2,
    }
    cost = model_cost(load_config(digits_config, cfg_options=options))
    assert cost == model_cost(load_config(digits_config))


@pytest.mark.parametrize('loop', ['LinearProbeLoop', LinearProbeLoop])
def test_a_linear_probe_trains_the_classifier_on_features(digits_config, loop):
    probe = load_config(digits_config.parents[1] / 'linear_probe/linear_probe_r8_digits-lt.py')
    probe.train_cfg.type = loop
    cost = model_cost(probe)
    assert cost['parameters'] == 10 * 64 + 10
    assert cost['training_multiply_adds'] == cost['multiply_adds'] > 0


def test_a_training_step_costs_what_hooks_count(digits_config):
    """A convolution or product costs as much again for its inputs and its weights backwards."""
    options = {
        'train_dataloader.dataset.dataset.pipeline': [dict(type='PackInputs')],
        'model.contrast': None,
        'model.head.expert_losses': None,
    }
    cost = model_cost(load_config(digits_config, cfg_options=options))
    # The first layer of each expert needs no gradient of its input.
    stems = 3 * 16 * 27 * 64
    assert cost['training_multiply_adds'] == 3 * cost['multiply_adds'] - stems


def test_the_figure_names_every_row_with_a_cost_once_in_each_panel():
    lines = [
        dict(
            name=name, mean=dict(overall=value, few=value / 2), cost=dict(training_multiply_adds=c)
        )
        for name, value, c in (('a', 40, 10), ('b', 40, 10), ('c', 50, 31))
    ]
    figure = cost_figure([*lines, dict(name='variant', mean=dict(overall=1.0))])
    for axes in figure.axes:
        assert sorted(text.get_text() for text in axes.texts) == ['a', 'b', 'c']
        assert axes.lines[0].get_xdata().tolist() == [1, 1, 3.1]
        sides = {text.get_text(): text.get_ha() for text in axes.texts}
        assert sides == {'a': 'right', 'b': 'right', 'c': 'left'}  # of points further right


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12), st.floats(0.1, 10))
def test_labels_are_spread_apart_in_their_order(values, gap):
    values = np.array(values)
    moved = spread_apart(values, gap)
    assert (np.diff(np.sort(moved)) >= gap - 1e-6).all()
    assert moved.mean() == pytest.approx(values.mean(), abs=1e-6)
    assert (np.diff(moved[np.argsort(values, kind='stable')]) > 0).all()


@pytest.mark.parametrize(('groups', 'kernel'), [(1, 3), (8, 3), (8, 1)])
def test_grouped_convolutions_are_counted_as_what_they_compute(groups, kernel):
    layer = nn.Conv2d(8, 16, kernel, groups=groups, bias=False)
    x = torch.rand(2, 8, 10, 10, requires_grad=True)
    with FlopCounterMode(display=False, custom_mapping=_BACKWARD) as counter:
        layer(x).sum().backward()
    pixels = 2 * (11 - kernel) ** 2
    assert counter.get_total_flops() == 3 * 2 * pixels * layer.weight.numel()
