torchrun --nproc_per_node 8 -m open_clip_train.main --train-data '/d/{000..099}.tar' --train-num-samples 1280000 \
  --lr "5.12e-5" --beta2 0.95 --warmup 80 --wd 0.2 --batch-size 400 --epochs 4 --workers 6 --model ViT-L-14 \
  --pretrained '/ckpt/first.pt' --precision amp_bf16 --force-image-size 336 --grad-checkpointing --local-loss --gather-with-grad
