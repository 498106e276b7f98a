"""The `anew` command. Each command is a module, imported only when it is called, so that `--help` stays fast."""

from cyclopts import App

from anew import __version__

app = App(
    name="anew",
    help="Keep models in production fresh: drift events in, gated and deployed models out.",
    version=__version__,
    help_format="plaintext",  # Markdown would import its parser, which costs each --help 0.2 s
    result_action="return_value",
)
app.command("anew.cli.demo:demo", name="demo", help="Watch a real model drift, retrain and go live on local Azure.")
app.command("anew.cli.serve:serve", name="serve", help="Run the webhook that Event Grid delivers to.")
app.command("anew.cli.emulator:emulator", name="emulator", help="Run local Azure on this machine.")
app.command("anew.cli.status:status", name="status", help="Show what is open, decided and waiting.")
app.command("anew.cli.explain:explain", name="explain", help="Explain why anew did, or did not, retrain.")
app.command("anew.cli.approve:approve", name="approve", help="Approve a candidate that waits for an answer.")
app.command("anew.cli.approve:reject", name="reject", help="Reject a candidate that waits for an answer.")
app.command("anew.cli.cancel:cancel", name="cancel", help="Cancel a retraining, in Azure too.")
app.command("anew.cli.rollback:rollback", name="rollback", help="Roll a model back to an earlier version.")
app.command("anew.cli.history:history", name="history", help="Show which version served what traffic, when and why.")
app.command("anew.cli.lineage:lineage", name="lineage", help="Draw what led to a version, and what it led to.")

policy = App(name="policy", help="Check policies, try them, and replay them over history.")
policy.command("anew.cli.policy.check:check", name="check", help="Check policies: file, line, path and allowed values.")
policy.command("anew.cli.policy.explain:explain", name="explain", help="Show what a policy would decide now.")
policy.command("anew.cli.policy.backtest:backtest", name="backtest", help="Replay policies over your history.")
policy.command("anew.cli.policy.check:schema", name="schema", help="Print the JSON Schema of a policy.")
app.command(policy)

app.command("anew.cli.profile:profile", name="profile", help="Store the profile of reference rows for drift checks.")

gate = App(name="gate", help="Try the gate on rows that two models scored.")
gate.command(
    "anew.cli.gate.compare:compare_rows", name="compare", help="Compare two models as the gate would, and draw it."
)
app.command(gate)

events = App(name="events", help="List events, recover lost ones, and subscribe.")
events.command(
    "anew.cli.events.listing:list_events", name="list", help="List events and dead letters, with their state."
)
events.command("anew.cli.events.listing:show", name="show", help="Show one event or dead letter, and what it led to.")
events.command("anew.cli.events.recover:redrive_letters", name="redrive", help="Read dead letters again.")
events.command("anew.cli.events.recover:ingest_path", name="ingest", help="Take in dead-letter blobs of Event Grid.")
events.command("anew.cli.events.recover:replay_missed", name="replay", help="Take in drift that no event reported.")
events.command(
    "anew.cli.events.parse:parse", name="parse", help="Print the events of a file, normalised, one JSON line each."
)
events.command(
    "anew.cli.events.parse:subscribe", name="subscribe", help="Create the Event Grid subscription that feeds a webhook."
)
app.command(events)

ledger = App(name="ledger", help="Maintain the database of the ledger.")
ledger.command("anew.cli.ledger:upgrade", name="upgrade", help="Bring the schema of the ledger up to date.")
app.command(ledger)
