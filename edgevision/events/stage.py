"""From followed boxes to events: who appears, enters, stays, leaves, crosses and disappears.

Every change must last before it counts (`Zone.enter_s`, `Zone.leave_s`, ``appear_s``, ``gone_s``) and lines have a
margin, so that a box that flickers, or an identity that is lost for some frames, is one event. Memory is bounded by the
number of tracks that are followed at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from edgevision.errors import UsageError
from edgevision.events.best_image import BestImages
from edgevision.events.shapes import Anchor, Line, Zone, anchor_points, in_shares
from edgevision.types import Event, EventPhase, Result

APPEAR_S = 0.3
"""So long followed before an object counts as there: a false alarm of a frame or two is no event."""
GONE_S = 1.5
"""So long unseen before an object counts as gone: longer than a tracker bridges."""
UPDATE_S = 2.0
"""How often an event that goes on is reported again."""
MOST_TRACKS = 1000


@dataclass(slots=True)
class _Visit:
    """One object and one zone, or one object and the whole frame."""

    inside_since_ns: int | None = None
    outside_since_ns: int | None = None
    id: str = ""
    """Of its event, once it has entered."""
    began_ns: int = 0
    told_ns: int = 0
    stayed: bool = False
    first_box: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


@dataclass(slots=True)
class _Track:
    """What is known of one object."""

    class_name: str
    first_ns: int
    seen_ns: int
    box: tuple[float, float, float, float]
    score: float
    model: str
    source: str
    whole: _Visit = field(default_factory=_Visit)
    zones: dict[str, _Visit] = field(default_factory=dict)
    sides: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    """For each line: (side, distance, place along it) where the object was last clear of it."""


class EventStage:
    """Zones and lines watched over a loop's results. For one thread, the loop's."""

    def __init__(
        self,
        zones: Sequence[Zone] = (),
        lines: Sequence[Line] = (),
        *,
        objects: bool = True,
        appear_s: float = APPEAR_S,
        gone_s: float = GONE_S,
        images: bool = True,
        run_id: str = "0",
    ) -> None:
        """``objects``: report what appears and disappears too; ``images``: keep each event's best image; ``run_id``
        begins the events' ids, so that they differ between runs. Raises `UsageError` for names given twice."""
        names = [zone.name for zone in zones] + [line.name for line in lines]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise UsageError(f"zones and lines: expected different names, got {', '.join(twice)} twice")
        self.zones, self.lines = tuple(zones), tuple(lines)
        self._objects, self._appear_ns, self._gone_ns = objects, round(appear_s * 1e9), round(gone_s * 1e9)
        self._images = BestImages() if images else None
        self._run_id, self._number = run_id, 0
        self._tracks: dict[int, _Track] = {}
        self.entered: Counter[tuple[str, str]] = Counter()
        """(zone, class) to how many have entered."""
        self.crossed: Counter[tuple[str, str, str]] = Counter()
        """(line, class, direction) to how many have crossed."""

    def occupancy(self) -> dict[str, Counter[str]]:
        """How many of each class are in each zone now."""
        found: dict[str, Counter[str]] = {zone.name: Counter() for zone in self.zones}
        for track in self._tracks.values():
            for name, visit in track.zones.items():
                if visit.id:
                    found[name][track.class_name] += 1
        return found

    def update(self, result: Result) -> tuple[Event, ...]:
        """What began, went on and ended with one result, whose detections have track ids. In order of time."""
        now_ns = result.frame.moment_ns
        events = list(self._follow(result, now_ns))
        events += self._forget(result, now_ns)
        return tuple(events)

    def end(self) -> tuple[Event, ...]:
        """End what goes on: the loop is over."""
        events = [event for track_id in list(self._tracks) for event in self._end_track(track_id)]
        return tuple(events)

    def _follow(self, result: Result, now_ns: int) -> Iterator[Event]:
        found = result.detections
        if found.track_ids is None or len(found) == 0:
            return
        frame_wh = result.frame.size_wh
        shares = in_shares(found.boxes, frame_wh)
        points = {anchor: anchor_points(shares, anchor) for anchor in (Anchor.FEET, Anchor.CENTRE)}
        held = [zone.holds(found.boxes, frame_wh) for zone in self.zones]
        beyond = [line.distances(points[line.anchor]) for line in self.lines]
        boxes = found.boxes.tolist()
        for k, track_id in enumerate(found.track_ids.tolist()):
            if track_id < 0:
                continue
            track = self._seen(track_id, result, k, tuple(boxes[k]), now_ns)
            if track is None:
                continue
            if self._images is not None:
                self._images.offer(track_id, result.frame, track.box, float(found.scores[k]))
            yield from self._whole(track_id, track, now_ns)
            for zone, inside in zip(self.zones, held, strict=True):
                if not zone.classes or track.class_name in zone.classes:
                    yield from self._visit(track_id, track, zone, bool(inside[k]), now_ns)
            for line, (distances, places) in zip(self.lines, beyond, strict=True):
                if not line.classes or track.class_name in line.classes:
                    yield from self._line(track_id, track, line, float(distances[k]), float(places[k]), now_ns)

    def _seen(
        self, track_id: int, result: Result, k: int, box: tuple[float, float, float, float], now_ns: int
    ) -> _Track | None:
        found = result.detections
        class_id = int(found.class_ids[k])
        name = result.classes[class_id] if class_id < len(result.classes) else f"class {class_id}"
        score = float(found.scores[k])
        track = self._tracks.get(track_id)
        if track is None:
            if len(self._tracks) >= MOST_TRACKS:
                return None
            track = _Track(name, now_ns, now_ns, box, score, result.model, result.frame.source.name)
            self._tracks[track_id] = track
        track.seen_ns, track.box = now_ns, box
        track.score, track.model = max(track.score, score), result.model
        return track

    def _whole(self, track_id: int, track: _Track, now_ns: int) -> Iterator[Event]:
        """The object in the frame as such."""
        visit = track.whole
        if not visit.id:
            if now_ns - track.first_ns >= self._appear_ns:
                self._begin(visit, track, track.first_ns, now_ns)
                if self._objects:
                    yield self._event(track_id, track, visit, "object", EventPhase.BEGIN, now_ns)
        elif self._objects and now_ns - visit.told_ns >= UPDATE_S * 1e9:
            visit.told_ns = now_ns
            yield self._event(track_id, track, visit, "object", EventPhase.UPDATE, now_ns)

    def _visit(self, track_id: int, track: _Track, zone: Zone, inside: bool, now_ns: int) -> Iterator[Event]:
        visit = track.zones.setdefault(zone.name, _Visit())
        if inside:
            visit.outside_since_ns = None
            if visit.inside_since_ns is None:
                visit.inside_since_ns = now_ns
            if not visit.id:
                if now_ns - visit.inside_since_ns >= zone.enter_s * 1e9:
                    self._begin(visit, track, visit.inside_since_ns, now_ns)
                    self.entered[zone.name, track.class_name] += 1
                    yield self._event(track_id, track, visit, "zone", EventPhase.BEGIN, now_ns, zone.name)
                return
            if zone.stay_s is not None and not visit.stayed and now_ns - visit.began_ns >= zone.stay_s * 1e9:
                visit.stayed, visit.told_ns = True, now_ns
                yield self._event(track_id, track, visit, "zone", EventPhase.STAY, now_ns, zone.name)
            elif now_ns - visit.told_ns >= UPDATE_S * 1e9:
                visit.told_ns = now_ns
                yield self._event(track_id, track, visit, "zone", EventPhase.UPDATE, now_ns, zone.name)
            return
        if not visit.id:
            visit.inside_since_ns = None
            return
        if visit.outside_since_ns is None:
            visit.outside_since_ns = now_ns
        if now_ns - visit.outside_since_ns >= zone.leave_s * 1e9:
            yield self._leave(track_id, track, zone.name, visit.outside_since_ns)

    def _line(
        self, track_id: int, track: _Track, line: Line, distance: float, place: float, now_ns: int
    ) -> Iterator[Event]:
        if abs(distance) < line.margin:
            return
        side = 1.0 if distance > 0 else -1.0
        before = track.sides.get(line.name)
        track.sides[line.name] = (side, distance, place)
        if before is None or before[0] == side:
            return
        # Where the straight way between the two clear places meets the line.
        share = before[1] / (before[1] - distance)
        if not 0 <= before[2] + share * (place - before[2]) <= 1:
            return
        direction = "in" if side > 0 else "out"
        self.crossed[line.name, track.class_name, direction] += 1
        visit = _Visit()
        self._begin(visit, track, now_ns, now_ns)
        yield self._event(track_id, track, visit, "line", EventPhase.END, now_ns, line.name, direction)

    def _forget(self, result: Result, now_ns: int) -> Iterator[Event]:
        """Zones and the frame left by objects that are not seen any more."""
        for track_id, track in list(self._tracks.items()):
            unseen_ns = now_ns - track.seen_ns
            if unseen_ns == 0:
                continue
            for zone in self.zones:
                visit = track.zones.get(zone.name)
                if visit is not None and visit.id:
                    since_ns = min(track.seen_ns, visit.outside_since_ns or track.seen_ns)
                    if now_ns - since_ns >= max(zone.leave_s * 1e9, self._gone_ns):
                        yield self._leave(track_id, track, zone.name, since_ns)
            if unseen_ns >= self._gone_ns:
                yield from self._end_track(track_id)

    def _end_track(self, track_id: int) -> Iterator[Event]:
        track = self._tracks.pop(track_id)
        for name, visit in track.zones.items():
            if visit.id:
                yield self._event(track_id, track, visit, "zone", EventPhase.END, track.seen_ns, name)
        if track.whole.id and self._objects:
            yield self._event(track_id, track, track.whole, "object", EventPhase.END, track.seen_ns)
        if self._images is not None:
            self._images.forget(track_id)

    def _leave(self, track_id: int, track: _Track, zone: str, when_ns: int) -> Event:
        visit = track.zones.pop(zone)
        return self._event(track_id, track, visit, "zone", EventPhase.END, when_ns, zone)

    def _begin(self, visit: _Visit, track: _Track, began_ns: int, now_ns: int) -> None:
        self._number += 1
        visit.id, visit.began_ns, visit.told_ns = f"{self._run_id}-{self._number}", began_ns, now_ns
        visit.first_box = track.box

    def _event(
        self, track_id: int, track: _Track, visit: _Visit, kind: str, phase: EventPhase, when_ns: int,
        place: str = "", direction: str = "",
    ) -> Event:  # fmt: skip
        best = None if self._images is None else self._images.of(track_id)
        return Event(
            visit.id, kind, phase, place, direction, track.class_name, track_id, visit.began_ns, when_ns,
            visit.first_box, track.box, track.score, track.model, track.source, best,
        )  # fmt: skip
