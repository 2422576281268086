"""Slides: pictures too large to be held, of slide scanners, read part by part."""

from dorl.domains.slides.opening import is_slide, open_slide, slides_among, without_slides
from dorl.domains.slides.slide import Level, Slide

__all__ = ["Level", "Slide", "is_slide", "open_slide", "slides_among", "without_slides"]
