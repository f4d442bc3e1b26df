export CUDA_VISIBLE_DEVICES=0,1
python train.py --per_device_train_batch_size 8 --max_steps 500 --learning_rate 3e-5 --warmup_steps 10 --fp16
