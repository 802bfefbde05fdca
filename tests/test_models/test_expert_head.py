import pytest
import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample
from torch import nn

from ecl.errors import UserError
from ecl.models import ECLHead
from ecl.registry import MODELS, build_part

K, N, D, C = 3, 5, 8, 4
DISTILL = dict(distill=dict(type='ReweightedDistillLoss', weighting=dict(type='DistillWeighting')))
BETWEEN_EXPERTS = (
    'ReweightedDistillLoss',
    'FeatureDistillLoss',
    'RelationDistillLoss',
    'NCLLoss',
    'ConsensusErrorLoss',
    'ExpertDiversityLoss',
    'HardestNegativeLoss',
)
TWO = dict(reading='shared_labels', expert_losses=DISTILL)


def build(**options):
    options = {'label_loss': dict(type='BalancedSoftmaxLoss'), 'num_experts': K, **options}
    head = ECLHead(num_classes=C, in_channels=D, **options)
    head.init_weights()
    for module in head.modules():
        if hasattr(module, 'set_class_counts'):
            module.set_class_counts(range(1, C + 1))
    return head


def features(num_experts=K):
    return tuple(torch.randn(N, D) for _ in range(num_experts))


def samples():
    return [DataSample().set_gt_label(i % C) for i in range(N)]


def labels():
    return torch.arange(N) % C


def test_each_expert_owns_two_classifiers():
    head, feats = build(**TWO), features()
    outputs = head.outputs(feats)
    for k in range(K):
        torch.testing.assert_close(outputs.logits[k], head.label_classifiers[k](feats[k]))
        torch.testing.assert_close(outputs.aux_logits[k], head.distill_classifiers[k](feats[k]))


def test_ensemble_is_the_mean_of_the_experts_logits():
    head, feats = build(**TWO), features()
    expected = sum(head.label_classifiers[k](feats[k]) for k in range(K)) / K
    torch.testing.assert_close(head(feats), expected)


@pytest.mark.parametrize('predict_with', ['label', 'distill', 'both'])
def test_predict_with(predict_with):
    head, feats = build(**TWO, predict_with=predict_with), features()
    outputs = head.outputs(feats)
    a, d = outputs.logits, outputs.aux_logits
    expected = {'label': a, 'distill': d, 'both': (a + d) / 2}[predict_with]
    torch.testing.assert_close(head.expert_logits(outputs), expected)
    torch.testing.assert_close(head(feats), expected.mean(0))


def test_one_expert_alone_can_predict():
    head, feats = build(**TWO, expert=1), features()
    torch.testing.assert_close(head(feats), head.outputs(feats).logits[1])


@pytest.mark.parametrize('predict_with', ['label', 'distill'])
def test_predictions_carry_the_scores_of_ensemble_experts_and_classifiers(predict_with):
    head, feats = build(**TWO, predict_with=predict_with), features()
    predictions = head.predict(feats, samples())
    outputs = head.outputs(feats)

    def stacked(name, dim=0):
        return torch.stack([p.get(name) for p in predictions], dim)

    scores = stacked('pred_score')
    torch.testing.assert_close(scores, head(feats).softmax(-1))
    experts = head.expert_logits(outputs).softmax(-1)
    torch.testing.assert_close(stacked('expert_scores', 1), experts)
    torch.testing.assert_close(stacked('label_score'), outputs.logits.mean(0).softmax(-1))
    torch.testing.assert_close(stacked('distill_score'), outputs.aux_logits.mean(0).softmax(-1))
    torch.testing.assert_close(scores, stacked(f'{predict_with}_score'))
    assert [p.pred_label.item() for p in predictions] == scores.argmax(1).tolist()
    assert [p.gt_label.item() for p in predictions] == labels().tolist()


@pytest.mark.parametrize('expert', [None, 2])
def test_the_scores_of_either_classifier_follow_the_aggregator_and_the_expert(expert):
    head, feats = (
        build(**TWO, aggregator=dict(type='WeightedAggregator'), expert=expert),
        features(),
    )
    weights = torch.tensor([0.5, 0.5, 0.0] if expert is None else [0.0, 0.0, 1.0])
    if expert is None:
        head.aggregator.weights.copy_(weights)
    outputs = head.outputs(feats)
    predictions = head.predict(feats, samples())
    for name, logits in (('label_score', outputs.logits), ('distill_score', outputs.aux_logits)):
        expected = (weights[:, None, None] * logits).sum(0).softmax(-1)
        torch.testing.assert_close(torch.stack([p.get(name) for p in predictions]), expected)


