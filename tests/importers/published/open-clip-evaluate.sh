python -m open_clip_train.main --imagenet-val /data/imagenet/validation --imagenet-v2 /data/imagenetv2 \
    --model RN101 --pretrained /weights/rn101_yfcc.pt --batch-size 256 --workers 8 --precision amp
