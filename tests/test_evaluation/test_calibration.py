import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from ecl.errors import UserError
from ecl.evaluation import BalanceAccuracy, ShotAccuracy
from ecl.registry import METRICS

COUNTS = [500, 150, 60, 20, 6, 3]
GROUPS = {'many': [0, 1], 'medium': [2, 3], 'few': [4, 5]}


@pytest.fixture
def logits():
    generator = np.random.default_rng(0)
    labels = generator.integers(len(COUNTS), size=300)
    return generator.normal(size=(300, len(COUNTS))) + 1.2 * np.eye(len(COUNTS))[labels], labels


def evaluate(metric, logits, labels):
    samples = [
        {'gt_label': torch.tensor([label]), 'pred_score': torch.tensor(row).softmax(0).float()}
        for row, label in zip(logits, labels, strict=True)
    ]
    for start in range(0, len(samples), 64):
        metric.process(None, samples[start : start + 64])
    return metric.evaluate(len(samples))


def test_it_is_logit_adjustment(logits):
    metric = BalanceAccuracy((-0.5, 0.0, 0.7), class_counts=COUNTS)
    metrics = evaluate(metric, *logits)
    scores, labels = logits
    for strength in (-0.5, 0.0, 0.7):
        shifted = log_softmax(scores, axis=1) - strength * np.log(np.divide(COUNTS, sum(COUNTS)))
        right = shifted.argmax(axis=1) == labels
        assert metrics[f'balance/{strength:g}/overall'] == pytest.approx(100 * right.mean())
        for name, group in GROUPS.items():
            accuracies = [right[labels == each].mean() for each in group]
            assert metrics[f'balance/{strength:g}/{name}'] == pytest.approx(
                100 * np.mean(accuracies)
            )


def test_no_correction_is_the_plain_accuracy(logits):
    plain = evaluate(ShotAccuracy(class_counts=COUNTS), *logits)
    metrics = evaluate(BalanceAccuracy((0,), class_counts=COUNTS), *logits)
    assert metrics == {f'balance/0/{key.removeprefix("shot/")}': plain[key] for key in plain}


def test_correction_moves_predictions_from_frequent_to_rare_classes(logits):
    metrics = evaluate(BalanceAccuracy((-2, 0, 2), class_counts=COUNTS), *logits)
    few, many = ([metrics[f'balance/{t}/{group}'] for t in (-2, 0, 2)] for group in ('few', 'many'))
    assert few == sorted(few) and few[0] < few[-1]
    assert many == sorted(many, reverse=True) and many[-1] < many[0]


def test_a_class_without_training_images_counts_as_one_of_a_single_image(logits):
    absent, single = (
        evaluate(BalanceAccuracy((0, 0.3), class_counts=[*COUNTS[:-1], count]), *logits)
        for count in (0, 1)
    )
    assert absent == single


def test_bad_settings(logits):
    with pytest.raises(UserError, match=r'BalanceAccuracy.strengths: got \(\)'):
        BalanceAccuracy(())
    with pytest.raises(UserError, match=r'class_counts: got None'):
        evaluate(BalanceAccuracy(), *logits)


def test_it_is_a_metric_of_configurations():
    metric = METRICS.build({'type': 'BalanceAccuracy', 'strengths': [0, 1]})
    assert metric.strengths == (0, 1)
