import threading
import time

from pipeline.runner.activity import Activity


def test_news_ends_a_rest():
    activity = Activity()
    seen = activity.rest(-1, at_most_secs=60)
    resting = threading.Thread(target=activity.rest, args=(seen, 60), daemon=True)
    resting.start()
    activity.note()
    resting.join(timeout=20)
    assert not resting.is_alive()


def test_no_rest_when_there_was_news_since_the_last():
    activity = Activity()
    seen = activity.rest(-1, at_most_secs=60)
    activity.note()
    began = time.monotonic()
    assert activity.rest(seen, at_most_secs=60) != seen
    assert time.monotonic() - began < 20


def test_without_news_a_rest_ends_by_itself():
    activity = Activity()
    seen = activity.rest(-1, at_most_secs=60)
    assert activity.rest(seen, at_most_secs=0.01) == seen
