"""PyTorch: TorchScript, exported programs, weights of a module."""