@pytest.mark.parametrize('kind', ['MeanAggregator', 'WeightedAggregator', 'RouterAggregator'])
def test_an_expert_kept_alone_predicts_without_the_others(kind):
    head, feats = build(**TWO, aggregator=dict(type=kind)), features()
    expected = head.outputs(feats).logits[1]
    head.keep(1)
    torch.testing.assert_close(head(feats[1:2]), expected)
    (first, *_) = head.predict(feats[1:2], samples())
    assert first.expert_scores.shape == (1, C)


def test_one_classifier_gives_no_second_score():
    (first, *_) = build().predict(features(), samples())
    assert 'distill_score' not in first


def test_every_parameter_learns_and_every_loss_has_an_entry():
    losses = dict(**DISTILL, feature=dict(type='FeatureDistillLoss'))
    head = build(reading='peers_only', expert_losses=losses)
    losses = head.loss(features(), samples())
    assert set(losses) == {'label_loss', 'distill_loss', 'feature_loss'}
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in head.parameters())


def test_labels_alone_do_not_teach_the_second_classifier_of_peers_only():
    head = build(reading='peers_only', expert_losses=DISTILL)
    losses = head.loss(features(), samples())
    losses['label_loss'].backward(retain_graph=True)
    assert all(p.grad is None for p in head.distill_classifiers.parameters())
    losses['distill_loss'].backward()
    assert all(p.grad is not None for p in head.distill_classifiers.parameters())


def test_labels_teach_both_classifiers_of_shared_labels():
    head, feats = build(**TWO), features()
    outputs = head.outputs(feats)
    terms = [
        head.loss_module[0](logits[k], labels())
        for logits in (outputs.logits, outputs.aux_logits)
        for k in range(K)
    ]
    expected = torch.stack(terms).mean()
    torch.testing.assert_close(head.loss(feats, samples())['label_loss'], expected)


def test_peers_do_not_reach_the_classifier_that_predicts():
    head = build(**TWO)
    head.loss(features(), samples())['distill_loss'].backward()
    assert all(p.grad is None for p in head.label_classifiers.parameters())


def test_one_expert_has_no_peers(capfd):
    head, feats = build(num_experts=1, **TWO), features(1)
    assert 'model.head.expert_losses: got distill and' in ''.join(capfd.readouterr())
    assert set(head.loss(feats, samples())) == {'label_loss'}
    torch.testing.assert_close(head(feats), head.label_classifiers[0](feats[0]))
    assert len(list(head.parameters())) == 2


def test_one_expert_keeps_the_losses_that_need_no_peers(capfd):
    part = dict(type=Returns, make=lambda logits: logits.square().mean())
    losses = {**DISTILL, 'feature': dict(type='FeatureDistillLoss'), 'influence': part}
    head, feats = build(num_experts=1, expert_losses=losses), features(1)
    assert 'got distill, feature and' in ''.join(capfd.readouterr())
    found = head.loss(feats, samples())
    assert set(found) == {'label_loss', 'influence_loss'}
    torch.testing.assert_close(found['influence_loss'], head.outputs(feats).logits.square().mean())


@pytest.mark.parametrize('kind', BETWEEN_EXPERTS)
def test_the_losses_between_experts_need_peers(kind):
    head = build(num_experts=1, expert_losses=dict(one=dict(type=kind)))
    assert not head.expert_losses


def test_no_second_classifier_in_the_single_reading():
    distill = dict(distill=dict(type='ReweightedDistillLoss'))
    assert build(expert_losses=distill).distill_classifiers is None


@pytest.mark.parametrize(
    ('loss', 'expected'),
    [
        (dict(type='CrossEntropyLoss'), lambda z, y: F.cross_entropy(z, y)),
        (
            dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
            lambda z, y: F.cross_entropy(z, y, label_smoothing=0.1),
        ),
        (dict(type='FocalLoss', gamma=0.0, alpha=0.5), None),
        (dict(type='SeesawLoss'), None),
    ],
)
def test_losses_of_mmpretrain_are_label_losses(loss, expected):
    head, feats = build(label_loss=loss), features()
    result = head.loss(feats, samples())['label_loss']
    if expected is None:  # the loss itself is the reference
        reference = build_part(loss, num_classes=C)
        terms = [reference(z, labels()) for z in head.outputs(feats).logits]
    else:
        terms = [expected(z, labels()) for z in head.outputs(feats).logits]
    torch.testing.assert_close(result, torch.stack(terms).mean())
    result.backward()


