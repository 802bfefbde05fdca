"""Fine-tuning: 8 epochs of AdamW, warm-up in the first one, then a cosine.

The classifiers start from random weights and learn ten times as fast as the network.
"""

optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=3e-4, weight_decay=0.05),
    # Use whole prefixes: a network may have a layer named conv_head.
    paramwise_cfg=dict(
        norm_decay_mult=0,
        bias_decay_mult=0,
        custom_keys={
            'head.label_classifiers': dict(lr_mult=10),
            'head.distill_classifiers': dict(lr_mult=10),
        },
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=1, by_epoch=True, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=7,
        begin=1,
        end=8,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=8, val_interval=8)
val_cfg = dict()
test_cfg = dict()
