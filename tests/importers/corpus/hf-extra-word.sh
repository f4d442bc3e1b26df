python train.py $COMMON --per_device_train_batch_size 8 --max_steps 500
