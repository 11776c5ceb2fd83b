"""Images in bulk from paid APIs: overnight, unattended, every cent accounted for."""

__version__ = "0.1.0"
