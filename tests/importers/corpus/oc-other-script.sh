bash scripts/train_b32.sh 8 1e-3
