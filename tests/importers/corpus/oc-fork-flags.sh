torchrun --nproc_per_node 2 -m training.main --model "ViT-B-16" --train-data "/d/{000000..000330}.tar" \
  --train-num-samples 2000000 --dataset-type webdataset --precision amp --cosinereg 0.001 --batch-size 128 --workers 4 \
  --epochs 10 --lr 5e-4 --warmup 500
