deepspeed --num_gpus 4 train.py --deepspeed zero2.json --model_name_or_path ./base --data_path ./d.json \
  --per_device_train_batch_size 6 --gradient_accumulation_steps 2 --num_train_epochs 2 --learning_rate 2e-5 --warmup_ratio 0.1 --bf16 True --output_dir out
