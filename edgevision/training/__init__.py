"""A teacher labels, a student learns: labelling, training, distillation and export of compact detectors."""
