for lr in 1e-3 3e-4 1e-4; do
  for wd in 0.1 0.2; do
    python -m open_clip_train.main --train-data d.csv --lr $lr --wd $wd --model RN50
  done
done
