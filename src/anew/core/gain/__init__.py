"""The gain of retraining: measured on surrogates (`matrix`, which needs numpy), judged by a rule (`gain`), and carried
as signals from a source of evidence to that rule (`signals`). May import `statistics`, `evidence` and `base`.
"""
