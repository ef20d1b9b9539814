from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation import over
from stepflow_sdk.message import (
    Envelope,
    Malformed,
    RpcError,
    decode,
    error_frame,
    request_frame,
    sought_id,
)
from stepflow_sdk.peer import uuid7

ids = st.one_of(st.integers(), st.text(st.characters(codec="utf-8")))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda it: (
        st.lists(it, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), it, max_size=4)
    ),
    max_leaves=10,
)


@given(st.binary())
def test_no_bytes_upset_the_decoder(frame):
    assert isinstance(decode(frame), (Envelope, Malformed))


@given(values)
def test_no_json_upsets_the_decoder(value):
    assert isinstance(decode(json.dumps(value).encode()), (Envelope, Malformed))


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(["jsonrpc", "id", "method", "params", "result", "error"], values)
    )
)
def test_no_shape_upsets_a_peer_and_junk_is_answered_at_most_once(message):
    answers = over().raw(json.dumps(message).encode())
    assert len(answers) <= 1
    assert all("error" in it for it in answers)


@given(ids, st.text(st.characters(codec="utf-8")), values, st.booleans())
def test_requests_are_read_as_they_were_written(id, method, params, escaped):
    text = json.dumps(
        {"jsonrpc": "2.0", "id": id, "method": method, "params": params}, ensure_ascii=escaped
    )
    envelope = decode(text.encode())
    assert isinstance(envelope, Envelope)
    assert (envelope.id, envelope.method) == (id, method)
    assert json.loads(bytes(envelope.params)) == params
    assert json.loads(request_frame(method, envelope.params, id)) == json.loads(text)


@given(ids, st.text())
def test_an_error_can_always_be_written(id, text):
    frame = json.loads(error_frame(id, RpcError(-1, text, {"text": text})))
    assert frame["id"] == id
    assert b"\n" not in error_frame(id, RpcError(-1, text))


def test_an_error_whose_data_is_no_json_is_written_without_it():
    assert json.loads(error_frame(1, RpcError(-1, "x", object())))["error"] == {
        "code": -1,
        "message": "x",
    }


@given(ids, st.integers(4096, 20_000), st.booleans(), st.booleans())
def test_the_id_of_a_large_message_is_sought_at_both_ends(id, size, first, escaped):
    head = {"jsonrpc": "2.0", "id": id, "method": "m"} if first else {}
    tail = {} if first else {"method": "m", "id": id}
    params = {"params": {"id": "inner", "x": '"id":5}' * (size // 7)}}
    frame = json.dumps({**head, **params, **tail}, ensure_ascii=escaped).encode()
    if len(json.dumps(id)) < 500:
        assert sought_id(frame[:4096], frame[-4096:]) == id


@pytest.mark.parametrize(
    "frame",
    [
        b'{"params":{"id":5}}',
        b'{"params":{"id":5},"x":1}',
        b'{"params":"\\"id\\":5}',
        b'["id",5]',
        b'{"a":{"b":1},"id":true}',
        b"",
    ],
)
def test_an_id_inside_the_params_is_not_the_messages(frame):
    assert sought_id(frame[:8], frame) is None


def test_our_ids_are_version_7_uuids_in_order():
    import uuid

    first, *others = made = [uuid7() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(uuid.UUID(it).version == 7 and uuid.UUID(it).variant == uuid.RFC_4122 for it in made)
    assert first[:8] <= others[-1][:8]
