torchrun -m open_clip_train.main \
    --dataset-resampled --save-frequency 1 --save-most-recent \
    --train-data '/data/pmc/{000000..000819}.tar' --train-num-samples 818000 --dataset-type webdataset \
    --lr "1.024e-3" --beta1 0.9 --beta2 0.95 --warmup 700 --wd 0.2 --batch-size 500 \
    --aug-cfg scale='(0.4, 1.0)' color_jitter='(0.32, 0.32, 0.32, 0.08)' color_jitter_prob=0.8 gray_scale_prob=0.2 \
    --epochs=9 --workers=6 --model ViT-B-16 --precision 'amp_bf16' --local-loss --gather-with-grad --force-image-size 224
