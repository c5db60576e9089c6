"""Dense teachers: their scores and distances at every cell of an augmented image."""
