"""The contenders of a backtest and their replay: baselines and YAML policies decide batch by batch, on the past alone.
A prepared benchmark or recorded signals go in; retrainings and accuracies come out. Imports `history` and the modules
beside this room.
"""
