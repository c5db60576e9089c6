"""The loop: capture, inference workers, tracking, rendering and sinks, with its metrics."""
