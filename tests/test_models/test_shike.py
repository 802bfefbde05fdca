import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample
from torch import nn

from ecl.errors import UserError
from ecl.models import ExpertOutputs
from ecl.models.shike import DepthFusionBackbone, HardestNegativeLoss, hardest_negative_teacher
from ecl.registry import MODELS

K, N, C = 3, 6, 5
CIFAR = dict(type='ResNetCIFAR', depth=8, out_indices=(0, 1, 2))


def log_softmax(z):
    z = z - z.max()
    return z - np.log(np.exp(z).sum())


def reference(logits, labels):
    """Float64 NumPy, image by image, over lists of the wrong classes."""
    logits = logits.astype(np.float64)
    terms = []
    for n, y in enumerate(labels):
        wrong = [c for c in range(logits.shape[-1]) if c != y]
        mean = {c: np.mean(logits[:, n, c]) for c in wrong}
        hardest = max(wrong, key=mean.get)
        teacher = [mean[c] if c == hardest else logits[:, n, c].max() for c in wrong]
        t = log_softmax(np.array(teacher))
        for expert in logits[:, n]:
            terms.append((np.exp(t) * (t - log_softmax(expert[wrong]))).sum())
    return np.mean(terms)


def value(logits, labels, **options):
    return HardestNegativeLoss(**options)(ExpertOutputs((), logits), labels)


@pytest.mark.parametrize(('k', 'c'), [(K, C), (2, 2), (1, C), (3, 8142)])
def test_matches_the_reference(k, c):
    logits, labels = torch.randn(k, N, c) * 3, torch.randint(c, (N,))
    expected = 0.7 * reference(logits.numpy(), labels.numpy())
    assert value(logits, labels, loss_weight=0.7).item() == pytest.approx(
        expected, rel=1e-4, abs=1e-6
    )


def test_the_teacher_tones_down_the_hardest_negative_alone():
    logits = torch.tensor([[[9.0, 4.0, 1.0, 0.0]], [[9.0, 2.0, 2.0, -1.0]]])
    target = torch.tensor([[True, False, False, False]])
    teacher = hardest_negative_teacher(logits, target)
    assert teacher.tolist() == [[-np.inf, 3.0, 2.0, 0.0]]


def test_equal_experts_with_nothing_to_learn_have_no_loss():
    logits = torch.randn(1, N, C).expand(K, N, C)
    assert value(logits, torch.randint(C, (N,))).item() == pytest.approx(0, abs=1e-6)


def test_the_logit_of_the_target_has_no_part():
    logits, labels = torch.randn(K, N, C), torch.randint(C, (N,))
    moved = logits.clone()
    moved[:, torch.arange(N), labels] += 5
    torch.testing.assert_close(value(moved, labels), value(logits, labels))


def test_gradient_reaches_the_student_alone():
    labels = torch.randint(C, (N,))
    logits = torch.randn(K, N, C, dtype=torch.double, requires_grad=True)
    target = nn.functional.one_hot(labels, C).bool()
    teacher = hardest_negative_teacher(logits, target).softmax(-1)
    (grad,) = torch.autograd.grad(value(logits, labels, loss_weight=1.0), logits)
    student = logits.detach().masked_fill(target, -torch.inf).softmax(-1)
    torch.testing.assert_close(grad, (student - teacher) / (K * N))


@pytest.mark.parametrize('scale', [0.0, 1e4, 1e30])
def test_extreme_logits_stay_finite(scale):
    logits = (scale * torch.randn(K, N, C)).requires_grad_()
    loss = value(logits, torch.randint(C, (N,)))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_bfloat16_is_close():
    logits, labels = torch.randn(K, N, C), torch.randint(C, (N,))
    loss = value(logits.bfloat16(), labels, loss_weight=1.0)
    assert loss.item() == pytest.approx(value(logits, labels, loss_weight=1.0).item(), rel=0.1)


def test_two_halves_of_a_batch_average_to_the_whole():
    logits, labels = torch.randn(K, N, C), torch.randint(C, (N,))
    halves = [value(logits[:, i::2], labels[i::2]) for i in range(2)]
    torch.testing.assert_close(sum(halves) / 2, value(logits, labels))


def test_mixed_labels_and_negative_weights_are_refused():
    with pytest.raises(UserError, match='HardestNegativeLoss'):
        value(torch.randn(K, N, C), torch.full((N, C), 1 / C))
    with pytest.raises(UserError, match=r'HardestNegativeLoss\.loss_weight'):
        HardestNegativeLoss(loss_weight=-1)


