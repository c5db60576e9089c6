"""From a checkpoint to an ONNX file, int8 quantisation, and a packaged model with its card."""