@pytest.mark.parametrize('kind', ['BalancedSoftmaxLoss', 'CrossEntropyLoss'])
def test_mixed_labels_reach_the_label_loss(kind):
    head, feats = build(label_loss=dict(type=kind)), features()
    mixed = torch.rand(N, C).softmax(-1)
    soft = [DataSample().set_gt_label(0).set_gt_score(row) for row in mixed]
    terms = [head.loss_module[0](z, mixed) for z in head.outputs(feats).logits]
    torch.testing.assert_close(head.loss(feats, soft)['label_loss'], torch.stack(terms).mean())


def test_a_loss_that_counts_labels_refuses_mixed_ones():
    head, feats = build(label_loss=dict(type='SeesawLoss')), features()
    soft = [DataSample().set_gt_label(0).set_gt_score(torch.full((C,), 1 / C)) for _ in range(N)]
    with pytest.raises(UserError, match=r'SeesawLoss needs hard labels'):
        head.loss(feats, soft)


@pytest.mark.parametrize('two', [{}, TWO])
def test_every_expert_may_have_a_label_loss_of_its_own(two):
    losses = [dict(type='BalancedSoftmaxLoss', tau=tau) for tau in (-1.0, 0.0, 1.0)]
    head, feats = build(label_loss=losses, **two), features()
    outputs = head.outputs(feats)
    terms = [
        loss(z, labels())
        for logits in ([outputs.logits, outputs.aux_logits] if two else [outputs.logits])
        for loss, z in zip(head.loss_module, logits, strict=True)
    ]
    torch.testing.assert_close(head.loss(feats, samples())['label_loss'], torch.stack(terms).mean())


def test_losses_are_computed_in_float32_under_mixed_precision():
    seen = []

    @MODELS.register_module(force=True)
    class Watch(nn.Module):
        def forward(self, outputs, targets):
            seen.extend([outputs.logits.dtype, outputs.feats[0].dtype])
            seen.append((outputs.feats[0] @ outputs.feats[0].T).dtype)
            return outputs.logits.sum()

    head = build(expert_losses=dict(watch=dict(type='Watch')))
    with torch.autocast('cpu', torch.bfloat16):
        head.loss(tuple(f.bfloat16() for f in features()), samples())
    assert set(seen) == {torch.float32}


def test_a_loss_receives_the_shapes_that_it_names():
    @MODELS.register_module(force=True)
    class NamesClasses(nn.Module):
        def __init__(self, num_classes):
            super().__init__()
            self.num_classes = num_classes

    assert build_part(dict(type='NamesClasses'), num_classes=9, num_experts=2).num_classes == 9


def test_a_loss_within_a_loss_receives_them_too():
    class NamesAll(nn.Module):
        def __init__(self, num_classes, num_experts, in_channels, reading):
            super().__init__()
            self.known = (num_classes, num_experts, in_channels, reading)

    named = dict(type=NamesAll)
    loss = dict(type='TwoStageLoss', first=named, second=named)
    head = build(label_loss=loss, reading='peers_only')
    assert [one.known for one in head.loss_module[0].losses] == [(C, K, D, 'peers_only')] * 2


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'predict_with': 'labels'}, 'predict_with'),
        ({'expert': 3}, 'expert: got 3, expected 0 to 2'),
        ({'in_channels': None}, 'in_channels: got None, expected a whole number'),
        ({'reading': 'peers'}, 'reading'),
        ({'label_loss': [dict(type='CrossEntropyLoss')] * 2}, 'label_loss'),
        ({'num_classes': 1}, 'num_classes'),
        *(
            (
                {'expert_losses': {name: dict(type='FeatureDistillLoss')}},
                rf"expert_losses: got \['{name}'\]",
            )
            for name in ('label', 'aggregator', 'contrast')
        ),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(UserError, match=message):
        ECLHead(**{'num_classes': C, 'in_channels': D, 'num_experts': K, **options})


