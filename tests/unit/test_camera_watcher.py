"""The camera list keeps following the store, whatever the store answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from lookout.service.core.camera import Camera
from lookout.service.ownership.camera_watcher import CameraWatcher
from lookout.service.storage.store.store import Store
from tests.waiting import wait_until


class Answers(Store):
    """A store that gives these answers, one a question, and the last for ever."""

    def __init__(self, *answers: Exception | dict[str, Camera]) -> None:
        self._answers = list(answers)

    def cameras(self) -> dict[str, Camera]:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookout.service.ownership.camera_watcher.FOLLOW_EVERY_S", 0.01)


@pytest.fixture
def follow(quick: None) -> Iterator[Callable[..., CameraWatcher]]:
    made: list[CameraWatcher] = []

    def start(*answers: Exception | dict[str, Camera]) -> CameraWatcher:
        made.append(CameraWatcher(Answers(*answers)).__enter__())
        return made[-1]

    yield start
    for one in made:
        one.__exit__()


@pytest.mark.parametrize(
    "trouble", [redis.ConnectionError("gone"), ValueError("a record of another version")]
)
def test_trouble_is_told_and_passes(
    follow: Callable[..., CameraWatcher], trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    cameras = follow(trouble, trouble, {})
    wait_until(lambda: cameras.cameras == {} and not cameras.away, "the store has answered")
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_what_the_store_told_before_is_kept(follow: Callable[..., CameraWatcher]) -> None:
    cameras = follow({}, TypeError("nonsense"))
    wait_until(lambda: cameras.away, "the trouble is noticed")
    assert cameras.cameras == {}
