"""What all data loaders share: plain order, shuffled for training, and accuracy by shot group."""

train_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=True), collate_fn=dict(type='default_collate')
)
val_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=False), collate_fn=dict(type='default_collate')
)
test_dataloader = val_dataloader
val_evaluator = dict(type='ShotAccuracy')
test_evaluator = val_evaluator
