"""A cell looked at in several views: cropped to its size, stained anew, brought to common references, described."""

from dorl.views.crop import square_crop
from dorl.views.describe import Views, cell_views, crop_views, described_width
from dorl.views.stain import restain, to_references

__all__ = ["Views", "cell_views", "crop_views", "described_width", "restain", "square_crop", "to_references"]
