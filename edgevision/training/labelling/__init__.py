"""Frames are selected and labelled by one or several teachers, in this process or on Ray."""
