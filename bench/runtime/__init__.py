"""Run ONNX models: backends behind one protocol, preprocessing, and processes with limits."""
