"""Any photographs named in lists, shown at 224 x 224 as ImageNet-LT; for ``ecl prepare --base``."""

_base_ = './imagenet_lt.py'

# Over all processes: tools/train.py divides them.
images_per_step = 64
train_dataloader = dict(
    batch_size=images_per_step,
    num_workers=8,
    persistent_workers=True,
    # BatchNorm needs at least two images in a batch.
    drop_last=True,
    dataset=dict(
        dataset=dict(data_root='data/mine', data_prefix='', classes=None, ann_file='train.txt')
    ),
)
val_dataloader = dict(
    batch_size=64,
    dataset=dict(data_root='data/mine', data_prefix='', classes=None, ann_file='test.txt'),
)
test_dataloader = dict(
    batch_size=64,
    dataset=dict(data_root='data/mine', data_prefix='', classes=None, ann_file='test.txt'),
)
