"""The pages behind a link in a notification: plain HTML, no scripts, nothing fetched from elsewhere, text escaped."""

from html import escape

from starlette.responses import HTMLResponse

from anew.core.retrainings.approval_links import Permit
from anew.core.retrainings.lifecycle import Retraining

MOST_NAME = 100  # characters
MOST_REASON = 1000

_HEADERS = {
    # The address is the permission: it must not be kept, framed, indexed, or told to another site.
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


def question(retraining: Retraining, permit: Permit, status: int = 200, fault: str = "") -> HTMLResponse:
    """What the gate found, and the form that answers. The form tells which state of the retraining it was made of."""
    return page(
        status,
        f"May the new {retraining.model} be registered?",
        f"""<p>{escape(_finding(retraining))}</p>
<p>{escape(retraining.id)} waits until {permit.until:%Y-%m-%d %H:%M} UTC. No answer is a no.</p>
{f"<p><strong>{escape(fault)}</strong></p>" if fault else ""}
<form method="post">
<input type="hidden" name="revision" value="{retraining.revision}">
<p><label>Your name<br><input name="name" required maxlength="{MOST_NAME}" autocomplete="name"></label></p>
<p><label>Reason<br><textarea name="reason" required maxlength="{MOST_REASON}" rows="4"></textarea></label></p>
<p><button name="answer" value="approve">Approve</button> <button name="answer" value="reject">Reject</button></p>
</form>""",
    )


def decided(retraining: Retraining, status: int = 200) -> HTMLResponse:
    """What became of a retraining that waits for nobody."""
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
<p>More tells: <code>anew explain {escape(retraining.id)}</code></p>""",
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
