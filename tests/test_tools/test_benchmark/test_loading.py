import json

import pytest
from PIL import Image

from ecl.errors import UserError
from loading import benchmark_loading, main


def test_images_are_decoded_and_augmented(tmp_path, capsys, digits_config):
    for label in 'ab':
        (tmp_path / 'images/train' / label).mkdir(parents=True)
        for index in range(3):
            image = Image.new('RGB', (100, 50), (40 * index,) * 3)
            image.save(tmp_path / 'images/train' / label / f'{index}.png')
    (tmp_path / 'config.py').write_text(
        f"_base_ = '{digits_config}'\n"
        "train_dataloader = dict(dataset=dict(_delete_=True, type='ImageFolder', split='train',\n"
        f"    data_root='{tmp_path / 'images'}', pipeline=[dict(type='LoadImage'),\n"
        "    dict(type='Resize', scale=8), dict(type='PackInputs')]))\n"
    )
    main([str(tmp_path / 'config.py'), '--images', '4'])
    found = json.loads(capsys.readouterr().out)
    assert found['megapixels'] == 0.005
    assert found['decode'] > 0
    assert found['pipeline'] > 0


def test_images_that_are_no_files_are_refused(digits_config):
    with pytest.raises(UserError, match='has no image files to read'):
        benchmark_loading(digits_config, images=2)
