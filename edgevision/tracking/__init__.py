"""Boxes that keep an identity from frame to frame: ByteTrack, its Kalman filter and its assignment."""
