from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from ecl.errors import UserError
from ecl.models import ContrastiveNeck, ExpertOutputs, MomentumContrast, MultiExpertBackbone
from ecl.registry import MODELS

K, Q = 2, 10


def build(**options):
    backbone = MultiExpertBackbone(dict(type='ResNetCIFAR', depth=8), num_experts=K)
    encoder = nn.Sequential(backbone, MODELS.build(dict(type='GlobalAveragePooling')))
    neck = dict(type='ContrastiveNeck', hid_channels=16, out_channels=8)
    options = {'queue_size': Q, 'momentum': 0.9, **options}
    contrast = MomentumContrast(encoder, in_channels=64, num_experts=K, neck=neck, **options)
    # As after init_weights or a pretrained checkpoint: the online network has moved on.
    with torch.no_grad():
        for p in encoder.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return encoder, contrast


def loss_of(contrast, feats, key_view):
    outputs = ExpertOutputs(feats, torch.zeros(K, len(key_view), 3))
    return contrast(outputs, torch.zeros(len(key_view), dtype=torch.long), [key_view])


def step(encoder, contrast, num_images=4):
    views = torch.rand(2, num_images, 3, 16, 16)
    return loss_of(contrast, encoder(views[0]), views[1])


def floating_state(module):
    return {k: v.clone() for k, v in module.state_dict().items() if v.is_floating_point()}


def test_copy_starts_equal_to_the_online_network():
    encoder, contrast = build()
    contrast.update()
    online = nn.Sequential(encoder, contrast.neck).state_dict()
    for key, value in contrast.momentum_encoder.state_dict().items():
        assert torch.equal(value, online[key]), key


def test_copy_follows_parameters_and_statistics_by_the_recurrence():
    encoder, contrast = build(momentum=0.3)
    contrast.update()
    for t in range(1, 8):
        with torch.no_grad():
            for p in list(encoder.parameters()) + list(contrast.neck.parameters()):
                p.add_(torch.randn_like(p))
            for name, buffer in encoder.named_buffers():
                if name.endswith('running_mean'):
                    buffer.add_(torch.randn_like(buffer))
        before = floating_state(contrast.momentum_encoder)
        online = floating_state(nn.Sequential(encoder, contrast.neck))
        contrast.update()
        m = min(0.3, t / (t + 9))
        for key, value in floating_state(contrast.momentum_encoder).items():
            expected = m * before[key].double() + (1 - m) * online[key].double()
            torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-5)
    assert contrast.updates == 8


def test_loss_is_info_nce_against_the_queue():
    encoder, contrast = build(temperature=0.2, loss_weight=0.5)
    queue = contrast.queue.double().numpy()
    view, key_view = torch.rand(2, 4, 3, 16, 16)
    feats = encoder(view)
    value = loss_of(contrast, feats, key_view)
    queries = [q.detach().double().numpy() for q in contrast.neck(feats)]
    keys = [k.double().numpy() for k in contrast.momentum_encoder(key_view)]
    terms = []
    for expert in range(K):
        for q, k in zip(queries[expert], keys[expert], strict=True):
            logits = np.concatenate([[q @ k], q @ queue[expert]]) / 0.2
            terms.append(np.log(np.exp(logits).sum()) - logits[0])
    assert value.item() == pytest.approx(0.5 * np.mean(terms), rel=1e-4)


@pytest.mark.parametrize('batches', [[4, 4, 4], [3, 7, 5], [10, 1], [1] * 11])
def test_queue_holds_the_newest_keys_whatever_the_batch(batches):
    _, contrast = build()
    history = []
    for number, size in enumerate(batches):
        keys = torch.full((K, size, 8), float(number)) + torch.arange(size).view(1, -1, 1) / 100
        contrast.enqueue(keys)
        history += keys[0, :, 0].tolist()
    newest = sorted(history[-Q:])
    stored = sorted(contrast.queue[0, 0].tolist())
    np.testing.assert_allclose(stored[-len(newest) :], newest, rtol=1e-6)
    assert contrast.queue.shape == (K, 8, Q)


def test_a_queue_shorter_than_the_batch_is_refused():
    _, contrast = build(queue_size=4)
    with pytest.raises(UserError, match='queue_size: got 4, expected at least 5'):
        contrast.enqueue(torch.rand(K, 5, 8))


def test_queue_and_copy_never_enter_the_gradient():
    encoder, contrast = build()
    step(encoder, contrast).backward()
    assert not contrast.queue.requires_grad
    assert all(p.grad is None for p in contrast.momentum_encoder.parameters())
    learning = list(encoder.parameters()) + list(contrast.neck.parameters())
    assert all(p.grad is not None for p in learning)


def test_two_steps_before_backward_do_not_spoil_the_graph():
    encoder, contrast = build()
    (step(encoder, contrast) + step(encoder, contrast)).backward()


def test_copy_stays_in_evaluation_mode():
    _, contrast = build()
    contrast.train()
    before = floating_state(contrast.momentum_encoder)
    with torch.no_grad():
        contrast.momentum_encoder(torch.rand(4, 3, 16, 16))
    after = floating_state(contrast.momentum_encoder)
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert contrast.neck.training


def test_matching_views_are_easier_than_strangers():
    encoder, contrast = build()
    view = torch.rand(4, 3, 16, 16)
    encoder.eval()
    contrast.update()
    same = loss_of(contrast, encoder(view), view)
    other = loss_of(contrast, encoder(view), view.flip(0))
    assert same < other


@pytest.mark.parametrize(
    'options',
    [{'momentum': 1.5}, {'momentum': -0.1}, {'temperature': 0}, {'queue_size': 0}],
)
def test_bad_options_are_named(options):
    with pytest.raises(UserError, match=next(iter(options))):
        build(**options)


def test_projects_each_expert_by_its_own_perceptron_to_unit_length():
    neck = ContrastiveNeck(8, num_experts=2, hid_channels=6, out_channels=4)
    feat = torch.randn(3, 8)
    first, second = neck((feat, feat))
    assert first.shape == (3, 4)
    torch.testing.assert_close(first.norm(dim=1), torch.ones(3))
    assert not torch.allclose(first, second)
    expected = neck.projections[0].mlp(feat)
    torch.testing.assert_close(first, expected / expected.norm(dim=1, keepdim=True))


def test_it_follows_the_network_after_a_move_and_a_copy():
    encoder, contrast = build()
    contrast.update()
    model = nn.ModuleList([encoder, contrast])
    for moved in (deepcopy(model), model.double().float()):
        online, copy = moved
        with torch.no_grad():
            for value in online.state_dict().values():
                value.add_(1)
        before = floating_state(copy.momentum_encoder)
        copy.update()
        after = floating_state(copy.momentum_encoder)
        for name in ('conv1.weight', 'bn1.running_mean', 'bn1.running_var'):
            key = f'0.0.experts.0.{name}'
            assert not torch.equal(before[key], after[key]), name


def test_queue_and_momentum_encoder_are_updated_in_place():
    encoder, contrast = build()
    places = {k: v.data_ptr() for k, v in contrast.state_dict().items()}
    step(encoder, contrast).backward()
    assert {k: v.data_ptr() for k, v in contrast.state_dict().items()} == places
