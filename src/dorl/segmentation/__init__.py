"""Stage 1: SAM tuned with LoRA segments the cell and embeds the image."""

from dorl.segmentation.backbones.sam import SamSpec
from dorl.segmentation.crop import cell_crop, largest_component
from dorl.segmentation.segmenter import Segmenter, SegmenterOutput

__all__ = ["SamSpec", "Segmenter", "SegmenterOutput", "cell_crop", "largest_component"]
