"""What `agents validate` refuses of workflows, each at its line and column, and that it is silent on what is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from signalbox.cli.main import app
from signalbox.definitions.workflow import MAX_STEPS
from signalbox.errors import DefinitionError
from signalbox.workflows.loading import load_fleet, problems_in

runner = CliRunner()


def fields(required: str = "", closed: bool = True, **properties: Any) -> dict[str, Any]:
    """An object schema; `required` names fields, separated by blanks."""
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": not closed,
    }


TEXT = {"type": "string", "maxLength": 100}
COUNT = {"type": "integer", "minimum": 1}
RESERVED = fields("reservation reserved_quantity", reservation=TEXT, reserved_quantity=COUNT)
AGENTS = {
    "inventory": (fields("product_id quantity", product_id=TEXT, quantity=COUNT), RESERVED),
    "payment": (
        fields("amount", amount={"type": "number"}, method={"enum": ["card", "invoice"]}),
        fields("transaction_id", transaction_id=TEXT),
    ),
    "shipping": (
        fields("order_id address", order_id=TEXT, address=fields("city", city=TEXT, street=TEXT)),
        fields("tracking_number", tracking_number=TEXT),
    ),
    "release": (RESERVED, fields("released", released={"type": "boolean"})),
    "auditor": (
        fields("", closed=False),
        fields("accepted", accepted={"type": "boolean"}, comment=TEXT),
    ),
}

GOOD = """\
name: fulfil
description: Reserves, charges, ships.
starts_on: [order.placed]
input:
  description: An order.
  schema:
    type: object
    required: [order_id, product_id, quantity, amount, city]
    properties:
      order_id: {type: string, maxLength: 100}
      product_id: {type: string, maxLength: 100}
      quantity: {type: integer, minimum: 1}
      amount: {type: number}
      city: {type: string, maxLength: 100}
      coupon: {type: string, maxLength: 100}
steps:
- id: reserve
  agent: inventory
  input: {product_id: '{{ data.product_id }}', quantity: {$path: $.data.quantity}}
  compensate: {agent: release}
- id: charge
  agent: payment
  needs: [reserve]
  when: data.amount > 0
  input: {amount: '{{ data.amount }}', method: card}
  validate_by: {agent: auditor, rounds: 2}
  approve: {reason: 'Charge {{ data.amount }}?', deadline_seconds: 60}
  compensate: none
- id: ship
  agent: shipping
  needs: [charge]
  input:
    order_id: '{{ data.order_id }} of {{ steps.reserve.reserved_quantity }}'
    address: {city: '{{ data.city }}'}
