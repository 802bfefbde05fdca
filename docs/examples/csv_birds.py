"""ECL on images in a table: data/birds/{train,test}.csv beside the images."""

_base_ = '../../configs/ecl/ecl_r32_lists-32px.py'

data = dict(type='ImageCSV', data_root='data/birds')

model = dict(head=dict(num_classes=3), contrast=dict(queue_size=64))
images_per_step = 16
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        dataset=dict(_delete_=True, **data, ann_file='train.csv', pipeline=_base_.train_pipeline)
    ),
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **data,
        ann_file='test.csv',
        pipeline=_base_.test_pipeline,
        test_mode=True,
    )
)
test_dataloader = val_dataloader
