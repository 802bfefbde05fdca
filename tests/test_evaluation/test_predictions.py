import numpy as np
import pytest
import torch
from sklearn.metrics import recall_score
from torchmetrics.classification import MulticlassCalibrationError

from ecl.errors import UserError
from ecl.evaluation import (
    PredictionRecord,
    Predictions,
    accuracy_by_distribution,
    accuracy_on_lists,
    calibration_errors,
    class_table,
    distribution_table,
)


def _samples(number=200, classes=4, experts=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand((number, 1 + experts, classes), generator=generator).softmax(-1)
    labels = torch.randint(0, classes, (number,), generator=generator)
    return [
        {
            'gt_label': labels[i : i + 1],
            'pred_score': scores[i, 0],
            'expert_scores': scores[i, 1:],
            'img_path': f'{i}.png',
        }
        for i in range(number)
    ]


def _record(samples):
    record = PredictionRecord()
    record.process(None, samples)
    assert record.evaluate(len(samples)) == {}
    return record.predictions


def test_the_record_keeps_what_was_predicted():
    samples = _samples()
    predictions = _record(samples)
    assert predictions.paths[7] == '7.png'
    assert predictions.names == ['ensemble', 'expert 0', 'expert 1']
    for i in (0, 50, 199):
        assert predictions.labels[i] == samples[i]['gt_label'].item()
        assert predictions.predicted[0, i] == samples[i]['pred_score'].argmax()
        assert predictions.confidence[2, i] == samples[i]['expert_scores'][1].max()


def test_the_record_keeps_what_each_kind_of_classifier_predicted():
    samples = _samples()
    generator = torch.Generator().manual_seed(1)
    for sample in samples:
        sample['label_score'] = sample['pred_score']
        sample['distill_score'] = torch.rand(4, generator=generator)
    predictions = _record(samples)
    assert predictions.names == ['ensemble', 'expert 0', 'expert 1']
    label, distill = predictions.by_classifier.values()
    assert list(predictions.by_classifier) == ['label classifiers', 'distill classifiers']
    np.testing.assert_array_equal(label.predicted[0], predictions.predicted[0])
    np.testing.assert_array_equal(label.labels, predictions.labels)
    for i in (0, 50, 199):
        assert distill.predicted[:, i] == samples[i]['distill_score'].argmax()
        assert distill.confidence[:, i] == samples[i]['distill_score'].max()


def test_a_model_without_experts_and_files():
    plain = [
        {key: sample[key] for key in ('gt_label', 'pred_score')} for sample in _samples(number=3)
    ]
    predictions = _record(plain)
    assert (predictions.names, predictions.paths) == (['model'], ['', '', ''])
    assert predictions.predicted.shape == (1, 3)
    assert predictions.by_classifier == {}


def test_class_accuracies_are_the_recalls():
    predictions = _record(_samples())
    for row, predicted in zip(predictions.class_accuracies(5), predictions.predicted, strict=True):
        recalls = recall_score(predictions.labels, predicted, average=None)
        np.testing.assert_allclose(row, [*(100 * recalls), np.nan])


def test_calibration_is_that_of_all_classes():
    samples = _samples()
    errors = calibration_errors(_record(samples))
    reference = MulticlassCalibrationError(num_classes=4, n_bins=15)
    labels = torch.cat([sample['gt_label'] for sample in samples])
    whole = reference(torch.stack([sample['pred_score'] for sample in samples]), labels)
    first = reference(torch.stack([sample['expert_scores'][0] for sample in samples]), labels)
    np.testing.assert_allclose(errors[:2], [100 * whole, 100 * first], rtol=1e-5)


def _predictions(rights, per_class=10):
    """Predictions of one model that is right on so many images of each class."""
    labels = np.repeat(np.arange(len(rights)), per_class)
    predicted = (labels + 1) % len(rights)
    for label, right in enumerate(rights):
        predicted[label * per_class : label * per_class + right] = label
    paths = [f'{i}.png' for i in range(len(labels))]
    return Predictions(paths, labels, predicted[None], np.ones((1, len(labels)), np.float32))


def test_a_test_set_of_that_distribution_would_give_the_same():
    # 9, 3 and 1 of the images of three classes: the profile of imbalance factor 9 exactly.
    found = accuracy_by_distribution(_predictions([9, 3, 6]), [5, 500, 50], [9])
    assert found['uniform'][0] == pytest.approx(60)
    assert found['forward9'][0] == pytest.approx((9 * 30 + 3 * 60 + 1 * 90) / 13)
    assert found['backward9'][0] == pytest.approx((1 * 30 + 3 * 60 + 9 * 90) / 13)
    assert list(found) == ['forward9', 'uniform', 'backward9']


def test_a_class_without_test_images_does_not_count():
    predictions = _predictions([9, 3])
    found = accuracy_by_distribution(predictions, [500, 50, 5], [9])
    assert found['forward9'][0] == pytest.approx((9 * 90 + 30) / 10)


def test_imbalance_factors_below_one():
    with pytest.raises(UserError, match=r'imbalance_factors: got \[0\.5\], expected .* at least 1'):
        accuracy_by_distribution(_predictions([1, 1]), [2, 1], [0.5])


def test_lists_choose_among_the_images():
    predictions = _predictions([10, 0])
    lists = {'a': (['0.png', '1.png', '10.png', '11.png'], [0, 0, 1, 1]), 'b': (['3.png'], [0])}
    found = accuracy_on_lists(predictions, lists)
    assert {name: value.tolist() for name, value in found.items()} == {'a': [50.0], 'b': [100.0]}
    with pytest.raises(UserError, match=r'c: x\.png is not among the test images'):
        accuracy_on_lists(predictions, {'c': (['x.png'], [0])})
    with pytest.raises(UserError, match=r'c: 0\.png has another label'):
        accuracy_on_lists(predictions, {'c': (['0.png'], [1])})


def test_tables():
    predictions = _predictions([9, 3])
    table = distribution_table(['model'], accuracy_by_distribution(predictions, [9, 1], [2]))
    assert table.splitlines()[2:] == [
        '| forward2            |   70.00 |',
        '| uniform             |   60.00 |',
        '| backward2           |   50.00 |',
    ]
    assert class_table(predictions, [101, 19, 5], ['a', 'b, c', 'd']).splitlines() == [
        'label,class,training_images,shot_group,test_images,model',
        '0,a,101,many,10,90.00',
        '1,"b, c",19,few,10,30.00',
        '2,d,5,few,0,',
    ]
    table = class_table(predictions, [101, 19, 5], thresholds=(5, 10))
    assert [line.split(',')[3] for line in table.splitlines()[1:]] == ['many', 'many', 'medium']
    assert class_table(predictions).splitlines()[1] == '0,,,,10,90.00'
