"""Schedule of CIFAR-20-LT: 100 epochs of batch 64, cosine, bfloat16; the last epoch counts.

Processors without bfloat16 instructions are faster with ``optim_wrapper.type`` ``OptimWrapper``.
"""

max_epochs = 100

optim_wrapper = dict(
    type='Bfloat16OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
)
param_scheduler = dict(
    type='CosineAnnealingLR', T_max=max_epochs, by_epoch=True, convert_to_iter_based=True
)
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict()
test_cfg = dict()
