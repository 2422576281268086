"""The fitted model and its folder: settings, files, features, classifiers, card."""
