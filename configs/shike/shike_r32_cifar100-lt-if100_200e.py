"""SHIKE, three ResNet-32, CIFAR-100-LT, IF 100, the released recipe.

180 epochs of batch 128, warm-up from 0.05 to 0.15 in 5, cosine; then 20 epochs for new classifiers,
warm-up from 0.05 to 0.1 in 5, cosine.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_folder_batch.py',
    '../_base_/schedules/cifar_lt_200e_cosine.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        type='DepthFusionBackbone',
        num_experts=3,
        shared_stages=2,
        backbone=dict(out_indices=(0, 1, 2)),
    ),
    head=dict(
        num_classes=100,
        classifier=dict(_delete_=True, type='CosineLinear', scale=30.0),
        label_loss=dict(
            _delete_=True,
            type='TwoStageLoss',
            first=dict(type='CrossEntropyLoss'),
            second=dict(type='BalancedSoftmaxLoss'),
        ),
        # 10 / C and (K - 1) / C, as the released code divides by the number of classes.
        expert_losses=dict(
            hardest_negative=dict(type='HardestNegativeLoss', loss_weight=0.1),
            distill=dict(type='ReweightedDistillLoss', loss_weight=0.02),
        ),
    ),
)
optim_wrapper = dict(optimizer=dict(lr=0.15, nesterov=False))
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 3, begin=0, end=5, by_epoch=True),
    dict(
        type='CosineAnnealingLR',
        T_max=175,
        begin=5,
        end=180,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(
    second_stage=dict(
        type='SecondStageHook',
        begin=0.9,
        reset=True,
        optimizer=dict(lr=0.1),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.5, begin=0, end=5, by_epoch=True),
            dict(
                type='CosineAnnealingLR',
                T_max=15,
                begin=5,
                end=20,
                by_epoch=True,
                convert_to_iter_based=True,
            ),
        ],
    )
)
