"""Datasets of the Hub, or of a folder the operator names, read row by row. The library runs in a process of its own.

    dataset    what a caller names, what is reached for, what is known of it
    program    that process: finds the dataset, pins its commit, writes its rows as JSON lines
    stream     starts it, and gives its rows as records of a JSONL file that grows with them

From then on the batch is one of a JSONL file: checked, exported and retried like any other.
"""
