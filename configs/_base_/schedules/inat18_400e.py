"""NCL's recipe for iNaturalist 2018: 400 epochs of batch 512, cosine from 0.2 to 1e-4."""

optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.2, momentum=0.9, weight_decay=2e-4, nesterov=True)
)
param_scheduler = dict(type='CosineAnnealingLR', T_max=400, eta_min=1e-4, by_epoch=True)
train_cfg = dict(by_epoch=True, max_epochs=400, val_interval=10)
val_cfg = dict()
test_cfg = dict()
