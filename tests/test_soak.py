import json
import shutil

import numpy as np
import pytest
import torch

from ecl.checkpoint_file import load_checkpoint
from ecl.errors import UserError
from soak import differences, soak

SHORT = {
    'train_cfg.max_epochs': 2,
    'default_hooks.checkpoint.interval': 1,
    'default_hooks.logger.interval': 1,
}


@pytest.mark.parametrize(
    ('processes', 'signal_name', 'options'),
    [
        (1, 'KILL', {}),
        (2, 'TERM', {'optim_wrapper.type': 'Bfloat16OptimWrapper', 'train_cfg.val_interval': 2}),
    ],
)
def test_stopped_and_resumed_a_training_is_what_it_would_have_been(
    digits_config, tmp_path, processes, signal_name, options
):
    out = tmp_path / 'soak.json'
    options = {**SHORT, **options}
    result = soak(digits_config, 1, tmp_path / 'soak', out, options, processes, signal_name)
    assert (result['kills'], result['survived'], result['identical']) == (1, 1, 1)
    (moment,) = result['moments']
    # A signal that comes before the training has begun is obeyed at once.
    assert moment['stopped'] in ((-9,) if signal_name == 'KILL' else (75, -15))
    assert json.loads(out.read_text()) == result
    with pytest.raises(UserError, match='earlier soak'):
        soak(digits_config, 1, tmp_path / 'soak')


def test_every_kind_of_difference_is_found(digits_run, tmp_path):
    other = tmp_path / 'other'
    shutil.copytree(digits_run, other)
    assert differences(digits_run, other) == []

    path = other / 'epoch_3.pth'
    checkpoint = load_checkpoint(path)
    name = next(iter(checkpoint['state_dict']))
    checkpoint['state_dict'][name] *= 1 + 2**-20
    checkpoint['optimizer']['state'][0]['momentum_buffer'] *= 1 + 2**-20
    checkpoint['message_hub']['log_scalars']['train/loss']._log_history[0] += 1e-7
    checkpoint['meta']['iter'] += 1
    checkpoint['meta']['time'] = 'another'
    torch.save(checkpoint, path)
    record = json.loads((other / 'results.json').read_text())
    record['metrics']['shot/few'] += 1e-7
    (other / 'results.json').write_text(json.dumps(record))
    with np.load(other / 'distill_weights.npz') as arrays:
        arrays = dict(arrays)
    arrays['weights'][0, 0, 0] += 1e-3
    np.savez(other / 'distill_weights.npz', **arrays)
    (log,) = other.glob('*/vis_data/scalars.json')
    first, *rest = log.read_text().splitlines()
    entry = json.loads(first)
    entry['loss'] += 1e-7
    log.write_text('\n'.join([json.dumps(entry), *rest]))
    assert differences(digits_run, other) == [
        'checkpoint.message_hub.log_scalars.train/loss.0',
        'checkpoint.meta.iter',
        'checkpoint.optimizer.state.0.momentum_buffer',
        f'checkpoint.state_dict.{name}',
        'distillation.weights',
        f'log.train {entry["step"]}.loss',
        'metrics.shot/few',
    ]
