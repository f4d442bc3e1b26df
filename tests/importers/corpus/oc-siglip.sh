torchrun --nproc_per_node 4 -m open_clip_train.main --siglip --model ViT-B-16-SigLIP --train-data '/d/{000..099}.tar' \
  --train-num-samples 2000000 --batch-size 256 --epochs 3 --lr 1e-3 --warmup 250
