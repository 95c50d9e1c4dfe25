"""Backends: libraries that run an ONNX file, behind one interface."""
