accelerate launch --num_processes 2 train.py --per_device_train_batch_size 4 --learning_rate 2e-5 --max_steps 100 --label_smoothing_factor 0.1 --neftune_noise_alpha 0 --warmup_steps 5
