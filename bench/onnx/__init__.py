"""ONNX files as data: what they hold, whether they may be run, what they cost, and other forms of them."""
