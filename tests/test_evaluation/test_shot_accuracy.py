import pickle

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from sklearn.metrics import balanced_accuracy_score, recall_score

from ecl.errors import UserError
from ecl.evaluation import PredictionRecord, ShotAccuracy, metric_table
from ecl.registry import METRICS

COUNTS = [500, 300, 101, 100, 60, 20, 19, 5]
ALL = list(range(len(COUNTS)))
GROUPS = {'many': [0, 1, 2], 'medium': [3, 4, 5], 'few': [6, 7]}


def make_samples(num_images=400, num_experts=3, classes=ALL, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.choice(classes, num_images)
    noise = generator.normal(size=(num_images, num_experts, len(COUNTS)))
    logits = torch.from_numpy(noise + 1.5 * np.eye(len(COUNTS))[labels][:, None])
    return [
        {
            'gt_label': torch.tensor([label]),
            'pred_score': expert_logits.mean(0).softmax(0),
            'expert_scores': expert_logits.softmax(1),
        }
        for label, expert_logits in zip(labels.tolist(), logits, strict=True)
    ]


def evaluate(metric, samples, batch_size=64):
    for start in range(0, len(samples), batch_size):
        metric.process(None, samples[start : start + batch_size])
    return metric.evaluate(len(samples))


def reference(samples, groups):
    """The metric by scikit-learn, of the ensemble and of each expert."""
    labels = np.array([int(sample['gt_label']) for sample in samples])
    sources = {'': [int(sample['pred_score'].argmax()) for sample in samples]}
    for k in range(len(samples[0].get('expert_scores', []))):
        sources[f'expert{k}/'] = [int(sample['expert_scores'][k].argmax()) for sample in samples]
    expected = {}
    for source, predicted in sources.items():
        expected[f'shot/{source}overall'] = 100 * np.mean(np.array(predicted) == labels)
        expected[f'shot/{source}balanced'] = 100 * balanced_accuracy_score(labels, predicted)
        for name, classes in groups.items():
            recalls = recall_score(labels, predicted, labels=classes, average=None)
            expected[f'shot/{source}{name}'] = 100 * recalls.mean()
    return expected


def test_agrees_with_scikit_learn_for_ensemble_and_experts():
    samples = make_samples()
    result = evaluate(ShotAccuracy(class_counts=COUNTS), samples)
    assert result == pytest.approx(reference(samples, GROUPS))
    assert all(type(value) is float for value in result.values())


# balanced_accuracy_score warns of predicted classes without images, which is the case tested.
@pytest.mark.filterwarnings('ignore:y_pred contains classes not in y_true')
def test_absent_classes_leave_the_means_and_absent_groups_the_result():
    samples = make_samples(classes=[0, 2, 5])
    result = evaluate(ShotAccuracy(class_counts=COUNTS), samples)
    assert result == pytest.approx(reference(samples, {'many': [0, 2], 'medium': [5]}))
    assert not any('few' in key for key in result)


def test_group_of_a_single_class():
    samples = make_samples()
    counts = [500] * (len(COUNTS) - 1) + [1]
    result = evaluate(ShotAccuracy(class_counts=counts), samples)
    groups = {'many': ALL[:-1], 'few': ALL[-1:]}
    assert result == pytest.approx(reference(samples, groups))


def test_group_means_weigh_classes_not_images():
    metric = ShotAccuracy(class_counts=[500, 500])
    right, wrong = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])
    samples = [{'gt_label': torch.tensor([1]), 'pred_score': right}] * 9
    samples += [{'gt_label': torch.tensor([0]), 'pred_score': right}]
    result = evaluate(metric, samples)
    assert result['shot/overall'] == pytest.approx(90)
    assert result['shot/many'] == result['shot/balanced'] == pytest.approx(50)
    assert evaluate(metric, [{'gt_label': torch.tensor([1]), 'pred_score': wrong}]) == {
        'shot/overall': 0.0,
        'shot/many': 0.0,
        'shot/balanced': 0.0,
    }


def test_thresholds_move_the_groups():
    samples = make_samples()
    result = evaluate(ShotAccuracy(thresholds=(4, 500), class_counts=COUNTS), samples)
    assert result == pytest.approx(reference(samples, {'medium': ALL}))


