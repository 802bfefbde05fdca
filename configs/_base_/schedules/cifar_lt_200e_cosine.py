"""Schedule of several experts on CIFAR-LT: 200 epochs of batch 128, warm-up 5, cosine, bfloat16.

Processors without bfloat16 instructions are ten times faster with ``optim_wrapper.type``
``OptimWrapper``.
"""

optim_wrapper = dict(
    type='Bfloat16OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True, fused=True),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.2, begin=0, end=5, by_epoch=True),
    dict(
        type='CosineAnnealingLR',
        T_max=195,
        begin=5,
        end=200,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=20)
val_cfg = dict()
test_cfg = dict()
