"""The job `incoming_leads`: reads `incoming_leads`, writes `agent_messages`, or `agent_messages_dlq`. All of it is SQL.

`flink run -py flink_jobs/incoming_leads.py`, settings from the environment; with `-s` it goes on from a savepoint.
"""

from __future__ import annotations

from typing import Final

from flink_jobs.run_sql import submit
from signalbox.settings import Settings

STATEMENTS: Final = "20_incoming_leads_to_agent_messages"

if __name__ == "__main__":
    submit(STATEMENTS, Settings())
