"""``python -m batchgen`` is ``batchgen``."""

from .cli import main

main()
