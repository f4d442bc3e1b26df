CUDA_VISIBLE_DEVICES=1 python -m open_clip_train.main --train-data "../mine/sample.tar" --dataset-type webdataset \
  --warmup 0 --batch-size 24 --lr 1e-5 --wd 0.0 --epochs 2 --workers 0 --model ViT-B-32 --pretrained openai \
  --train-num-samples 2400 --logs ./logs --report-to none
