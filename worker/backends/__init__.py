"""What computes: transformers on torch, ONNX Runtime, or the fake one. Nothing outside imports torch or them."""
