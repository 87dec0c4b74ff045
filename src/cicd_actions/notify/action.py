"""Defines notify: it tells people of what changed, once."""

from __future__ import annotations

from cicd_actions.notify.inputs import Inputs
from cicd_actions.toolkit.definition import Action, Output

ACTION = Action(
    name="notify",
    summary="Tells people of a failed deploy, a rollback or a recovery: Slack, Teams, e-mail and what Apprise speaks.",
    inputs=Inputs,
    outputs=(
        Output("verdict", "`pass`, also when a notification could not be sent: that is a warning."),
        Output("sent", "`true` when every notification was sent."),
        Output("reason", "One sentence: what was sent, or why nothing was."),
    ),
    run="cicd_actions.notify.run.run",
    icon="bell",
    color="orange",
    groups={
        "Set first": "event urls environment reason rollback-url",
    },
)
