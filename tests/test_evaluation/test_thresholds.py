import numpy as np
import pytest

from ecl.errors import UserError
from ecl.evaluation import acceptance, class_thresholds


def reference(confidence, right, accuracy):
    """The lowest confidence t such that, one more error counted, those from t on are accurate."""
    fitting = [
        t
        for t in confidence
        if right[confidence >= t].sum() >= accuracy * ((confidence >= t).sum() + 1)
    ]
    return min(fitting, default=np.inf)


@pytest.mark.parametrize('seed', range(20))
@pytest.mark.parametrize('accuracy', [0.5, 0.8, 0.95, 0.99])
def test_thresholds_are_the_lowest_that_reach_the_accuracy(seed, accuracy):
    rng = np.random.default_rng(seed)
    labels, predicted = rng.integers(4, size=(2, 300))
    predicted = np.where(rng.random(300) < 0.7, labels, predicted)
    confidence = np.round(rng.random(300), 2)  # with ties
    found = class_thresholds(labels, predicted, confidence, 5, accuracy)
    for label in range(4):
        chosen = predicted == label
        assert found[label] == reference(
            confidence[chosen], labels[chosen] == predicted[chosen], accuracy
        )
    assert found[4] == reference(confidence, labels == predicted, accuracy)  # never predicted


def test_a_class_with_few_predictions_has_the_common_threshold():
    labels = np.array([0] * 30 + [1] * 5)
    confidence = np.linspace(0.9, 0.5, 35)
    found = class_thresholds(labels, labels, confidence, 2, 0.9, min_images=10)
    assert found[0] == pytest.approx(confidence[29]) and found[1] == pytest.approx(confidence[34])


def test_a_class_with_twenty_predictions_has_its_own_threshold():
    predicted = np.repeat([0, 1], [60, 20])
    labels = predicted.copy()
    labels[:60:4] = 1  # a quarter of the predictions of class 0 is wrong, none of class 1
    confidence = np.linspace(0.99, 0.2, 80)
    found = class_thresholds(labels, predicted, confidence, 2, accuracy=0.9)
    assert found[1] == confidence[-1] != found[0]


def test_what_abstaining_costs_is_counted():
    labels, predicted = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 0, 0])
    confidence = np.array([0.7, 0.4, 0.8, 0.6, 0.75])
    found = acceptance(labels, predicted, confidence, np.array([0.7, 0.5]))
    assert found.accepted == pytest.approx(3 / 5)
    assert found.accuracy == pytest.approx(2 / 3)
    nothing = acceptance(labels, predicted, confidence, np.full(2, np.inf))
    assert nothing.accepted == 0 and np.isnan(nothing.accuracy)


def test_an_accuracy_out_of_range_is_refused():
    for accuracy in (0, 1):  # no number of images shows an accuracy of 1
        with pytest.raises(UserError, match='accuracy'):
            class_thresholds(np.zeros(2), np.zeros(2), np.ones(2), 2, accuracy=accuracy)
