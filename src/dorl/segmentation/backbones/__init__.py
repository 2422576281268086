"""Backbones of a segmenter: SAM, SAM 2, the tiny network, DinoBloom."""