def test_an_expert_is_its_last_map_times_a_neck_on_an_earlier_one():
    net = DepthFusionBackbone(CIFAR, num_experts=3, shared_stages=2).eval()
    net.init_weights()
    x = torch.rand(2, 3, 16, 16)
    outputs = net(x)
    trunk = net.experts[0]
    stem = torch.relu(trunk.norm1(trunk.conv1(x)))
    first = trunk.layer1(stem)
    second = trunk.layer2(first)
    for k, (out, earlier) in enumerate(zip(outputs, [first, second, first], strict=True)):
        fused = earlier
        for step, module in enumerate(net.necks[k]):
            fused = module.bn(nn.functional.conv2d(fused, module.conv.weight, None, 2, 1))
            fused = torch.relu(fused) if step == 0 else fused
        torch.testing.assert_close(out, net.experts[k].layer3(second) * fused)


def test_the_necks_make_one_step_a_stage():
    net = DepthFusionBackbone(CIFAR, num_experts=3)
    sizes = [[tuple(m.conv.weight.shape[:2]) for m in neck] for neck in net.necks]
    assert sizes == [[(32, 16), (64, 32)], [(64, 32)], [(32, 16), (64, 32)]]


def test_the_neck_of_one_is_the_plain_network_if_it_returns_ones():
    net = DepthFusionBackbone(CIFAR, num_experts=1).eval()
    norm = net.necks[0][-1].bn
    nn.init.zeros_(norm.weight), nn.init.ones_(norm.bias)
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(net(x)[0], net.experts[0](x)[-1])


FAMILIES = {
    'ResNetCIFAR': (CIFAR, 2),
    'ResNet': (dict(type='ResNet', depth=18, out_indices=(0, 1, 2, 3)), 3),
    'ConvNeXt': (
        dict(
            type='ConvNeXt',
            arch=dict(depths=[1, 1, 1, 1], channels=[8, 12, 16, 20]),
            out_indices=(0, 1, 2, 3),
            gap_before_final_norm=False,
        ),
        3,
    ),
    'SwinTransformer': (
        dict(
            type='SwinTransformer',
            img_size=64,
            arch=dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2]),
            window_size=2,
            out_indices=(1, 2, 3),
        ),
        3,
    ),
}


@pytest.mark.parametrize('kind', FAMILIES)
@pytest.mark.parametrize('shared', [False, True])
def test_trains_a_step(kind, shared):
    cfg, shared_stages = FAMILIES[kind]
    backbone = dict(
        type='DepthFusionBackbone',
        backbone=cfg,
        num_experts=3,
        shared_stages=shared_stages if shared else 0,
    )
    head = dict(
        type='ECLHead',
        num_classes=C,
        label_loss=dict(type='CrossEntropyLoss'),
        expert_losses=dict(hardest_negative=dict(type='HardestNegativeLoss')),
    )
    model = MODELS.build(dict(type='ECLClassifier', backbone=backbone, head=head)).train()
    model.init_weights()
    samples = [DataSample().set_gt_label(i % C) for i in range(4)]
    losses = model(torch.rand(4, 3, 64, 64), samples, mode='loss')
    assert losses.keys() == {'label_loss', 'hardest_negative_loss'}
    sum(losses.values()).backward()
    necks = [p.grad for n, p in model.named_parameters() if 'necks' in n]
    assert all(grad is not None and grad.isfinite().all() for grad in necks)
    assert model.eval()(torch.rand(2, 3, 64, 64)).shape == (2, C)


@pytest.mark.parametrize(
    'cfg',
    [
        dict(type='ResNetCIFAR', depth=8),
        dict(
            type='VisionTransformer',
            img_size=64,
            arch=dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=16),
            out_indices=(0, 1, 2),
        ),
    ],
)
def test_a_backbone_without_maps_of_several_stages_is_refused(cfg):
    with pytest.raises(UserError, match='out_indices'):
        DepthFusionBackbone(cfg)


@pytest.mark.parametrize('k', range(3))
def test_an_expert_kept_alone_keeps_its_depth(k):
    net = DepthFusionBackbone(CIFAR, num_experts=3, shared_stages=2)
    net.eval()
    x = torch.rand(2, 3, 16, 16)
    expected = net(x)[k]
    net.keep(k)
    (alone,) = net(x)
    torch.testing.assert_close(alone, expected)
    assert len(net.necks) == 1
