"""What computes the logits: torch, ONNX Runtime or OpenVINO, and the export for them."""
