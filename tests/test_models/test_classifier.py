import pytest
import torch
from mmpretrain.structures import DataSample
from torch import nn

from ecl.errors import UserError
from ecl.registry import MODELS

N, C = 4, 5
HEAD = dict(
    type='ECLHead',
    num_classes=C,
    reading='shared_labels',
    expert_losses=dict(
        distill=dict(type='ReweightedDistillLoss', weighting=dict(type='DistillWeighting')),
        feature=dict(type='FeatureDistillLoss'),
    ),
)


def tell_counts(model):
    for module in model.modules():
        if hasattr(module, 'set_class_counts'):
            module.set_class_counts(range(1, C + 1))


def build(contrast='MomentumContrast', num_experts=3, model_options=None, **head):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='ECLClassifier',
            backbone=dict(
                type='MultiExpertBackbone',
                num_experts=num_experts,
                backbone=dict(type='ResNetCIFAR', depth=8),
            ),
            head={**HEAD, **head},
            contrast=dict(type=contrast, queue_size=16) if contrast else None,
            data_preprocessor=dict(mean=[0.0] * 3, std=[255.0] * 3),
            **(model_options or {}),
        )
    )
    model.init_weights()
    tell_counts(model)
    return model


def batch(num_views=2):
    views = [torch.rand(N, 3, 16, 16) for _ in range(num_views)]
    samples = [DataSample().set_gt_label(i % C) for i in range(N)]
    return views if num_views > 1 else views[0], samples


def test_one_step_reports_each_loss_and_reaches_every_parameter():
    model = build().train()
    losses = model(*batch(), mode='loss')
    assert set(losses) == {'label_loss', 'distill_loss', 'feature_loss', 'contrast_loss'}
    sum(losses.values()).backward()
    missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing


def test_one_expert_without_contrast_is_an_ordinary_classifier():
    model = build(contrast=False, num_experts=1).train()
    assert set(model(*batch(1), mode='loss')) == {'label_loss'}
    assert model(batch(1)[0]).shape == (N, C)


def test_a_plain_backbone_is_one_expert():
    model = MODELS.build(
        dict(
            type='ECLClassifier',
            backbone=dict(type='ResNetCIFAR', depth=8),
            head=dict(type='ECLHead', num_classes=C),
        )
    )
    assert model.head.num_experts == 1
    assert model(torch.rand(N, 3, 16, 16)).shape == (N, C)


def test_contrast_without_a_second_view_says_what_is_missing():
    with pytest.raises(UserError, match='MultiView'):
        build().train()(*batch(1), mode='loss')


class OwnViews(nn.Module):
    """A contrastive branch that makes its second view itself."""

    needs_views = 1

    def __init__(self, queue_size):
        super().__init__()

    def mix_views(self, views, targets):
        return [*views, views[0].flip(-1)], targets

    def forward(self, outputs, targets, views):
        return views[0].mean() + 0 * outputs.logits.sum()


def test_contrast_that_makes_its_own_views_gets_one():
    model = build(contrast=OwnViews).train()
    images, samples = batch(1)
    losses = model(images, samples, mode='loss')
    torch.testing.assert_close(losses['contrast_loss'], 3 * images.mean())


def test_labels_meet_the_first_view():
    model = build(contrast=False).eval()
    views, samples = batch()
    mean = model.head.loss(model.extract_feat(views[0]), samples)
    expected = {name: 3 * value for name, value in mean.items()}
    torch.testing.assert_close(model(views, samples, mode='loss'), expected)


def test_an_expert_learns_at_the_rate_of_a_single_network():
    views, samples = batch()
    model = build(contrast=False, num_experts=3, reading='single', expert_losses=None).train()
    alone = build(contrast=False, num_experts=1, reading='single').train()
    alone.backbone.experts[0].load_state_dict(model.backbone.experts[1].state_dict())
    alone.head.label_classifiers[0].load_state_dict(model.head.label_classifiers[1].state_dict())
    for network in (model, alone):
        network(views[0], samples, mode='loss')['label_loss'].backward()
    for p, q in zip(
        alone.backbone.parameters(), model.backbone.experts[1].parameters(), strict=True
    ):
        torch.testing.assert_close(p.grad, q.grad)


def test_without_momentum_encoder_and_queue_it_predicts_the_same():
    model = build().eval()
    state = {k: v for k, v in model.state_dict().items() if not k.startswith('contrast.')}
    bare = build(contrast=False).eval()
    bare.load_state_dict(state, strict=True)
    x = torch.rand(N, 3, 16, 16)
    assert torch.equal(model(x), bare(x))


def test_the_momentum_encoder_is_not_initialised_again_nor_trained():
    model = build()
    assert not any(p.requires_grad for p in model.contrast.momentum_encoder.parameters())
    names = {n.split('.')[0] for n, _ in model.named_parameters()}
    assert names == {'backbone', 'head', 'contrast'}


def test_mixed_precision_trains():
    model = build().train()
    with torch.autocast('cpu', torch.bfloat16):
        losses = model(*batch(), mode='loss')
    assert all(value.dtype == torch.float32 and value.isfinite() for value in losses.values())
    sum(losses.values()).backward()


def test_experts_may_share_the_rate_of_one_network():
    views, samples = batch(1)
    added, mean = (
        build(contrast=False, model_options=dict(expert_reduction=how)).eval()
        for how in ('sum', 'mean')
    )
    for name, loss in mean(views, samples, mode='loss').items():
        torch.testing.assert_close(added(views, samples, mode='loss')[name], 3 * loss)


@pytest.mark.parametrize('kind', ['Mixup', 'CutMix'])
def test_mixed_images_meet_mixed_labels(kind):
    augments = dict(augments=[dict(type=kind, alpha=1.0)])
    model = build(contrast=False, model_options=dict(train_cfg=augments)).train()
    images, samples = batch(1)
    data = dict(inputs=255 * images.clone(), data_samples=samples)
    packed = model.data_preprocessor(data, training=True)
    targets = model.head.targets(packed['data_samples'])
    assert targets.shape == (N, C)
    torch.testing.assert_close(targets.sum(1), torch.ones(N))
    assert ((targets > 0).sum(1) == 2).any()
    # The share of an image in the mixture is the weight of its label.
    for k, mixed in enumerate(packed['inputs']):
        others = [images[j] for j in range(N) if targets[k, j % C] > 0 and j != k]
        share = targets[k, k % C]
        if kind == 'Mixup' and others:
            torch.testing.assert_close(mixed, share * images[k] + (1 - share) * others[0])
    model.eval()
    outputs = model.head.outputs(model.extract_feat(packed['inputs']))
    expected = 3 * model.head.losses(outputs, targets)['label_loss']
    torch.testing.assert_close(model(**packed, mode='loss')['label_loss'], expected)


def test_mixing_applies_in_training_only():
    augments = dict(augments=[dict(type='Mixup', alpha=1.0)])
    model = build(contrast=False, model_options=dict(train_cfg=augments))
    images, samples = batch(1)
    packed = model.data_preprocessor(dict(inputs=images.clone(), data_samples=samples))
    torch.testing.assert_close(packed['inputs'], images / 255)


def test_a_contrastive_branch_that_returns_no_loss_is_named():
    model = build().train()
    model.contrast.forward = lambda outputs, targets, views: None
    with pytest.raises(UserError, match=r'^model\.contrast \(MomentumContrast\) returned None'):
        model(*batch(), mode='loss')
