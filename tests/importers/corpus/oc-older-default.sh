python -m training.main --save-frequency 1 --zeroshot-frequency 1 --train-data="captions.csv" --val-data="captions.csv" \
  --csv-img-key filename --csv-caption-key captions --warmup 5000 --batch-size=128 --lr=1e-4 --wd=0.1 --epochs=50 --workers=8 --model ViT-B-32
