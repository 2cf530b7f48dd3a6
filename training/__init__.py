"""Trains nbinpaint's embedded model from scratch: data, autoencoder, denoiser, judge, evaluation, export."""
