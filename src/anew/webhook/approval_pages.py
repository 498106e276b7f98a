"""The pages behind the link of a notification: plain HTML with escaped text, no scripts and no other resources."""

from html import escape

from starlette.responses import HTMLResponse

from anew.core.retrainings.approval_links import Permit
from anew.core.retrainings.lifecycle import Retraining

MOST_NAME = 100  # characters
MOST_REASON = 1000

_HEADERS = {
    # The address is the permission: it must not be stored, framed, indexed, or sent to another site.
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


def question(retraining: Retraining, permit: Permit, status: int = 200, fault: str = "") -> HTMLResponse:
    """The gate's finding, and the form for the decision. The form names the revision of the retraining it shows."""
    return page(
        status,
        f"May the new {retraining.model} be registered?",
        f"""<p>{escape(_finding(retraining))}</p>
<p>{escape(retraining.id)} waits until {permit.until:%Y-%m-%d %H:%M} UTC. Without an answer it is rejected.</p>
{f"<p><strong>{escape(fault)}</strong></p>" if fault else ""}
<form method="post">
<input type="hidden" name="revision" value="{retraining.revision}">
<p><label>Your name<br><input name="name" required maxlength="{MOST_NAME}" autocomplete="name"></label></p>
<p><label>Reason<br><textarea name="reason" required maxlength="{MOST_REASON}" rows="4"></textarea></label></p>
<p><button name="answer" value="approve">Approve</button> <button name="answer" value="reject">Reject</button></p>
</form>""",
    )


def decided(retraining: Retraining, status: int = 200) -> HTMLResponse:
    """The outcome of a retraining that no longer waits for approval."""
    answer = (
        f"<p>{escape(f'{retraining.approval} by {retraining.approval_by}: {retraining.approval_reason}')}</p>"
        if retraining.approval
        else f"<p>{escape(retraining.reason or '')}</p>"
    )
    return page(
        status,
        f"The retraining of {retraining.model} is {retraining.state}",
        f"""<p>{escape(_finding(retraining))}</p>
{answer}
<p>For more run: <code>anew explain {escape(retraining.id)}</code></p>""",
    )


def page(status: int, title: str, body: str, **headers: str) -> HTMLResponse:
    """A page; *title* is escaped here, *body* is HTML."""
    return HTMLResponse(
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(title)}</title></head>
<body><h1>{escape(title)}</h1>
{body}
</body></html>
""",
        status,
        _HEADERS | headers,
    )


def _finding(retraining: Retraining) -> str:
    return retraining.gate.sentence if retraining.gate else "There is no comparison of the two models."
