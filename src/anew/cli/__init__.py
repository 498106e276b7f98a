"""The `anew` command. Commands live in modules of their own, imported only when called: `--help` stays quick."""

from cyclopts import App

from anew import __version__

app = App(
    name="anew",
    help="Keep models in production fresh: drift events in, gated and deployed models out.",
    version=__version__,
    help_format="plaintext",  # markdown would import its parser: 0.2 s of each --help
    result_action="return_value",
)
app.command("anew.cli.demo:demo", name="demo", help="Watch a real model drift, retrain and go live on local Azure.")
app.command("anew.cli.serve:serve", name="serve", help="Run the webhook that Event Grid delivers to.")
app.command("anew.cli.emulator:emulator", name="emulator", help="Run local Azure on this machine.")
app.command("anew.cli.status:status", name="status", help="Show what is open, decided and waiting.")
app.command("anew.cli.explain:explain", name="explain", help="Explain why it did, or did not, retrain.")
app.command("anew.cli.approve:approve", name="approve", help="Agree to a candidate that waits for it, or force it.")
app.command("anew.cli.approve:reject", name="reject", help="Turn a candidate down that waits for an answer.")
app.command("anew.cli.cancel:cancel", name="cancel", help="Cancel the retraining of a model, in Azure too.")
app.command("anew.cli.rollback:rollback", name="rollback", help="Bring an earlier version of a model back.")
app.command("anew.cli.history:history", name="history", help="Show which version served what, when and why.")
app.command("anew.cli.lineage:lineage", name="lineage", help="Draw what an event, a version or a rollout came from.")

policy = App(name="policy", help="Check policies, try them, and replay them over history.")
policy.command("anew.cli.policy.check:check", name="check", help="Check policies: file, line, path and allowed values.")
policy.command("anew.cli.policy.explain:explain", name="explain", help="Say what a policy would decide now.")
policy.command("anew.cli.policy.backtest:backtest", name="backtest", help="Replay policies over your history.")
policy.command("anew.cli.policy.check:schema", name="schema", help="Print the JSON Schema of a policy.")
app.command(policy)

app.command("anew.cli.profile:profile", name="profile", help="Store the profile of reference rows, for drift.")

gate = App(name="gate", help="Try the gate on rows that two models have scored.")
gate.command(
    "anew.cli.gate.compare:compare_rows", name="compare", help="Compare two models as the gate would, and draw it."
)
app.command(gate)

events = App(name="events", help="Look at events, get back what was missed, and subscribe.")
events.command(
    "anew.cli.events.listing:list_events", name="list", help="List events and dead letters, with their state."
)
events.command("anew.cli.events.listing:show", name="show", help="Show all that is known of one event or dead letter.")
events.command("anew.cli.events.recover:redrive_letters", name="redrive", help="Read dead letters again.")
events.command("anew.cli.events.recover:ingest_path", name="ingest", help="Take in Event Grid's dead-letter blobs.")
events.command("anew.cli.events.recover:replay_missed", name="replay", help="Take in drift no event told of.")
events.command(
    "anew.cli.events.parse:parse", name="parse", help="Print the events of a file, normalised, one JSON line each."
)
events.command(
    "anew.cli.events.parse:subscribe", name="subscribe", help="Create the Event Grid subscription that feeds a webhook."
)
app.command(events)

ledger = App(name="ledger", help="Look after the ledger's database.")
ledger.command("anew.cli.ledger:upgrade", name="upgrade", help="Bring the ledger's schema up to date.")
app.command(ledger)
