"""Suppresses alerts that repeat what a person has answered, for as long as they only do that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lookout.models.scoring.look_alikes import AlertLook, are_look_alikes, unlike_cells
from lookout.service.alerting.camera_policy import FollowedCamera
from lookout.service.alerting.evidence import EvidenceAsker
from lookout.service.core.messages import Alert, AlertEvent, Score
from lookout.service.storage.store.alert_evidence import RegionRecord
from lookout.service.storage.store.store import Store

FIRST_LOOK_S = 0.1
"""From the opening of an alert to the first further look."""

LATER = 1.5
"""Each look after it is so many times as far from the opening: the last one after 9 s."""

MOST_LOOKS = 12


@dataclass(slots=True)
class Suppressor:
    """Marks alerts as suppressed. Every method may raise one of UNAVAILABLE."""

    store: Store
    evidence: EvidenceAsker

    def mark(
        self,
        followed: FollowedCamera,
        events: Sequence[AlertEvent],
        regions: Mapping[str, RegionRecord],
    ) -> list[AlertEvent]:
        """Return the events of a step; new alerts that repeat what was answered are marked.

        regions: by alert.
        """
        found = {}
        for event in events:
            alert = event.alert
            if event.event == "new" and alert.id in regions:
                found[alert.id] = self.suppression_of(alert, regions[alert.id].open_look)
        for part in followed.parts:
            alert_id = part.alerts.alert.id if part.alerts.alert else ""
            part.alerts = part.alerts.marked(found.get(alert_id, part.alerts.suppressed_by))
        return [
            replace(event, alert=replace(event.alert, suppressed_by=found[event.alert.id]))
            if found.get(event.alert.id)
            else event
            for event in events
        ]

    def collect(self, followed: FollowedCamera, score: Score) -> None:
        """Look at open alerts, ever more rarely; what is seen is saved with their next event.

        An answer then knows several moments of what it is about.
        """
        if not self.evidence.settings.suppress_days:
            return
        for part in followed.parts:
            alert = part.alerts.alert
            value = part.value_of(score)
            if alert is None or value is None or value < part.rule.threshold:
                continue
            due_s = FIRST_LOOK_S * LATER ** len(part.looks)
            if len(part.looks) < MOST_LOOKS and score.captured_at - alert.opened_at >= due_s:
                _, look = self.evidence.shown_at(alert.camera, score.id)
                part.looks += [look] if look else []

    def look_again(self, followed: FollowedCamera, score: Score) -> list[AlertEvent]:
        """Tell of suppressed alerts that show something else by now; return their events.

        As at an opening, that has to last: for the policy's `min_duration_s`, at the threshold or
        above. A suppression that is over or revoked hides nothing from then on.
        """
        events: list[AlertEvent] = []
        for part in followed.parts:
            alert = part.alerts.alert
            value = part.value_of(score)
            if alert is None or alert.suppressed_by is None:
                part.unlike_since = None
            elif value is not None and value >= part.rule.threshold:
                _, look = self.evidence.shown_at(alert.camera, score.id)
                if self.suppression_of(alert, look):
                    part.unlike_since = None
                    continue
                if part.unlike_since is None:
                    part.unlike_since = score.captured_at
                if score.captured_at - part.unlike_since >= part.rule.min_duration_s:
                    told = replace(alert, suppressed_by=None)
                    part.alerts = part.alerts.marked(None)
                    part.unlike_since = None
                    events.append(AlertEvent("update", told))
        return events

    def suppression_of(self, alert: Alert, look: AlertLook | None) -> str | None:
        """Return the suppression that an alert repeats by its look; None: it is told.

        Several suppressions may explain it together. Named is the one that explains most of it.
        """
        if look is None:
            return None
        known = [
            one
            for one in self.store.suppressions(alert.camera).values()
            if one.series == alert.series
        ]
        if not are_look_alikes(look, [each for one in known for each in one.looks]):
            return None
        return min(known, key=lambda one: unlike_cells(look, one.looks).sum()).id
