"""``python -m dorl``."""

from dorl.cli import main

main()
