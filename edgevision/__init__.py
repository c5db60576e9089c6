"""Real-time vision on a laptop or a Raspberry Pi."""

__version__ = "0.1.0"
