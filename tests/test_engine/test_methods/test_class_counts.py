import pytest
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS
from torch import nn
from torch.utils.data import Subset

from ecl.checkpoint_file import load_checkpoint
from ecl.errors import UserError
from ecl.models.losses import BalancedSoftmaxLoss

HOOKS = ['ClassCountsHook']
COUNTS = [120, 40, 6]


def test_counts_reach_modules_hub_metrics_and_checkpoint(make_runner, tmp_path):
    runner = make_runner(HOOKS)
    asked = []
    runner.model.label_layers[0].set_class_counts = asked.append
    runner.train()
    assert asked == [COUNTS]
    assert runner.message_hub.get_info('class_counts') == COUNTS
    assert runner.val_evaluator.metrics[0].class_counts == COUNTS
    checkpoint = load_checkpoint(tmp_path / 'run/epoch_2.pth')
    assert checkpoint['meta']['class_counts'] == COUNTS
    assert {type(count) for count in checkpoint['meta']['class_counts']} == {int}


@pytest.mark.parametrize('phase', ['val', 'test'])
def test_evaluation_reads_the_counts_from_the_checkpoint(make_runner, tmp_path, phase):
    make_runner(HOOKS).train()
    loader = dict(
        batch_size=8,
        dataset=make_runner.Vectors([5, 5, 5]),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    runner = make_runner(
        HOOKS,
        load_from=str(tmp_path / 'run/epoch_2.pth'),
        test_cfg=dict(),
        test_dataloader=loader,
        test_evaluator=dict(type='ShotAccuracy'),
    )
    metrics = getattr(runner, phase)()
    assert {'shot/many', 'shot/medium', 'shot/few'} <= metrics.keys()
    assert isinstance(runner._train_loop, dict), 'an evaluation must not read the training data'


def test_metrics_that_do_not_ask_are_left_alone(make_runner):
    class Indifferent(BaseMetric):
        default_prefix = 'indifferent'

        def process(self, data_batch, data_samples):
            self.results.append(0)

        def compute_metrics(self, results):
            return {}

    METRICS.register_module(module=Indifferent, force=True)
    make_runner(HOOKS, val_evaluator=dict(type='mmengine.Indifferent'), max_epochs=1).train()


def test_wrong_num_classes_names_both_numbers_and_the_key(make_runner):
    runner = make_runner(HOOKS)
    runner.model.head.num_classes = 7
    with pytest.raises(UserError, match=r'model\.head\.num_classes is 7, .* has 3 classes'):
        runner.train()


@pytest.mark.parametrize('num_named', [5, 12])
def test_empty_classes_are_named_five_at_most(make_runner, num_named):
    dataset = make_runner.Vectors(num_named=num_named)
    runner = make_runner(HOOKS, model=make_runner.Experts(num_named), dataset=dataset)
    with pytest.raises(UserError) as error:
        runner.train()
    message = str(error.value)
    assert "3 'kind3', 4 'kind4'" in message
    assert message.count("'kind") == min(num_named - 3, 5)
    assert ('4 more' in message) == (num_named == 12)
    assert '\n' not in message


def test_logs_the_distribution(make_runner, capfd):
    make_runner(HOOKS, max_epochs=1).train()
    log = ''.join(capfd.readouterr())
    assert '166 images in 3 classes, 120 to 6 per class (imbalance factor 20)' in log
    assert '1 many-shot, 1 medium-shot, 1 few-shot' in log
    make_runner([dict(type='ClassCountsHook', thresholds=(5, 50))], max_epochs=1).train()
    assert '1 many-shot, 2 medium-shot' in ''.join(capfd.readouterr())


def test_resume_on_other_data_warns_fine_tuning_does_not(make_runner, tmp_path, capfd):
    make_runner(HOOKS).train()
    other = make_runner.Vectors([120, 40, 7])
    checkpoint = str(tmp_path / 'run/epoch_2.pth')
    capfd.readouterr()
    tuned = make_runner(HOOKS, dataset=other, load_from=checkpoint, max_epochs=1)
    tuned.train()
    assert 'training data changed' not in ''.join(capfd.readouterr())
    resumed = make_runner(HOOKS, dataset=other, load_from=checkpoint, resume=True, max_epochs=3)
    resumed.train()
    assert 'training data changed' in ''.join(capfd.readouterr())
    assert resumed.message_hub.get_info('class_counts') == [120, 40, 7]


@pytest.mark.parametrize(
    ('sampler', 'tau', 'warns'),
    [
        (dict(type='ClassAwareSampler'), 1.0, True),
        (dict(type='ProgressivelyBalancedSampler', max_epochs=1), 1.0, True),
        (dict(type='ClassAwareSampler'), 0.0, False),
        (dict(type='ClassAwareSampler', exponent=1), 1.0, False),
        (dict(type='DefaultSampler', shuffle=True), 1.0, False),
    ],
)
def test_correcting_twice_is_warned_of(make_runner, monkeypatch, sampler, tau, warns):
    model = make_runner.Experts()
    model.label_loss = BalancedSoftmaxLoss(3, tau=tau)
    runner = make_runner(HOOKS, model=model, loader=dict(sampler=sampler), max_epochs=1)
    told = []
    monkeypatch.setattr(runner.logger, 'warning', told.append)
    runner.train()
    assert any('favoured twice' in text for text in told) == warns


def test_a_batch_sampler_rebalances_as_well(make_runner, monkeypatch):
    model = make_runner.Experts()
    model.label_loss = BalancedSoftmaxLoss(3)
    batches = dict(type='BalancedBatchSampler', images_per_class=8)
    loader = dict(batch_size=24, batch_sampler=batches)
    runner = make_runner(HOOKS, model=model, loader=loader)
    told = []
    monkeypatch.setattr(runner.logger, 'warning', told.append)
    runner.train()
    assert any(text.startswith('BalancedBatchSampler changes') for text in told)
    # The engine tells the epoch to the sampler inside.
    assert runner.train_dataloader.batch_sampler.sampler.epoch == 1


def test_losses_count_what_is_shown_and_groups_distinct_images(make_runner, capfd, tmp_path):
    repeated = Subset(make_runner.Vectors(), 2 * list(range(sum(COUNTS))))
    runner = make_runner(HOOKS, dataset=repeated, max_epochs=1)
    asked = []
    runner.model.label_layers[0].set_class_counts = asked.append
    runner.train()
    assert asked == [[2 * count for count in COUNTS]]
    assert runner.message_hub.get_info('class_counts') == COUNTS
    assert runner.val_evaluator.metrics[0].class_counts == COUNTS
    log = ''.join(capfd.readouterr())
    assert '166 images in 3 classes, 120 to 6 per class' in log
    assert '332 images, 240 to 12 per class' in log


def test_other_classes_than_in_training_are_refused_by_name(make_runner, tmp_path):
    make_runner(HOOKS, max_epochs=1).train()
    shifted = make_runner.Vectors([5, 5])
    shifted.metainfo['classes'] = ['kind0', 'kind2']
    loader = dict(batch_size=8, dataset=shifted, sampler=dict(type='DefaultSampler', shuffle=False))
    runner = make_runner(HOOKS, val_dataloader=loader, max_epochs=1)
    with pytest.raises(UserError, match="class 'kind1' is missing, so the labels shift"):
        runner.train()
    checkpoint = str(tmp_path / 'run/epoch_1.pth')
    runner = make_runner(HOOKS, val_dataloader=loader, load_from=checkpoint)
    with pytest.raises(UserError, match="class 'kind1' is missing, so the labels shift"):
        runner.val()


class Listener(nn.Module):
    def __init__(self):
        super().__init__()
        self.heard = []

    def set_progress(self, progress):
        self.heard.append(progress)


def _model(make_runner):
    model = make_runner.Experts()
    model.deep = nn.Sequential(nn.Identity(), Listener())
    return model


def test_modules_hear_the_share_that_is_done_also_after_a_resume(make_runner, tmp_path):
    model = _model(make_runner)
    make_runner(['TrainingProgressHook'], model=model, max_epochs=4).train()
    assert model.deep[1].heard == [0, 0.25, 0.5, 0.75]
    resumed = _model(make_runner)
    make_runner(
        ['TrainingProgressHook'],
        model=resumed,
        max_epochs=4,
        load_from=str(tmp_path / 'run/epoch_3.pth'),
        resume=True,
    ).train()
    assert resumed.deep[1].heard == [0.75]


def test_a_training_that_counts_no_epochs_is_refused_where_they_matter(make_runner):
    by_iter = dict(type='IterBasedTrainLoop', max_iters=2)
    make_runner(['TrainingProgressHook'], train_cfg=by_iter).train()
    model = _model(make_runner)
    model.deep[1].has_progress = True  # as a loss that does not ask for it
    make_runner(['TrainingProgressHook'], model=model, train_cfg=by_iter).train()
    runner = make_runner(['TrainingProgressHook'], model=_model(make_runner), train_cfg=by_iter)
    with pytest.raises(UserError, match='IterBasedTrainLoop, expected by_epoch=True: Listener'):
        runner.train()
