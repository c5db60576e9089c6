"""A picture in, boxes out: manifests, preprocessing, inference sessions, decoders and the registry of models."""
