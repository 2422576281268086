"""Weights of others: published checkpoints, the Hub, conversion between layouts."""
