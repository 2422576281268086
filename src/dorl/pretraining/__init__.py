"""How the bundled backbone is made: ``python -m dorl.pretraining``; nothing else in the package needs it."""
