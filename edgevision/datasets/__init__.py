"""Labelled images on disk: read, written, split and reviewed in one place."""
