import json

import pytest

from ecl.apis import test as evaluate
from ecl.errors import UserError


def test_a_checkpoint_repeats_the_metrics_of_its_training(
    digits_run, digits_config, tmp_path, capsys
):
    checkpoint = digits_run / 'epoch_3.pth'
    out = tmp_path / 'metrics.json'
    metrics = evaluate(digits_config, checkpoint, work_dir=tmp_path, out=out)
    record = json.loads((digits_run / 'results.json').read_text())
    shots = {key: value for key, value in metrics.items() if key.startswith('shot/')}
    assert shots == pytest.approx({k: v for k, v in record['metrics'].items() if k in shots})
    assert json.loads(out.read_text()) == {
        'config': str(digits_config),
        'checkpoint': str(checkpoint),
        'metrics': metrics,
    }
    assert '| ensemble ' in capsys.readouterr().out


def test_no_training_data_is_needed(digits_run, digits_config, tmp_path):
    metrics = evaluate(
        digits_config,
        digits_run / 'epoch_3.pth',
        work_dir=tmp_path,
        cfg_options=dict.fromkeys(
            ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler')
        ),
    )
    assert 'shot/few' in metrics


def test_a_checkpoint_of_another_model_is_refused(digits_run, digits_config, tmp_path):
    with pytest.raises(UserError, match=r'epoch_3.pth is a checkpoint of another model: .* \(12,'):
        evaluate(
            digits_config,
            digits_run / 'epoch_3.pth',
            work_dir=tmp_path,
            cfg_options={'model.head.num_classes': 12},
        )


def test_an_output_file_that_cannot_be_written_is_found_before_the_work(
    digits_run, digits_config, tmp_path
):
    with pytest.raises(UserError, match='nowhere does not exist'):
        evaluate(
            digits_config,
            digits_run / 'epoch_3.pth',
            work_dir=tmp_path,
            out=tmp_path / 'nowhere' / 'metrics.json',
        )