def test_ordinary_model_has_no_expert_keys():
    samples = make_samples()
    for sample in samples:
        del sample['expert_scores']
    assert evaluate(ShotAccuracy(class_counts=COUNTS), samples) == pytest.approx(
        reference(samples, GROUPS)
    )


def test_counts_can_come_later_and_prefix_is_free():
    metric = METRICS.build(dict(type='ShotAccuracy', prefix='test_f'))
    metric.set_class_counts(COUNTS)
    assert 'test_f/expert2/few' in evaluate(metric, make_samples())


def test_without_counts_only_overall_and_balanced_and_one_warning(capfd):
    metric = ShotAccuracy()
    samples = make_samples(num_experts=1)
    first, second = evaluate(metric, samples), evaluate(metric, samples)
    assert first == second == pytest.approx(reference(samples, {}))
    assert ''.join(capfd.readouterr()).count('class_counts') == 1


def test_label_beyond_the_counts_is_a_user_error():
    with pytest.raises(UserError, match=r'label out of range: got 7, expected 0 to 5'):
        evaluate(ShotAccuracy(class_counts=COUNTS[:6]), make_samples())


def test_crossed_thresholds_are_refused_at_once():
    with pytest.raises(UserError, match=r'ShotAccuracy\.thresholds: got \(100, 20\)'):
        ShotAccuracy(thresholds=(100, 20))


def test_keeps_only_integers():
    metric = ShotAccuracy()
    metric.process(None, make_samples(num_images=2))
    assert [len(row) for row in metric.results] == [5, 5]
    assert {type(value) for row in metric.results for value in row} == {int}


def evaluate_half(rank, folder):
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=2
    )
    samples = make_samples(num_images=401)
    # As DefaultSampler deals images out: in turns, the first ones again to even out the turns.
    mine = (samples + samples[:1])[rank::2]
    metric = ShotAccuracy(class_counts=COUNTS)
    metric.process(None, mine)
    torch.save(metric.evaluate(len(samples)), f'{folder}/rank{rank}.pth')
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_numbers_of_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Forked, because spawned processes cannot import a test module.
    mp.start_processes(evaluate_half, args=(str(tmp_path),), nprocs=2, start_method='fork')
    alone = evaluate(ShotAccuracy(class_counts=COUNTS), make_samples(num_images=401))
    for rank in range(2):
        assert torch.load(tmp_path / f'rank{rank}.pth') == alone


def test_what_is_kept_of_an_image_does_not_grow_with_the_classes():
    def kept(num_classes: int) -> int:
        metric = ShotAccuracy()
        label = torch.tensor([num_classes - 1])
        scores = torch.rand(3, num_classes)
        sample = dict(gt_label=label, pred_score=scores.mean(0), expert_scores=scores)
        metric.process({}, [sample] * 20)
        return len(pickle.dumps(metric.results)) // 20

    assert kept(8142) <= kept(1000) + 8
    assert 24_426 * kept(8142) < 200e6


@pytest.mark.parametrize('metric', [ShotAccuracy(), PredictionRecord()])
def test_scores_that_are_not_finite_are_refused(metric):
    samples = [{'gt_label': torch.tensor([0]), 'pred_score': torch.ones(3)} for _ in range(5)]
    samples[2]['pred_score'] = torch.tensor([0.5, float('nan'), 0.5])
    with pytest.raises(UserError, match='1 of 5 images have scores that are not finite'):
        metric.process(None, samples)


def test_both_kinds_of_classifiers_have_their_own_keys():
    metric = ShotAccuracy(class_counts=[500, 5])
    one_hot = torch.eye(2)
    metric.process(
        None,
        [
            {
                'gt_label': torch.tensor([label]),
                'pred_score': one_hot[label],
                'expert_scores': one_hot[[label, 0]],
                'label_score': one_hot[label],
                'distill_score': one_hot[0],
            }
            for label in (0, 1)
        ],
    )
    metrics = metric.evaluate(size=2)
    assert metrics['shot/label/few'] == metrics['shot/few'] == 100
    assert metrics['shot/distill/few'] == metrics['shot/expert1/few'] == 0
    assert metrics['shot/distill/overall'] == 50
    rows = metric_table(metrics).splitlines()[2:]
    names = [row.split('|')[1].strip() for row in rows]
    assert names == ['ensemble', 'expert 0', 'expert 1', 'label classifiers', 'distill classifiers']
