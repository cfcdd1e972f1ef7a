"""Checkpoints and mosaics as they lie in ``.safetensors`` files: written, read, checked."""
