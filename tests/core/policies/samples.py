"""A small valid policy, as text and as a value, for tests to vary."""

from datetime import UTC, datetime

from anew.core.policies.policy import Policy
from anew.core.policies.text import parse_policy

NOW = datetime(2026, 7, 14, 12, tzinfo=UTC)

MINIMAL = """\
apiVersion: anew/v1
model: elec2
monitors: [elec2-drift]
when:
  kind: all
  rules:
    - {kind: threshold, metric: drift_coefficient, above: 0.3}
    - {kind: threshold, metric: accuracy, below: 0.76}
limits: {cooldown: PT1H}
retrain:
  launcher: {kind: adf, pipeline: elec2-retrain}
evaluate: {job: jobs/evaluate.yml}
deploy:
  - {match: {stage: production, task: price}, endpoint: elec2-online}
  - {match: {stage: staging}, endpoint: elec2-staging}
"""


def sample(text: str = MINIMAL) -> Policy:
    return parse_policy(text, "sample.yaml")
