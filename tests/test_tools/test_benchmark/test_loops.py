from copy import deepcopy
from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample

from _loops import PILViews, build_loops, train_step
from ecl.apis import load_config
from ecl.registry import MODELS

DIGITS = Path(__file__).parents[3] / 'configs' / 'ecl' / 'ecl_r8_digits-lt.py'


@pytest.fixture
def cfg():
    init_default_scope('ecl')
    return load_config(DIGITS)


@pytest.fixture
def model(cfg):
    torch.manual_seed(0)
    model = MODELS.build({**cfg.model, 'data_preprocessor': cfg.data_preprocessor})
    for module in model.modules():
        if hasattr(module, 'set_class_counts'):
            module.set_class_counts(range(10, 0, -1))
    return model.train()


@pytest.fixture
def batch() -> dict:
    views = [torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8) for _ in range(2)]
    return {'inputs': views, 'data_samples': [DataSample().set_gt_label(i % 10) for i in range(16)]}


def test_the_bare_step_updates_the_model_as_the_engine_does(cfg, model, batch):
    bare = deepcopy(model)
    packed = bare.data_preprocessor(batch, training=True)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    optimizer = build_optim_wrapper(bare, cfg.optim_wrapper).optimizer
    for _ in range(2):
        model.train_step(batch, wrapper)
        with_precision = lambda: wrapper.optim_context(model)  # noqa: E731
        train_step(bare, optimizer, packed['inputs'], packed['data_samples'], with_precision)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(bare.state_dict()[name], value, rtol=0, atol=0)


def test_loops_leave_the_model_alone(cfg, model, batch):
    before = deepcopy(model.state_dict())
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    loops = build_loops(
        model, wrapper, batch, lambda copy: build_optim_wrapper(copy, cfg.optim_wrapper).optimizer
    )
    assert list(loops) == ['bare', 'experts', 'momentum', 'reference']
    for step in loops.values():
        step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(before[name], value, rtol=0, atol=0)


def test_a_model_without_contrast_has_one_view_and_no_momentum_encoder(cfg, batch):
    plain = {key: value for key, value in cfg.model.items() if key != 'contrast'}
    model = MODELS.build({**plain, 'data_preprocessor': cfg.data_preprocessor}).train()
    for module in model.modules():
        if hasattr(module, 'set_class_counts'):
            module.set_class_counts(range(10, 0, -1))
    batch = {**batch, 'inputs': batch['inputs'][0]}
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    loops = build_loops(
        model, wrapper, batch, lambda copy: build_optim_wrapper(copy, cfg.optim_wrapper).optimizer
    )
    assert list(loops) == ['bare', 'experts', 'reference']
    for step in loops.values():
        step()


def test_views_keep_size_and_vary():
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    views = PILViews(images, num_views=2)
    first, second = views(), views()
    assert [view.shape for view in first] == [(3, 3, 16, 16)] * 2
    assert all(view.dtype == torch.float32 for view in first)
    assert not torch.equal(first[0], second[0])


def test_one_view_for_a_model_without_contrast():
    assert len(PILViews(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), num_views=1)()) == 1
