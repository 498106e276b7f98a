"""`anew policy`: check policies, explain their decision now, and replay them over history. In: policy files. Out: text
or JSON. May import `cli.output`, `cli.trees`, `cli.events`, `wiring`, `adapters`, `backtest`, `engine` and `core`.
"""
