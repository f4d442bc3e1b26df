torchrun --nproc_per_node 8 -m open_clip_train.main --train-data "/a/{000..009}.tar::/b/{000..004}.tar" \
  --train-data-upsampling-factors 1::3 --dataset-resampled --train-num-samples 150000 --dataset-type webdataset \
  --batch-size 50 --epochs 10 --lr 5e-4 --warmup 30 --model ViT-B-32
