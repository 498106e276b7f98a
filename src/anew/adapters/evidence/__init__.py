"""Sources of evidence that anew computes itself from files: drift of a window of rows, and the gain of retraining.

Each implements the engine's EvidenceReader and returns signals. May import pandas, the core and the backtest.
"""
