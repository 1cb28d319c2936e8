"""The ledger: where each accepted message ended, judged over the whole history of the topics.

It shares no code with what it judges, and knows only what docs/architecture.md promises: every accepted message ends
in exactly one of dispatched, dead letter, NONE, parked, or the outcome of its conversation; every task is answered
once; every conversation ends; an effect happens once. A message that starts a workflow gives rise to one task for each of
its slots, and answers to those end in the run. Its inputs are the committed records, the senders' log, the effects that
were found outside, and the stub model's call log.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from tests.faults.history import Stored
from tests.faults.verdict import Report, Sent

MESSAGES, DECISIONS, OUTCOMES = "agent_messages", "agent_decisions", "agent_outcomes"
REVIEWS, DEAD_LETTERS, TASKS = "agent_review", "agent_messages_dlq", "agent_tasks_"
ABRUPT = {"expired", "hop_budget", "token_budget", "loop", "failed", "cancelled"}
"""Outcomes that may take messages and tasks with them that have no ending of their own."""
NEEDED = {
    DECISIONS: ("message_id", "slot", "conversation_id", "agent", "path", "decided_at"),
    OUTCOMES: ("conversation_id", "episode", "status", "ended_at"),
    REVIEWS: ("message",),
    DEAD_LETTERS: ("topic", "reason"),
    TASKS: ("id", "causationid", "subject"),
}
"""What a record must have to be one of its topic."""
STATUSES = ABRUPT | {"completed", "none", "compensated"}


class Ledger:
    """One look at the whole history."""

    def __init__(
        self,
        records: Iterable[Stored],
        sent: Sequence[Sent],
        *,
        effects: Mapping[str, int] | None = None,
        acts: Collection[str] = (),
        model_calls: int = 0,
    ) -> None:
        """Sort the records.

        Args:
            records: all committed records.
            sent: what the senders wrote, and what the broker acknowledged.
            effects: how often each task's effect was found, by task id; None where nobody has effects.
            acts: the agents whose every answered task has an effect.
            model_calls: calls that the stub model saw.
        """
        self._sent = sent
        self._runs: set[str] = set()
        self._silent: set[str] = set()
        self._effects = effects
        self._acts = acts
        self._report = Report(model_calls=model_calls, effects=sum((effects or {}).values()))
        self._on_messages: dict[tuple[str, int, int], Stored] = {}
        self._messages: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._tasks: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
        self._by_cause: dict[str, list[str]] = defaultdict(list)
        self._decisions: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._letters: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._letters_at: Counter[tuple[str, int | None, int | None]] = Counter()
        self._letters_of_task: Counter[str] = Counter()
        self._outcomes: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._parked: Counter[str] = Counter()
        self._replies: dict[str, Counter[str]] = defaultdict(Counter)
        for record in records:
            self._sort(record)

    def judge(self) -> Report:
        """Return what is wrong, if anything is."""
        self._judge_senders()
        self._judge_messages()
        self._judge_tasks()
        self._judge_decisions()
        self._judge_runs()
        self._judge_conversations()
        self._judge_effects()
        return self._report

    def _sort(self, record: Stored) -> None:
        found = record.fields
        if record.topic == MESSAGES:
            self._on_messages[record.place] = record
            if found is not None and isinstance(found.get("id"), str) and found.get("subject"):
                self._messages[found["id"]].append({**found, "place": record.place})
                if found.get("type") == "agent.lifecycle.failed":
                    self._silent.add(found["data"]["agent"])
                is_answer = str(found.get("source", "")).startswith("agent/")
                if is_answer and found.get("type") != "task.status":
                    self._replies[str(found.get("causationid"))][found["id"]] += 1
        elif found is None:
            if record.topic in (DECISIONS, OUTCOMES, REVIEWS, DEAD_LETTERS):
                self._report.wrong.append(f"{record.place} is no JSON object")
        elif missing := [
            name for name in NEEDED.get(_kind_of(record), ()) if found.get(name) is None
        ]:
            self._report.wrong.append(f"{record.place} has no {missing}: it does not belong there")
        elif record.topic.startswith(TASKS):
            agent = record.topic.removeprefix(TASKS)
            self._tasks[found["id"]].append((agent, found))
            self._by_cause[found["causationid"]].append(found["id"])
        elif record.topic == DECISIONS:
            self._decisions[found["message_id"]].append(found)
            if found["path"] == "workflow":
                self._runs.add(found["message_id"])
        elif record.topic == OUTCOMES:
            self._outcomes[found["conversation_id"]].append(found)
        elif record.topic == REVIEWS:
            self._parked[found["message"]["id"]] += 1
        elif record.topic == DEAD_LETTERS:
            self._sort_letter(found)

    def _sort_letter(self, letter: dict[str, Any]) -> None:
        topic = letter["topic"]
        base = topic[topic.find("agent_") :] if "agent_" in topic else topic
        self._report.reasons[letter["reason"]] += 1
        if base.startswith(TASKS):
            self._letters_of_task[str(letter.get("message_id"))] += 1
        elif letter.get("message_id") in self._messages or letter.get("message_id"):
            self._letters[str(letter["message_id"])].append(letter)
        else:
            self._letters_at[(base, letter.get("partition"), letter.get("offset"))] += 1

    # ── rules ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _judge_senders(self) -> None:
        for one in self._sent:
            if one.place is None:
                continue
            self._report.acked += 1
            there = one.id in self._messages if one.id else one.place in self._on_messages
            if not there:
                self._report.lost.append(
                    f"{one.id or one.place} was acknowledged and is on no topic"
                )

    def _judge_messages(self) -> None:
        for message_id, found in self._messages.items():
            self._judge_message(message_id, found)
        for place, record in self._on_messages.items():
            fields = record.fields
            if fields is not None and isinstance(fields.get("id"), str) and fields.get("subject"):
                continue
            letters = self._letters_at.pop(place, 0)
            # What has a readable id but no valid envelope is named by it in its dead letter.
            if fields is not None and not letters:
                named = self._letters.get(str(fields.get("id")), [])
                letters = sum((x["partition"], x["offset"]) == place[1:] for x in named)
            self._report.dead_letters += letters
            if letters != 1:
                (self._report.lost if not letters else self._report.dup).append(
                    f"the bytes at {place} have {letters} dead letters"
                )
        for place in self._letters_at:
            self._report.wrong.append(f"a dead letter of {place}, where nothing bad was written")

    def _judge_message(self, message_id: str, found: list[dict[str, Any]]) -> None:
        # A value too large to be read is named by its place alone.
        by_place = sum(self._letters_at.pop(one["place"], 0) for one in found)
        letters = len(self._letters.get(message_id, ())) + by_place
        tasks = len(self._by_cause.get(message_id, ()))
        nones = sum(one["agent"] == "NONE" for one in self._decisions.get(message_id, ()))
        parked = min(1, self._parked[message_id])
        first = found[0]
        if first.get("source") == "orchestrator" and message_id.startswith("event-"):
            self._report.delivered += tasks
            return  # heard by however many subscribe to it, and by nobody without a trace
        if message_id in self._runs:
            tasks, nones = 1, 0  # which tasks they are is judged slot by slot
        endings = letters + tasks - self._given_again(message_id) + nones
        if endings == 0 and not parked:
            if self._is_carried_by_outcome(first):
                self._report.terminal += 1
            else:
                self._report.lost.append(f"{message_id} of {first['subject']} ended nowhere")
            return
        if endings > 1:
            self._report.dup.append(
                f"{message_id}: {tasks} tasks, {letters} dead letters, {nones} times NONE"
            )
        self._report.delivered += tasks
        self._report.dead_letters += letters
        self._report.terminal += nones
        self._report.parked += parked

    def _given_again(self, message_id: str) -> int:
        """How many of a message's tasks went to one more agent because the one before fell silent, as an event says."""
        by_slot = {one["slot"]: one["agent"] for one in self._decisions.get(message_id, ())}
        again = 0
        for slot in by_slot:
            kind, _, number = slot.partition(":")
            if kind == "route" and number.isdecimal():
                before = "route" if number == "2" else f"route:{int(number) - 1}"
                again += by_slot.get(before) in self._silent
        return again

    def _is_carried_by_outcome(self, message: dict[str, Any]) -> bool:
        ends = self._outcomes.get(message["subject"], ())
        if self._is_of_run(str(message.get("causationid"))):
            return bool(ends)
        if message.get("type") in ("task.failed", "task.status"):
            return bool(ends)
        if message.get("type") == "review.resolved":
            resolved = self._decisions.get(str(message["data"].get("message_id")), ())
            return any(one["path"] == "human" for one in resolved)
        return self._is_cut_off(message["subject"])

    def _is_cut_off(self, conversation: str) -> bool:
        return any(end["status"] in ABRUPT for end in self._outcomes.get(conversation, ()))

    def _judge_tasks(self) -> None:
        for task_id, found in self._tasks.items():
            agent, task = found[0]
            if len(found) > 1:
                self._report.dup.append(
                    f"{task_id} is {len(found)} tasks, for {[a for a, _ in found]}"
                )
            decided = [one["agent"] for one in self._decisions.get(task["causationid"], ())]
            if decided.count(agent) < 1:
                self._report.wrong.append(f"{task_id} went to {agent}, decided was {decided}")
            cause = self._messages.get(task["causationid"])
            if cause is None:
                self._report.wrong.append(
                    f"{task_id} answers {task['causationid']}, which nobody sent"
                )
            elif cause[0]["subject"] != task["subject"]:
                self._report.wrong.append(
                    f"{task_id} of {cause[0]['subject']} is in {task['subject']}"
                )
            self._judge_answer(task_id, agent, task)

    def _judge_answer(self, task_id: str, agent: str, task: dict[str, Any]) -> None:
        answers = self._replies.get(task_id, Counter())
        for reply in answers:
            found = {one["subject"] for one in self._messages[reply]}
            if found != {task["subject"]}:
                self._report.wrong.append(f"{reply} answers {task['subject']} in {sorted(found)}")
        if sum(answers.values()) > 1:
            self._report.dup.append(f"{task_id} of {agent} was answered {dict(answers)}")
        if self._letters_of_task[task_id] > 1:
            self._report.dup.append(f"{task_id}: {self._letters_of_task[task_id]} dead letters")
        if not answers and not self._is_cut_off(task["subject"]):
            self._report.open.append(
                f"{task_id} of {agent}, conversation {task['subject']}: no answer"
            )

    def _judge_decisions(self) -> None:
        for message_id, found in self._decisions.items():
            slots = Counter(one["slot"] for one in found)
            if max(slots.values()) > 1:
                self._report.dup.append(f"{message_id} was decided {dict(slots)}")
            self._report.model_decisions += sum(one["path"] == "model" for one in found)
            if message_id not in self._messages:
                self._report.wrong.append(f"a decision on {message_id}, which nobody sent")
            wanted = 0 if message_id in self._runs else sum(one["agent"] != "NONE" for one in found)
            # What a budget or a loop forbade was decided all the same; its conversation says so in its outcome.
            is_forbidden = self._is_cut_off(found[0]["conversation_id"])
            if wanted > len(self._by_cause.get(message_id, ())) and not is_forbidden:
                self._report.lost.append(f"{message_id} was decided for an agent and has no task")

    def _is_of_run(self, task_id: str) -> bool:
        return any(task["causationid"] in self._runs for _, task in self._tasks.get(task_id, ()))

    def _is_given_up(self, task_id: str) -> bool:
        return any(
            self._messages[answer][0]["type"] == "task.failed" and answer not in self._letters
            for answer in self._replies.get(task_id, ())
        )

    def _judge_runs(self) -> None:
        """A workflow's run: a task for each slot that was decided, attempts in order, nothing undone of what is completed."""
        for start in self._runs:
            given = [
                one
                for one in self._decisions[start]
                if one["agent"] != "NONE" and one["path"] == "workflow"
            ]
            decided = Counter(one["agent"] for one in given)
            there = Counter(self._tasks[task][0][0] for task in self._by_cause.get(start, ()))
            if decided - there:
                self._report.lost.append(f"{start}: no task for {dict(decided - there)}")
            if there - decided:
                self._report.wrong.append(f"{start}: tasks nobody decided, {dict(there - decided)}")
            slots = {one["slot"] for one in self._decisions[start]}
            for slot in slots:
                kind, step, number = (*slot.split(":"), "")[:3]
                before = f"{kind}:{step}" + (
                    f":{int(number) - 1}" if number.isdecimal() and number != "2" else ""
                )
                if number.isdecimal() and before not in slots:
                    self._report.lost.append(f"{start}: {slot} without {before}")
                if kind == "compensate" and f"step:{step}" not in slots:
                    self._report.wrong.append(f"{start}: {slot}, and the step was never given out")
            given_up = sum(self._is_given_up(task) for task in self._by_cause.get(start, ()))
            # A refused plan has its record, and is followed by another attempt or by a failure, like an agent that gave up.
            refused = sum(slot.startswith("plan:") and ":refused" in slot for slot in slots)
            followed = sum(slot.count(":") > 1 for slot in slots) - refused
            if given_up + refused > followed:
                self._report.lost.append(
                    f"{start}: an agent gave up or its plan was refused, and nothing followed from it"
                )
            ends = self._outcomes.get(given[0]["conversation_id"], ()) if given else ()
            undone = [slot for slot in slots if slot.startswith("compensate:")]
            for end in ends:
                if undone and end["status"] == "completed":
                    self._report.wrong.append(f"{start} is completed, and {undone} were undone")
                if not undone and end["status"] == "compensated":
                    self._report.lost.append(f"{start} is compensated, and nothing was undone")

    def _judge_conversations(self) -> None:
        openings: Counter[str] = Counter()
        for found in self._messages.values():
            if not str(found[0].get("source", "")).startswith("agent/"):
                openings[found[0]["subject"]] += 1
        last_decided: dict[str, str] = {}
        for found in self._decisions.values():
            for one in found:
                conversation = one["conversation_id"]
                last_decided[conversation] = max(
                    last_decided.get(conversation, ""), one["decided_at"]
                )
        for conversation, decided_at in last_decided.items():
            ends = self._outcomes.get(conversation, ())
            if not any(end["ended_at"] >= decided_at for end in ends):
                self._report.open.append(
                    f"{conversation}: decided at {decided_at}, no outcome after it"
                )
        for conversation, ends in self._outcomes.items():
            self._report.outcomes.update(end["status"] for end in ends)
            if unknown := {end["status"] for end in ends} - STATUSES:
                self._report.wrong.append(f"{conversation} ended as {sorted(unknown)}")
            episodes = Counter(end["episode"] for end in ends)
            if max(episodes.values()) > 1:
                self._report.dup.append(f"{conversation}: outcomes by episode {dict(episodes)}")
            if len(ends) > openings[conversation]:
                self._report.wrong.append(
                    f"{conversation}: {len(ends)} outcomes, but {openings[conversation]} messages from outside"
                )

    def _judge_effects(self) -> None:
        if self._effects is None:
            return
        for task_id, count in self._effects.items():
            if task_id not in self._tasks:
                self._report.wrong.append(f"an effect of {task_id}, which is no task")
            if count > 1:
                self._report.dup.append(f"{task_id} had its effect {count} times")
        for task_id, found in self._tasks.items():
            agent = found[0][0]
            is_done = any(
                self._messages[reply][0].get("type") != "task.failed"
                for reply in self._replies.get(task_id, ())
            )
            if agent in self._acts and is_done and not self._effects.get(task_id):
                self._report.lost.append(f"{task_id} of {agent} was answered without its effect")


def _kind_of(record: Stored) -> str:
    return TASKS if record.topic.startswith(TASKS) else record.topic
