"""The widgets of a live panel: HTML that is redrawn, and buttons beside it."""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import ipywidgets

from pgmagic.notebook.activity import Action, Activity
from pgmagic.notebook.drawing import activity_html
from pgmagic.notebook.style import STYLE
from pgmagic.notebook.visible import escaped, visible

__all__ = ["PanelWidgets"]

LABELS = {"cancel": "■ Cancel", "retry": "↻ Retry"}
PRESSED = {"cancel": "cancelling …", "retry": "trying …"}
PATIENCE = 5.0  # seconds until a button that did not help can be pressed again


class PanelWidgets:
    """Drawings change every second, the buttons only when there is something else to press."""

    def __init__(
        self, act: Callable[[Action], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._act = act
        self._clock = clock
        self._alerts = ipywidgets.HTML()
        self._pools = ipywidgets.HTML()
        self._activity = ipywidgets.HTML(layout={"flex": "1 1 auto", "min_width": "0"})
        self._column = ipywidgets.VBox()
        self._column.add_class("pgm-buttons")
        self._box = ipywidgets.HBox([self._activity, self._column])
        self._box.add_class("pgm-going-on")
        self._spacer = ipywidgets.Box()
        self._spacer.add_class("pgm-nothing")
        self._buttons: dict[Action, ipywidgets.Button] = {}
        self._pressed: dict[Action, float] = {}
        # The style sheet has a widget to itself: it is sent once, not every second.
        self._style = ipywidgets.HTML(STYLE)
        self.root = ipywidgets.VBox([self._style, self._alerts, self._pools, self._box])
        self.root.add_class("pgm-frame")

    def mimebundle(self) -> dict[str, Any]:
        """Give what displays the widgets, without a text of their own."""
        bundle: dict[str, Any] = dict(self.root._repr_mimebundle_())
        del bundle["text/plain"]
        return bundle

    def draw(
        self,
        pools: str,
        going_on: Sequence[Activity],
        alerts: Sequence[str],
        *,
        offered: Collection[str],
    ) -> None:
        """Show HTML of the pools, what goes on, and a button for each of the `offered` verbs."""
        self._pools.value = pools
        self._activity.value = activity_html(going_on, live=True)
        self._box.layout.display = "" if going_on else "none"
        # Read out by a screen reader when it changes, and only then.
        self._alerts.value = (
            f'<span class="pgm"><span class="unseen" role="status">{escaped("; ".join(alerts))}'
            "</span></span>"
        )
        actions = [
            each.action if each.action and each.action.verb in offered else None
            for each in going_on
        ]
        self._set_buttons(actions if any(actions) else [])
        self._relabel()

    def close(self) -> None:
        """Take all widgets, and what the front end keeps of them, away."""
        for widget in (
            *self._buttons.values(), self._spacer, self._activity, self._column, self._box,
            self._alerts, self._pools, self._style, self.root,
        ):  # fmt: skip
            widget.close()

    def _set_buttons(self, actions: Sequence[Action | None]) -> None:
        """Put one button beside each line that has an action, and a gap beside the others."""
        for action in self._buttons.keys() - set(actions):
            self._buttons.pop(action).close()
            self._pressed.pop(action, None)
        children = [self._spacer if action is None else self._button(action) for action in actions]
        if tuple(children) != self._column.children:
            self._column.children = children

    def _button(self, action: Action) -> ipywidgets.Button:
        if action not in self._buttons:
            button = self._buttons[action] = ipywidgets.Button()
            button.add_class("pgm-button").add_class(f"pgm-{action.verb}")
            button.on_click(lambda _: self._press(action))
        return self._buttons[action]

    def _press(self, action: Action) -> None:
        self._pressed[action] = self._clock()
        self._relabel()
        self._act(action)

    def _relabel(self) -> None:
        """Name every button after what it does, and to which database."""
        for action, button in self._buttons.items():
            pressed = self._clock() - self._pressed.get(action, -PATIENCE) < PATIENCE
            button.disabled = pressed
            name = visible(action.database)
            button.description = (
                PRESSED[action.verb] if pressed else f"{LABELS[action.verb]} {name}"
            )
            button.tooltip = (
                f"Cancel this query on {name}"
                if action.verb == "cancel"
                else f"Ask {name} now, without waiting for the next try"
            )
