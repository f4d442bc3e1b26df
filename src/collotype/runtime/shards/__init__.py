"""Tar shards in webdataset layout (KEY.jpg, KEY.txt, KEY.json next to each other), read at random.

names      patterns, folders and addresses to shard names
tar        headers of a tar; single members by name
samples    which members make a sample, and what is wrong with those that do not
remote     shards of other machines, whole in a bounded folder of this one
index      where every sample is, found once and kept
reader     samples by row: what a dataset reads
"""
