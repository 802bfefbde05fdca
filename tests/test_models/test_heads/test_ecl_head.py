import pytest
import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample
from torch import nn

from ecl.errors import UserError
from ecl.models import ECLHead
from ecl.models.heads.ecl_head import build_loss
from ecl.registry import MODELS

K, N, D, C = 3, 5, 8, 4
DISTILL = dict(type='ReweightedDistillLoss')


def build(**options):
    options = {'label_loss': dict(type='BalancedSoftmaxLoss'), 'num_experts': K, **options}
    head = ECLHead(num_classes=C, in_channels=D, **options)
    head.init_weights()
    if hasattr(head.loss_module, 'set_class_counts'):
        head.loss_module.set_class_counts(range(1, C + 1))
    return head


def features(num_experts=K):
    return tuple(torch.randn(N, D) for _ in range(num_experts))


def samples():
    return [DataSample().set_gt_label(i % C) for i in range(N)]


def test_each_expert_owns_two_classifiers():
    head, feats = build(distill_loss=DISTILL), features()
    by_labels, by_peers = head.classify(feats)
    for k in range(K):
        torch.testing.assert_close(by_labels[k], head.label_classifiers[k](feats[k]))
        torch.testing.assert_close(by_peers[k], head.distill_classifiers[k](feats[k]))


def test_ensemble_is_the_mean_of_the_experts_logits():
    head, feats = build(distill_loss=DISTILL, predict_with='label'), features()
    expected = sum(head.label_classifiers[k](feats[k]) for k in range(K)) / K
    torch.testing.assert_close(head(feats), expected)


@pytest.mark.parametrize('predict_with', ['label', 'distill', 'both'])
def test_predict_with(predict_with):
    head, feats = build(distill_loss=DISTILL, predict_with=predict_with), features()
    by_labels, by_peers = head.classify(feats)
    expected = {'label': by_labels, 'distill': by_peers, 'both': (by_labels + by_peers) / 2}
    torch.testing.assert_close(head.expert_logits(feats), expected[predict_with])


def test_one_expert_alone_can_predict():
    head, feats = build(distill_loss=DISTILL, expert=1), features()
    torch.testing.assert_close(head(feats), head.expert_logits(feats)[1])


def test_predictions_carry_ensemble_and_expert_scores():
    head, feats = build(distill_loss=DISTILL), features()
    predictions = head.predict(feats, samples())
    scores = torch.stack([p.pred_score for p in predictions])
    torch.testing.assert_close(scores, head(feats).softmax(-1))
    experts = torch.stack([p.expert_scores for p in predictions], dim=1)
    torch.testing.assert_close(experts, head.expert_logits(feats).softmax(-1))
    assert [p.pred_label.item() for p in predictions] == scores.argmax(1).tolist()
    assert [p.gt_label.item() for p in predictions] == [i % C for i in range(N)]


def test_every_parameter_learns_and_every_loss_has_an_entry():
    head = build(distill_loss=DISTILL, feature_loss=dict(type='FeatureDistillLoss'))
    losses = head.loss(features(), samples())
    assert set(losses) == {'label_loss', 'distill_loss', 'feature_loss'}
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in head.parameters())


def test_labels_alone_do_not_teach_the_distill_classifier():
    head = build(distill_loss=dict(type='ReweightedDistillLoss', student='distill'))
    losses = head.loss(features(), samples())
    losses['label_loss'].backward(retain_graph=True)
    assert all(p.grad is None for p in head.distill_classifiers.parameters())
    losses['distill_loss'].backward()
    assert all(p.grad is not None for p in head.distill_classifiers.parameters())


def test_labels_may_teach_both_classifiers():
    distill = dict(type='ReweightedDistillLoss', student='distill', teacher='distill')
    head, feats = build(distill_loss=distill, labels_teach='both'), features()
    labels = torch.arange(N) % C
    by_labels, by_peers = head.classify(feats)
    expected = (head.loss_module(by_labels, labels) + head.loss_module(by_peers, labels)) / 2
    torch.testing.assert_close(head.loss(feats, samples())['label_loss'], expected)


def test_teachers_must_know_the_labels():
    with pytest.raises(UserError, match="labels_teach = 'both'"):
        build(distill_loss=dict(type='ReweightedDistillLoss', teacher='distill'))


def test_one_expert_has_no_peers():
    head = build(num_experts=1, distill_loss=DISTILL, feature_loss=dict(type='FeatureDistillLoss'))
    feats = features(1)
    assert set(head.loss(feats, samples())) == {'label_loss'}
    torch.testing.assert_close(head(feats), head.label_classifiers[0](feats[0]))
    assert len(list(head.parameters())) == 2


@pytest.mark.parametrize(
    'distill_loss', [None, dict(type='ReweightedDistillLoss', student='label', comparison='none')]
)
def test_no_second_classifier_where_none_is_taught(distill_loss):
    head = build(distill_loss=distill_loss)
    losses = head.loss(features(), samples())
    assert head.distill_classifiers is None
    assert ('distill_loss' in losses) == (distill_loss is not None)


def test_plain_cross_entropy_of_mmpretrain_is_a_label_loss():
    head = build(label_loss=dict(type='PlainCE'), num_experts=1)
    feats = features(1)
    labels = torch.arange(N) % C
    expected = F.cross_entropy(head.label_classifiers[0](feats[0]), labels)
    torch.testing.assert_close(head.loss(feats, samples())['label_loss'], expected)


@MODELS.register_module()
class PlainCE(nn.Module):
    def forward(self, logits, labels):
        return F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)))


def test_a_loss_receives_the_shapes_that_it_names():
    @MODELS.register_module(force=True)
    class NamesClasses(nn.Module):
        def __init__(self, num_classes):
            super().__init__()
            self.num_classes = num_classes

    assert build_loss(dict(type='NamesClasses'), num_classes=9, num_experts=2).num_classes == 9


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'predict_with': 'labels'}, 'predict_with'),
        ({'expert': 3}, 'expert: got 3, expected .* at most 2'),
        ({'in_channels': None}, 'in_channels: got None, expected a whole number'),
        ({'labels_teach': 'peers'}, 'labels_teach'),
        ({'num_classes': 1}, 'num_classes'),
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
