"""napari's plugin: the images of a folder with masks, classes and corrections as layers."""
