for MODEL in ViT-B-32; do
  torchrun --nproc_per_node 2 -m open_clip_train.main --model $MODEL --train-data "/d/$MODEL/{00..49}.tar" \
     --train-num-samples 500000 --batch-size 256 --epochs 10 --lr 5e-4 --warmup 100 --name "run-$MODEL"
done
