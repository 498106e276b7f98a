"""From leased events to recorded decisions that are acted upon.

A pass of `decide_pending` reads as a pipeline, one file a stage: `lease` the inbox entries that may mean drift,
`gather` evidence for each model, judge every case (`case`), `confirm` in Azure what would change anything, `record`
the decisions, and `act` on them. `preview` judges without recording. The room may use `training` and `rollouts` to act,
`serving`, `notifications` and `inbox`; it never calls `promotion` or `retrainings`.
"""
