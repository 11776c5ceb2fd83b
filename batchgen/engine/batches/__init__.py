"""Batches: calls that are sent to their provider in files, at a lower price, and answered within a day.

``lane`` drives the submissions of one provider, a step at a time, each committed before the next one (``steps``).
``grouping`` decides which jobs go into one file, ``building`` claims them, writes the file and uploads it, ``remote``
carries out the calls of a batch, and ``collecting`` brings the rows of its results to the spool, from where they go
the way of every other answer. ``decisions`` are pure.
"""
