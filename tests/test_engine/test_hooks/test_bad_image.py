from types import SimpleNamespace

import pytest
from mmengine.dataset import RepeatDataset
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope

from ecl.datasets import ImageList
from ecl.engine.hooks import BadImageHook


@pytest.fixture
def runner(tmp_path, fresh_engine_state):
    init_default_scope('ecl')
    (tmp_path / 'list.txt').write_text('a.png 0\n')
    pipeline = [dict(type='Cached', transforms=[dict(type='LoadImage', bad='replace')])]
    dataset = ImageList('list.txt', data_root=str(tmp_path), pipeline=pipeline)
    told = []
    return SimpleNamespace(
        train_dataloader=SimpleNamespace(dataset=RepeatDataset(dataset, 2)),
        message_hub=MessageHub.get_instance('bad images'),
        logger=SimpleNamespace(warning=told.append),
        counter=dataset.pipeline.transforms[0].transforms[0].replaced,
        told=told,
    )


def test_each_epoch_tells_its_own_number_and_the_log_the_total(runner):
    hook = BadImageHook()
    hook.before_train(runner)
    for replaced in (2, 0, 1):
        for _ in range(replaced):
            runner.counter.add_one()
        hook.after_train_epoch(runner)
    assert [text.split(': ')[1][0] for text in runner.told] == ['2', '1']
    assert runner.message_hub.get_scalar('train/replaced_images').current() == 3


def test_data_without_such_a_pipeline_are_left_alone(make_runner):
    make_runner(['BadImageHook'], max_epochs=1).train()
