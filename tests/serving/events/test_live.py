"""A server that takes events: the next answer counts them, exactly, and never those of another visitor."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest

from tests.support.served import predict

MEDIAN, SCALE, CAP = 5.0, 3.0, 1.0  # of the ratings of tests.support.served.write_model
JSON = {"content-type": "application/json"}


@pytest.fixture
def client(world):
    return world.client


@pytest.fixture
def known(world):
    """A visitor with factors whom no other test asks for: the server is shared."""
    rules = world.expected("recommend", visitorId=world.visitors, k=1)["rule"]
    return [name for name, rule in zip(world.visitors, rules, strict=True) if rule == "factors"][-1].decode()


def post(client, visitor, *items, name="view_item", **more):
    event = {"name": name, "params": {"items": [{"item_id": item} for item in items]}}
    return client.post("/events", json={"client_id": visitor, "events": [event | more]})


def recommended(client, visitor, k=20):
    answer = client.get("/recommendations", params={"visitorId": visitor, "k": k})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_view_changes_the_next_answer_to_that_of_the_whole_history(world, client, known):
    before = recommended(client, known)
    history = client.get(f"/history?visitorId={known}&k=50").json()["history"]
    viewed, bought = before["recommendations"][0]["contentId"], before["recommendations"][3]["contentId"]
    assert (before["rule"], before["liveItems"]) == ("factors", 0)
    assert post(client, known, viewed).json() == {"events": 1, "kept": 1, "leftOut": {}}
    assert post(client, known, bought, "tomorrow", name="purchase").json()["kept"] == 2
    after = recommended(client, known)
    assert (after["rule"], after["liveItems"]) == ("live", 2), "the item of tomorrow is unknown until then"

    ratings = [line["rating"] for line in history] + [min(CAP, SCALE * a / MEDIAN) for a in (1, 10)]
    items = [line["contentId"] for line in history] + [viewed, bought]
    whole = world.expected("recommend_from_history", contentIds=[items], ratings=np.array([ratings], "f"), k=20)
    assert [line["contentId"] for line in after["recommendations"]] == whole["contentIds"][0]
    scores = [line["score"] for line in after["recommendations"]]
    np.testing.assert_allclose(scores, whole["scores"][0], rtol=1e-5)
    assert not {viewed, bought} & set(whole["contentIds"][0])
    of_model = predict(client, "recommend", visitorId=[known], k=20)
    assert of_model["contentIds"][0] == [line["contentId"] for line in before["recommendations"]], (
        "predict is the model"
    )


def test_a_visitor_whom_nobody_knew_has_an_answer_by_one_view(client):
    assert recommended(client, "new")["rule"] == "popularity"
    assert post(client, "new", "tomorrow").json()["kept"] == 1
    assert recommended(client, "new") == recommended(client, "nobody") | {"visitorId": "new"}
    post(client, "new", "c7919")
    answer = recommended(client, "new")
    assert (answer["rule"], answer["liveItems"]) == ("live", 1)
    assert "c7919" not in [line["contentId"] for line in answer["recommendations"]]
    assert recommended(client, "nobody")["rule"] == "popularity"


def test_what_does_not_count_is_said(client):
    answer = post(client, "said", "c0", name="scroll").json()
    assert answer == {"events": 1, "kept": 0, "leftOut": {"no_signal": 1}}
    assert post(client, "said", "x" * 65).json()["leftOut"] == {"content_id_too_long": 1}
    sent = {"timestamp_micros": time.time_ns() // 1000}
    assert [post(client, "said", "c0", **sent).json()["kept"] for _ in range(2)] == [1, 0]
    assert post(client, "said", "c0", **sent).json()["leftOut"] == {"sent_before": 1}
    assert post(client, "forgotten", "c0").json() == {"events": 1, "kept": 0, "leftOut": {"deleted_visitor": 1}}
    assert recommended(client, "forgotten")["rule"] == "popularity"
    assert 'wals_events_total{kept="sent_before"} 2.0' in client.get("/metrics").text


def test_what_is_not_valid_is_refused(client):
    assert client.post("/events", json={"events": []}).status_code == 400
    assert client.post("/events", content=b"{" * 10_000, headers=JSON).status_code == 400
    assert client.post("/events", content=b" " * 20_001, headers=JSON).status_code == 413
    assert client.post("/events", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert client.get("/events").status_code == 405


def test_many_visitors_at_once_have_their_own_views_alone(client):
    """Each of 8 clients views, for each of its visitors, items that no other visitor views."""
    wrong = []

    def view(part):
        for number in range(3):
            visitor = f"own-{part}-{number}"
            items = [f"c{n * 7919 % 10_007}" for n in (part * 3 + number, part * 3 + number + 1)]
            for item in items:
                post(client, visitor, item)
            answer = recommended(client, visitor, 50)
            if answer["liveItems"] != 2 or any(line["contentId"] in items for line in answer["recommendations"]):
                wrong.append((visitor, answer["liveItems"]))

    threads = [threading.Thread(target=view, args=(part,)) for part in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_fields_of_a_tag_container_pass(client):
    """A request as a server-side tag container forwards it: fields that are not needed change nothing."""
    body = {
        "client_id": "1234567890.0987654321",
        "timestamp_micros": str(time.time_ns() // 1000),
        "non_personalized_ads": False,
        "consent": {"ad_user_data": "GRANTED"},
        "user_properties": {"tier": {"value": "gold"}},
        "events": [
            {
                "name": "add_to_cart",
                "params": {
                    "session_id": "17", "engagement_time_msec": 100, "currency": "EUR", "value": 3.5,
                    "items": [{"item_id": "c7919", "item_name": "Tea", "price": 3.5, "quantity": 1, "index": 0}],
                },
            }
        ],
    }  # fmt: skip
    assert client.post("/events", content=json.dumps(body), headers=JSON).json()["kept"] == 1