result: {tracking: '{{ steps.ship.tracking_number }}', coupon: "{{ data.voucher|default('none') }}"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fleet whose workflow is right."""
    (tmp_path / "fleet.yaml").write_text("name: orders\n")
    for name, (takes, gives) in AGENTS.items():
        definition = {
            "name": name,
            "description": f"Does what {name} does.",
            "input": {"description": "Something.", "schema": takes},
            "output": {"type": f"{name}.done", "description": "Something.", "schema": gives},
            "handler": {"python": "agents.none:none"},
        }
        (tmp_path / f"{name}.yaml").write_text(json.dumps(definition))
    write(tmp_path, GOOD)
    return tmp_path


def write(folder: Path, text: str, name: str = "fulfil") -> None:
    (folder / "workflows").mkdir(exist_ok=True)
    (folder / "workflows" / f"{name}.yaml").write_text(text)


def changed(folder: Path, old: str, new: str) -> list[DefinitionError]:
    """What is wrong once `old` is written as `new`."""
    assert GOOD.count(old) >= 1
    write(folder, GOOD.replace(old, new, 1))
    return problems_in(folder)


def test_a_sound_workflow_is_loaded_with_its_fleet(folder):
    """No problems, and the fleet has it."""
    assert problems_in(folder) == []
    assert set(load_fleet(folder).workflows) == {"fulfil"}


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ("agent: payment", "agent: paymnt", "22:10", "'paymnt', which is not in this fleet; did you mean payment?"),
        ("{agent: release}", "{agent: nobody}", "20:23", "names the agent 'nobody'"),
        ("{agent: auditor,", "{agent: nobody,", "26:24", "names the agent 'nobody'"),
        ("id: charge", "id: reserve", "21:7", "step 'reserve' is also step 1"),
        ("needs: [charge]", "needs: [charge, pay]", "31:19", "needs 'pay', which is no step"),
        ("compensate: {agent: release}", "needs: [ship]", "20:3", "in a circle: "),
        ("needs: [charge]", "needs: [charge, ship]", "31:3", "circle: ship → ship"),
        ("{{ data.product_id }}", "{{ data.product }}", "19:23", "`input` of the workflow has no 'product'; there is order_id"),
        ("$.data.quantity", "$.data.number", "19:66", "data.number: `input` of the workflow has no 'number'"),
        ("steps.reserve.reserved_quantity", "steps.reserve.quantity", "33:15", "the output of inventory has no 'quantity'"),
        ("steps.reserve.reserved_quantity", "steps.reserves.x", "33:15", "there is no step 'reserves'; did you mean reserve?"),
        ("{{ data.product_id }}", "{{ steps.reserves.x }}", "19:23", "there is no step 'reserves'; did you mean reserve?"),
        ("{$path: $.data.quantity}", "{$path: $.data.quantity, default: 0}", "19:48", "quantity of inventory: 0 is less than"),
        ("'{{ data.product_id }}'", "[1]", "19:11", "product_id is a list, and inventory takes it as"),
        ("{city: '{{ data.city }}'}", "{city: {a: 1}}", "34:15", "address.city is an object, and shipping takes it as"),
        ("data.amount > 0", "steps.ship.tracking_number == ''", "24:9", "step 'ship' need not have ended by then"),
        ("Charge {{ data.amount }}?", "{{ steps.charge.transaction_id }}", "27:21", "step 'charge' need not have ended"),
        ("{{ steps.ship.tracking_number }}", "{{ steps.ship.tracking }}", "35:20", "has no 'tracking'"),
        ("{{ data.product_id }}", "{{ data.product_id() }}", "19:23", "a call is not allowed"),
        ("data.amount > 0", "data.amount >", "24:9", "unexpected"),
        (", quantity: {$path: $.data.quantity}", "", "19:3", "inventory requires 'quantity', and nothing sets it"),
        ("{city: '{{ data.city }}'}", "{street: x}", "34:5", "shipping requires 'address.city'"),
        ("method: card", "how: card", "25:45", "payment does not take 'how'; it takes amount, method"),
        ("method: card", "method: cash", "25:48", "method of payment:"),
        ("{$path: $.data.quantity}", "0", "19:58", "quantity of inventory: 0 is less than"),
        ("{$path: $.data.quantity}", "'{{ data.city }}'", "19:58", "data.city is"),
        ("{$path: $.data.quantity}", "{$path: $.data.city}", "19:66", "inventory takes quantity as"),
        ("{agent: release}", "{agent: payment}", "20:23", "requires 'amount', and the output of inventory, which is handed on"),
        ("{agent: auditor, rounds: 2}", "{agent: release}", "26:24", "is given `task` and `result`"),
        ("{agent: auditor, rounds: 2}", "{agent: payment, input: {amount: 1}}", "26:24", "no boolean `accepted`"),
        ("  compensate: {agent: release}\n", "", "17:7", "step 'reserve' may be done when 'charge' fails"),
        ("  compensate: none\n", "", "21:7", "step 'charge' may be done when 'ship' fails"),
        ("starts_on: [order.placed]", "starts_on: [task.failed]", "3:1", "type of the engine"),
        ("when: data.amount > 0", "wen: 1", "24:8", "not a field of a definition"),
        ("rounds: 2", "rounds: 0", "26:41", "greater than or equal to 1"),
        ("deadline_seconds: 60", "deadline_seconds: 0", "27:68", "greater than 0"),
        ("'{{ data.product_id }}'", "{{ data.product_id }}", "19:11", "`{{ … }}` without quotes; put it in quotes"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_at_its_place(folder, old, new, place, said):
    """Names, order, references, contracts, missing error paths: file, line and column, the value and what is right."""
    problems = changed(folder, old, new)

    assert problems
    assert said in str(problems[0])
    assert str(problems[0]).startswith(f"{folder}/workflows/fulfil.yaml:{place}: ")
    with pytest.raises(DefinitionError):
        load_fleet(folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # The last step has nothing behind it that could fail; a workflow that does not undo needs nothing undone.
        ("  compensate: none\n- id: ship\n", "  compensate: none\n- id: ship\n  on_failure: fail\n"),
        ("result:", "on_failure: fail\nresult:"),
        # A step that another one waits for is done before that one; where that cannot fail, nothing is undone for it.
        ("needs: [charge]\n", "needs: [charge]\n  on_failure: skip\n"),
        # What cannot be known is not refused.
        ("{{ data.amount }}'", "{{ data.amount * 2 }}'"),
        ("{{ data.city }}", "{{ data.coupon|default(data.city) }}"),
        ("{agent: auditor, rounds: 2}", "{agent: auditor, input: {said: '{{ steps.charge }}'}}"),
        ("{agent: release}", "{agent: release, input: {$path: $.steps.reserve}}"),
    ],
)  # fmt: skip
def test_what_may_be_right_is_not_refused(folder, old, new):
    """A check that cries wolf is switched off: only what is proven wrong is a problem."""
    assert changed(folder, old, new) == []


def test_parallel_steps_need_an_error_path_each(folder):
    """A step that does not wait for another one may be done when that one fails."""
    apart = GOOD.replace("  needs: [reserve]\n", "").replace("  compensate: none\n", "")
    write(folder, apart.replace("steps.reserve.reserved_quantity", "data.quantity"))

    assert [str(one).split("'")[1] for one in problems_in(folder)] == ["charge", "ship"]


def test_every_problem_of_a_workflow_is_told_at_once(folder):
    """Whoever mends a file sees all of it, not one problem a run."""
    problems = changed(
        folder,
        "  input: {amount: '{{ data.amount }}', method: card}\n",
        "  input: {amount: '{{ data.price }}', method: cash}\n",
    )

    assert len(problems) == 2


def test_a_workflow_of_too_many_steps_is_refused(folder):
    """Ten thousand tasks are an error of the file, not of the job."""
    step = {"id": "a", "agent": "auditor"}
    steps = [{**step, "id": f"s{number}"} for number in range(MAX_STEPS + 1)]
    start = GOOD.partition("steps:")[0]
    write(folder, f"{start}steps: {json.dumps(steps)}\n")

    (problem,) = problems_in(folder)
    assert f"at most {MAX_STEPS} items" in str(problem)
    assert (problem.line, problem.column) == (16, 1)


def test_a_long_chain_at_the_limit_is_checked(folder):
    """As many steps as there may be, each after the one before it and using what it answered."""
    steps = [
        {
            "id": f"s{number}",
            "agent": "auditor",
            "compensate": "none",
            "needs": [f"s{number - 1}"] if number else [],
            "input": {"before": f"{{{{ steps.s{number - 1}.accepted }}}}"} if number else {},
        }
        for number in range(MAX_STEPS)
    ]
    start = GOOD.partition("steps:")[0]
    write(folder, f"{start}steps: {json.dumps(steps)}\n")

    assert problems_in(folder) == []


def test_two_workflows_of_one_name_are_refused(folder):
    """A name is one workflow."""
    write(folder, GOOD, "other")

    assert ["also declared in" in str(one) for one in problems_in(folder)] == [True]


def test_shared_schemas_are_inlined_in_a_workflow(folder):
    """What travels is self-contained: a reference to fleet.yaml is written out, and is known to the check."""
    (folder / "fleet.yaml").write_text(
        "name: orders\nschemas:\n  city: {type: string, maxLength: 100}\n"
    )
    reference = "city: {$ref: fleet.yaml#/schemas/city}"
    problems = changed(folder, "city: {type: string, maxLength: 100}", reference)

    assert problems == []
    schema = load_fleet(folder).workflows["fulfil"].input.json_schema
    assert schema["properties"]["city"] == {"type": "string", "maxLength": 100}


def test_validate_prints_the_problems_and_says_no(folder):
    """The command: each problem on a line with its place, exit code 1; a sound fleet says how many workflows it has."""
    sound = runner.invoke(app, ["agents", "validate", str(folder)])
    write(folder, GOOD.replace("agent: payment", "agent: nobody"))
    wrong = runner.invoke(app, ["agents", "validate", str(folder)])

    assert sound.exit_code == 0
    assert "5 agents, 1 workflow, no problems" in sound.stdout
    assert wrong.exit_code == 1
    assert "workflows/fulfil.yaml:22:10: step 'charge' names the agent 'nobody'" in wrong.stdout
