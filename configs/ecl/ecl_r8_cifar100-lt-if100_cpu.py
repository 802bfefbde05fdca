"""ECL on CIFAR-100-LT (IF 100, class folders) with a schedule for two CPU cores: wide ResNet-8.

Two processes of one thread each, 64 images per step together, use two cores best:
``tools/dist_train.sh configs/ecl/ecl_r8_cifar100-lt-if100_cpu.py 2``.

Mixed precision in bfloat16 nearly doubles the speed where the processor has AVX512-BF16; elsewhere
set ``optim_wrapper.type`` to ``OptimWrapper``.
"""

_base_ = [
    '../_base_/models/ecl_resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_folder.py',
    '../_base_/default_runtime.py',
]

max_epochs = 55
# A network this small underfits: the strong augmentations of the long recipe would slow it down.
light_view = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
]

light_key_view = [
    dict(type='RandomResizedCrop', scale=32, crop_ratio_range=(0.2, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, backend='cv2'),
    dict(type='RandomGrayscale', prob=0.2, keep_channels=True, color_format='rgb'),
]

# A shared first stage, where the maps are largest, saves the additional time of the double width.
# Bounded logits and a high learning rate helped the rare classes most in short trials. The roles of
# the two classifiers and the weights are those of the recorded result.
model = dict(
    backbone=dict(shared_stages=1, backbone=dict(depth=8, stage_channels=(32, 64, 128))),
    head=dict(
        num_classes=100,
        classifier=dict(_delete_=True, type='CosineLinear', scale=8.0),
        reading='peers_and_labels',
        expert_losses=dict(
            distill=dict(weighting=dict(type='DistillWeighting', comparison='ratio'))
        ),
    ),
)
images_per_step = 64
train_dataloader = dict(
    batch_size=images_per_step,
    num_workers=0,
    dataset=dict(
        dataset=dict(
            pipeline=_base_.load
            + [
                dict(type='MultiView', num_views=[1, 1], transforms=[light_view, light_key_view]),
                dict(type='PackInputs'),
            ]
        )
    ),
)

optim_wrapper = dict(
    type='Bfloat16OptimWrapper',
    optimizer=dict(type='SGD', lr=0.3, momentum=0.9, weight_decay=5e-4, nesterov=True),
)
param_scheduler = dict(
    type='CosineAnnealingLR', T_max=max_epochs, by_epoch=True, convert_to_iter_based=True
)
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=max_epochs // 2)
val_cfg = dict()
test_cfg = dict()
