"""Files that nobody has sent yet: made by rules, damaged at random, and given to the readers of uploads.

    python -m tests.fuzz --cases 100000            every format, in a process that is watched
    python -m tests.fuzz --only 4711 --keep DIR    one case again, and its file to look at

A case is made from a seed and its number alone. Trouble is whatever is no answer: an exception that is not our own
error of a file, rows that are lost or change when reading goes on in the middle, words that show where the file
stands, a process that dies, takes too long or too much memory.
"""
