export NUM=8
accelerate launch --num_machines 1 --num_processes $NUM --mixed_precision bf16 train_retriever.py \
  --per-device-train-batch-size=16 --max-steps 4000 --learning-rate 1e-4 --warmup-steps 250 --lr-scheduler-type cosine
