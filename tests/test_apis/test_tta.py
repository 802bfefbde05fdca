import pytest
from mmengine.config import Config

from ecl.apis import load_config
from ecl.apis import test as evaluate
from ecl.apis.tta import use_tta
from ecl.errors import UserError


def _config(*training_steps):
    steps = [dict(type='LoadImage'), dict(type='PackInputs')]
    return Config(
        dict(
            model=dict(type='ECLClassifier'),
            train_dataloader=dict(dataset=dict(pipeline=list(training_steps))),
            test_dataloader=dict(dataset=dict(dataset=dict(pipeline=steps))),
        )
    )


def test_images_and_their_mirror_images_where_training_mirrors():
    cfg = _config(dict(type='MultiView', transforms=[[dict(type='RandomFlip', prob=0.5)]]))
    use_tta(cfg, 'a.py')
    load, views = cfg.test_dataloader.dataset.dataset.pipeline
    assert load.type == 'LoadImage'
    assert [flip.prob for flip in views.transforms[0]] == [0.0, 1.0]
    assert views.transforms[1] == [dict(type='PackInputs')]
    assert cfg.model.module.type == 'ECLClassifier'


@pytest.mark.parametrize('steps', [(), (dict(type='RandomFlip', direction='vertical'),)])
def test_views_are_asked_for_where_training_does_not_mirror(steps):
    with pytest.raises(UserError, match=r'a\.py: training does not mirror .* tta_pipeline'):
        use_tta(_config(*steps), 'a.py')


def test_the_views_of_a_configuration_are_used(digits_run, digits_config, tmp_path):
    assert len(load_config(digits_config).tta_pipeline[0].transforms[0]) == 6
    checkpoint = digits_run / 'epoch_3.pth'
    plain = evaluate(digits_config, checkpoint, work_dir=tmp_path)
    averaged = evaluate(digits_config, checkpoint, work_dir=tmp_path, tta=True)
    assert plain.keys() == averaged.keys()
    assert plain['calibration/ECE'] != averaged['calibration/ECE']
    assert plain['calibration/expert1/ECE'] != averaged['calibration/expert1/ECE']
