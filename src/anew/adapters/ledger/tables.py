"""The ledger's tables. A change here needs a migration; a test compares the two."""

from datetime import UTC, datetime

import sqlalchemy as sa

from anew.core.retrainings.lifecycle import OPEN_RETRAINING


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """Aware datetimes, kept as naive UTC so that SQLite orders and compares them."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("the ledger keeps aware datetimes only")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None else None


metadata = sa.MetaData()
_serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")

inbox = sa.Table(
    "inbox",
    metadata,
    sa.Column("seq", _serial, primary_key=True, autoincrement=True),
    sa.Column("key", sa.String(1024), nullable=False, unique=True),
    sa.Column("event_id", sa.String(256), nullable=False, index=True),
    sa.Column("cause", sa.String(32), nullable=False),
    sa.Column("source", sa.String(16), nullable=False),
    sa.Column("event", sa.JSON, nullable=False),
    sa.Column("received_at", UtcDateTime, nullable=False),
    sa.Column("deliveries", sa.Integer, nullable=False),
    sa.Column("leased_until", UtcDateTime),
    sa.Column("hinted_at", UtcDateTime),
    sa.Column("decided_for", sa.JSON(none_as_null=True)),
    sa.Column("settled_at", UtcDateTime),
    sa.Column("outcome", sa.Text),
    sa.Column("subject_id", sa.String(64)),
    sa.Index("inbox_open", "cause", "settled_at"),
)

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("raw", sa.Text, nullable=False),
    sa.Column("source", sa.String(16), nullable=False),
    sa.Column("received_at", UtcDateTime, nullable=False),
    sa.Column("deliveries", sa.Integer, nullable=False),
    sa.Column("redriven_at", UtcDateTime),
    sa.Index("dead_letters_by_time", "received_at"),
)

ignored = sa.Table(
    "ignored",
    metadata,
    sa.Column("type", sa.String(256), primary_key=True),
    sa.Column("reason", sa.String(256), primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("last_at", UtcDateTime, nullable=False),
)

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(255), nullable=False),
    sa.Column("outcome", sa.String(32), nullable=False),
    sa.Column("decided_at", UtcDateTime, nullable=False),
    sa.Column("policy_source", sa.Text, nullable=False),
    sa.Column("policy_hash", sa.String(80), nullable=False),
    sa.Column("tree", sa.JSON, nullable=False),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Column("covers", sa.JSON, nullable=False),
    sa.Column("retraining_id", sa.String(64)),
    sa.Column("shadow", sa.Boolean, nullable=False),
    sa.Column("leaves_version", sa.String(64)),
    sa.Index("decisions_by_model", "model", "decided_at"),
)

retrainings = sa.Table(
    "retrainings",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("decision_id", sa.String(64), nullable=False, unique=True),
    sa.Column("model", sa.String(255), nullable=False),
    sa.Column("launcher", sa.String(32), nullable=False),
    sa.Column("launcher_spec", sa.JSON, nullable=False),
    sa.Column("job_name", sa.String(255), nullable=False, unique=True),
    sa.Column("evaluation_job", sa.String(255), nullable=False, unique=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("state_since", UtcDateTime, nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("intended_at", UtcDateTime),
    sa.Column("external_run_id", sa.String(255)),
    sa.Column("training_data", sa.String(255)),
    sa.Column("git_commit", sa.String(64)),
    sa.Column("champion_version", sa.String(64)),
    sa.Column("champion_changes", sa.Integer, nullable=False),
    sa.Column("gate", sa.JSON(none_as_null=True)),
    sa.Column("evaluations", sa.Integer, nullable=False),
    sa.Column("inconclusive_since", UtcDateTime),
    sa.Column("approval_deadline", UtcDateTime),
    sa.Column("approval", sa.String(16)),
    sa.Column("approval_by", sa.String(255)),
    sa.Column("approval_reason", sa.Text),
    sa.Column("new_version", sa.String(64)),
    sa.Column("reason", sa.Text),
    sa.Column("charge", sa.Float),
    sa.Column("stopped_for", sa.String(16)),
    sa.Column("poll_at", UtcDateTime),
    sa.Index("retrainings_by_poll", "state", "poll_at"),
    sa.Index("retrainings_by_run", "external_run_id"),
)
_open = retrainings.c.state.in_(sorted(OPEN_RETRAINING))
sa.Index(
    "one_open_retraining",
    retrainings.c.model,
    unique=True,
    sqlite_where=_open,
    postgresql_where=_open,
)

rollouts = sa.Table(
    "rollouts",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(255), nullable=False),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("endpoint", sa.String(64), nullable=False),
    sa.Column("deployment", sa.String(64), nullable=False),
    sa.Column("spec", sa.JSON, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("state_since", UtcDateTime, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("previous", sa.String(64)),
    sa.Column("previous_version", sa.String(320)),
    sa.Column("measured_at", UtcDateTime),
    sa.Column("measurements", sa.Integer, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("errors", sa.Integer, nullable=False),
    sa.Column("retraining_id", sa.String(64)),
    sa.Column("request_reason", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Index("rollouts_by_endpoint", "endpoint", "state"),
)

traffic = sa.Table(
    "traffic",
    metadata,
    sa.Column("seq", _serial, primary_key=True, autoincrement=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("endpoint", sa.String(64), nullable=False),
    sa.Column("shares", sa.JSON, nullable=False),
    sa.Column("mirror", sa.JSON, nullable=False),
    sa.Column("actor", sa.String(255), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("rollout_id", sa.String(64)),
    sa.Index("traffic_by_endpoint", "endpoint", "at"),
)

endpoint_leases = sa.Table(
    "endpoint_leases",
    metadata,
    sa.Column("endpoint", sa.String(64), primary_key=True),
    sa.Column("holder", sa.String(64), nullable=False),
    sa.Column("leased_until", UtcDateTime, nullable=False),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("seq", _serial, primary_key=True, autoincrement=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("subject", sa.String(16), nullable=False),
    sa.Column("subject_id", sa.String(64), nullable=False, index=True),
    sa.Column("what", sa.String(64), nullable=False),
    sa.Column("actor", sa.String(255), nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
)

watermarks = sa.Table(
    "watermarks",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
)

token_buckets = sa.Table(
    "token_buckets",
    metadata,
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("tokens", sa.Float, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("paused_until", UtcDateTime),
)
