"""`anew policy`."""

import json as json_module
from pathlib import Path

from anew.cli.output import print_json
from anew.errors import InvalidPolicy
from anew.settings import load_settings


def check(folder: Path | None = None, *, json: bool = False) -> int:
    """Check every policy in a folder. Exits 2 and names file, line, path, offender and allowed values if one is wrong.

    Parameters
    ----------
    folder
        Where the policies are; default: the folder in the settings.
    json
        Print one JSON object: {"ok", "policies", "problems"}.
    """
    from anew.adapters.policy_folder import load_policies

    where = folder or load_settings().policies
    try:
        policies = load_policies(where)
    except InvalidPolicy as error:
        if not json:
            raise
        print_json({"ok": False, "policies": [], "problems": list(error.problems)})
        return 2
    known = [{"model": item.model, "source": policies.source_of(item.model)} for item in policies.all]
    if json:
        print_json({"ok": True, "policies": known, "problems": []})
    else:
        for item in known:
            print(f"ok  {item['source']}  keeps {item['model']} fresh")
    return 0


def schema() -> None:
    """Print the JSON Schema of a policy, for editors; `anew policy schema > policies/policy.schema.json` keeps it."""
    from anew.core.policy_text import policy_schema

    print(json_module.dumps(policy_schema(), indent=2))
