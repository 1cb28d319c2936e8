"""`signalbox outbox`: what became of each mail, and the process that sends those whose day has come."""

from __future__ import annotations

from typing import Annotated

import typer

from signalbox.cli import session
from signalbox.errors import ConfigurationError

app = typer.Typer(no_args_is_help=True, help="List mails, send those that are due.")

EVERY_SECONDS = 30.0


@app.command("list")
def list_mails(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """List the mails of the outbox: sent, waiting for their day, refused, uncertain, or unreadable.

    Without a mail server every mail is a file and counts as sent. Exit code 1 where one is uncertain, refused or unreadable.
    """
    from agents.due_mails import UNREADABLE, mails_in  # noqa: PLC0415 (slow to import)

    outbox = session.load_settings().home / "outbox"
    found = mails_in(outbox)
    if as_json:
        session.print_json({"mails": [mail.as_json() for mail in found]})
    else:
        for mail in found:
            due = f"  due {mail.due:%Y-%m-%d %H:%M}" if mail.due and mail.state == "later" else ""
            typer.echo(f"{mail.state:<10}  {mail.to}  {mail.subject}{due}  {mail.path}")
        if not found:
            session.note(f"no mail in {outbox}")
    if any(mail.state in {"uncertain", "failed", UNREADABLE} for mail in found):
        raise typer.Exit(1)


@app.command()
def run(
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
) -> None:
    """Send the mails whose day has come, looking every 30 s until told to stop.

    `up` runs this where SIGNALBOX_SMTP__HOST is set. Remove a .later file to keep its mail from being sent.
    """
    settings = session.load_settings()
    if settings.smtp.host is None:
        msg = "SIGNALBOX_SMTP__HOST is not set; without a mail server nothing waits in the outbox"
        raise ConfigurationError(msg)
    from agents.due_mails import send_due  # noqa: PLC0415 (slow to import)
    from agents.log_lines import configure_logging  # noqa: PLC0415
    from connectors.smtp import SmtpServer  # noqa: PLC0415
    from signalbox.cli.source import stopped_by_signals  # noqa: PLC0415

    configure_logging()
    stopped = stopped_by_signals()
    server = SmtpServer(settings.smtp)
    while not stopped.is_set():
        send_due(settings.home / "outbox", server, session.now())
        if once:
            return
        stopped.wait(EVERY_SECONDS)
