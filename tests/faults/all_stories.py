"""Every story, of trainings and of releases."""

from collections.abc import Mapping

from tests.faults.rollouts import ROLLOUT_STORIES
from tests.faults.stories import TRAINING_STORIES, Story

STORIES: Mapping[str, Story] = {**TRAINING_STORIES, **ROLLOUT_STORIES}
