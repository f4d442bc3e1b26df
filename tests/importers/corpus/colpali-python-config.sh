accelerate launch --multi-gpu scripts/train/train_colbert.py scripts/configs/qwen2/train_colqwen25_model.py
