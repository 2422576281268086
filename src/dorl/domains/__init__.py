"""One lab's images, labels and masks, from any layout."""

from dorl.domains.domain import Domain
from dorl.domains.images import read_image, read_mask
from dorl.domains.readers import parse_lab, read_domain, read_domains

__all__ = ["Domain", "parse_lab", "read_domain", "read_domains", "read_image", "read_mask"]