@pytest.mark.parametrize(
    ('number', 'width', 'message'),
    [
        (K + 1, D, f'num_experts: got {K}, expected {K + 1}'),
        (K, D + 1, f'in_channels: got {D}, expected {D + 1}'),
    ],
)
def test_features_that_do_not_fit_are_named(number, width, message):
    head = ECLHead(num_classes=C, in_channels=D, num_experts=K)
    with pytest.raises(UserError, match=message):
        head(tuple(torch.rand(2, width) for _ in range(number)))


def test_the_second_stage_has_the_label_losses_alone():
    head, feats = build(**TWO), features()
    assert head.loss(feats, samples()).keys() == {'label_loss', 'distill_loss'}
    head.set_stage(2)
    assert head.loss(feats, samples()).keys() == {'label_loss'}


@pytest.mark.parametrize('classifier', [dict(type='Linear'), dict(type='CosineLinear', scale=30.0)])
def test_a_margin_needs_the_cosine(classifier):
    def head():
        return build(classifier=classifier, label_loss=dict(type='LDAMLoss', reweight_from=1))

    if classifier['type'] == 'CosineLinear':
        head()
    else:
        with pytest.raises(UserError, match=r'classifier: got .*CosineLinear.*LDAMLoss'):
            head()


@pytest.mark.parametrize('scaled', [dict(type='ScaledLinear'), dict(type='CosineLinear', scale=16)])
def test_a_margin_needs_its_own_scale_also_within_a_loss(scaled):
    margin = dict(type='LDAMLoss', reweight_from=1)
    plain = dict(type='CrossEntropyLoss')
    two = dict(type='TwoStageLoss', first=plain, second=margin)
    for loss in (margin, two):
        with pytest.raises(UserError, match=r'classifier: got .*CosineLinear.*scale=30'):
            build(classifier=scaled, label_loss=loss)
    build(classifier=scaled, label_loss=plain)


class Returns(nn.Module):
    """A part that returns what a function makes of the logits."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, outputs, targets=None):
        return self.make(getattr(outputs, 'logits', outputs))


WRONG = [
    (lambda logits: None, 'returned None'),
    (lambda logits: 0.5, 'returned a float'),
    (lambda logits: logits.sum(-1).flatten(), r'returned a tensor of shape \(\d+,\)'),
]


@pytest.mark.parametrize(('make', 'message'), WRONG)
def test_a_loss_that_is_no_scalar_is_named(make, message):
    part = dict(type=Returns, make=make)
    expected = rf'\(Returns\) {message}, expected a scalar tensor'
    head = build(expert_losses=dict(mine=part))
    with pytest.raises(UserError, match=rf'^model\.head\.expert_losses\.mine {expected}'):
        head.loss(features(), samples())
    head = build(label_loss=part)
    with pytest.raises(UserError, match=rf'^model\.head\.label_loss {expected}'):
        head.loss(features(), samples())
    head = build(label_loss=[dict(type='CrossEntropyLoss'), part, part])
    with pytest.raises(UserError, match=rf'^model\.head\.label_loss\.1 {expected}'):
        head.loss(features(), samples())


def test_a_label_loss_without_a_gradient_is_named():
    head = build(label_loss=dict(type=Returns, make=lambda z: z.detach().exp().mean()))
    with pytest.raises(UserError, match=r'^model\.head\.label_loss \(Returns\) has no gradient'):
        head.loss(features(), samples())
    with torch.no_grad():  # as in a validation
        assert head.loss(features(), samples())['label_loss'] > 0


def test_a_label_loss_may_be_constantly_0():
    head = build(label_loss=dict(type=Returns, make=lambda z: z.new_zeros(())), **TWO)
    losses = head.loss(features(), samples())
    assert losses['label_loss'] == 0
    assert losses['distill_loss'].requires_grad


def test_an_aggregator_that_keeps_the_experts_is_named():
    head = build(aggregator=dict(type=Returns, make=lambda z: z))
    message = (
        r'^model\.head\.aggregator \(Returns\) returned logits of shape \(3, 5, 4\), expected '
        r'\(N, C\) = \(5, 4\)'
    )
    with pytest.raises(UserError, match=message):
        head.predict(features())
