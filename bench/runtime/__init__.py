"""Runtime: sessions that run an ONNX file."""
