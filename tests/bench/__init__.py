"""How fast batchgen is, as ratios against a bare loop in the same run: ``python -m tests.bench``."""
