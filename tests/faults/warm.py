"""What each process of a case would otherwise import, and build, when it first needs it.

Imported by the server that forks these processes, and by nobody else.
"""

import importlib
import inspect
import os
from pathlib import Path
from tempfile import TemporaryDirectory

# MLClient leaves it in the environment, and azure.ai.ml cannot be imported under the name of a cloud it does not know.
os.environ.pop("AZUREML_CURRENT_CLOUD", None)

from anew.emulator.app import HEAVY_MODULES
from anew.wiring import azure_access, build_engine, ml_client
from tests.faults.all_stories import STORIES
from tests.faults.players import load_named
from tests.faults.world import World, write_policies

for module in HEAVY_MODULES:
    importlib.import_module(module)

with TemporaryDirectory() as folder:
    world = World(Path(folder), 1, "sqlite://")
    write_policies(world.folder / "policies", STORIES["pipeline"].policies["policies"])
    build_engine(world.settings(), "faults")
    ml_client(world.settings(), azure_access(world.settings()))
    load_named(world.folder / "policies" / "jobs" / "evaluate.yml", "warm", {}, {})

# The SDK asks for the stack at every submission, and the first time Python looks up the file of each module.
inspect.stack()
