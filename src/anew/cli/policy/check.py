"""`anew policy check` and `anew policy schema`."""

import sys
from pathlib import Path

from anew.cli.output import print_json
from anew.errors import InvalidPolicy
from anew.settings import load_settings


def check(*paths: Path, json: bool = False) -> int:
    """Check policies. Exits 2 if one is wrong, and names file, line, path, offender and allowed values.

    Parameters
    ----------
    paths
        Files or folders; default: the folder of the settings.
    json
        Print one JSON object: {"ok", "policies", "problems"}.
    """
    known: list[dict[str, str]] = []
    problems: list[str] = []
    for path in paths or (load_settings().policies,):
        try:
            known += _checked(path)
        except InvalidPolicy as error:
            problems += error.problems
    if json:
        print_json({"ok": not problems, "policies": known, "problems": problems})
    elif problems:
        raise InvalidPolicy(tuple(problems))
    else:
        for item in known:
            print(f"ok  {item['source']}  {item['summary']}")
    return 2 if problems else 0


def schema() -> None:
    """Print the JSON Schema of a policy, for editors; `anew policy schema > policies/policy.schema.json` keeps it."""
    from anew.core.policies.text import schema_text

    sys.stdout.write(schema_text())


def _checked(path: Path) -> list[dict[str, str]]:
    from anew.adapters.policy_folder import DEFAULTS, load_policies, load_policy_files, read_defaults_file

    if path.name in DEFAULTS and path.is_file():
        read_defaults_file(path)
        return [{"model": "", "source": str(path), "summary": "defaults of the policies in its folder"}]
    policies = load_policies(path) if path.is_dir() else load_policy_files([path])
    return [
        {"model": entry.policy.model, "source": entry.source, "summary": f"keeps {entry.policy.model} fresh"}
        for entry in policies.entries
    ]
