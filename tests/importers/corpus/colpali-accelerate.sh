accelerate launch --multi_gpu --num_processes 4 scripts/train/train_colbert.py colpali-qwen2.yaml
