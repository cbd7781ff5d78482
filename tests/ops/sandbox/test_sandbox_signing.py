"""The signature module by itself: raw bytes in, acceptance or a typed error out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from paymesh.signing import (
    NONCE_HEADER,
    SERIAL_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    ForgedSignature,
    MalformedSignature,
    SignatureError,
    Signer,
    StaleTimestamp,
    Verifier,
    generate_key_pair,
    serial_of,
    sign_notification,
    verify_notification,
)

NOW_S = 1_800_000_000
NONCE = "0123456789abcdef"
BODY = b'{"amount":1234}'
PRIVATE, PUBLIC = generate_key_pair()
SIGNER = Signer(PRIVATE, "key-1")
VERIFIER = Verifier({"key-1": PUBLIC})


def message_headers(timestamp: int = NOW_S) -> dict[str, str]:
    return SIGNER.sign_message(timestamp=timestamp, nonce=NONCE, body=BODY)


def test_signed_message_is_accepted_whatever_the_case_of_its_headers() -> None:
    """HTTP libraries change the case of header names; it means nothing."""
    headers = {name.upper(): value for name, value in message_headers().items()}
    VERIFIER.verify_message(headers, BODY, now_s=NOW_S)


def test_message_is_signed_as_wechat_pay_signs_it() -> None:
    """timestamp, nonce and body, each ended by a line feed, RSA-2048 with SHA-256, base64."""
    import base64

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    key = serialization.load_pem_public_key(PUBLIC)
    assert isinstance(key, rsa.RSAPublicKey)
    text = f"{NOW_S}\n{NONCE}\n".encode() + BODY + b"\n"
    signature = base64.b64decode(message_headers()[SIGNATURE_HEADER])
    key.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
    assert key.key_size == 2048


@pytest.mark.parametrize("body", [b"", BODY + b"\n", BODY.replace(b"1234", b"1235")])
def test_a_changed_body_is_forged(body: bytes) -> None:
    """One byte more, less or other, and it is not what was signed."""
    with pytest.raises(ForgedSignature):
        VERIFIER.verify_message(message_headers(), body, now_s=NOW_S)


@pytest.mark.parametrize(
    "change",
    [
        {NONCE_HEADER: "0123456789abcdeF"},
        {TIMESTAMP_HEADER: str(NOW_S + 1)},
        {SERIAL_HEADER: "key-2"},
        {SIGNATURE_HEADER: "AAAA"},
    ],
)
def test_a_changed_header_is_forged(change: dict[str, str]) -> None:
    """Time and nonce are under the signature; a key we do not have proves nothing."""
    with pytest.raises(ForgedSignature):
        VERIFIER.verify_message({**message_headers(), **change}, BODY, now_s=NOW_S)


@pytest.mark.parametrize("skew_s", [-301, 301])
def test_a_message_from_too_long_ago_or_ahead_is_stale(skew_s: int) -> None:
    """A valid signature is not valid for ever."""
    with pytest.raises(StaleTimestamp):
        VERIFIER.verify_message(message_headers(NOW_S + skew_s), BODY, now_s=NOW_S)


@pytest.mark.parametrize("skew_s", [-300, 300])
def test_a_message_at_the_limit_of_the_skew_is_accepted(skew_s: int) -> None:
    """Clocks differ: five minutes either way are allowed."""
    VERIFIER.verify_message(message_headers(NOW_S + skew_s), BODY, now_s=NOW_S)


@pytest.mark.parametrize(
    "header", [SERIAL_HEADER, TIMESTAMP_HEADER, NONCE_HEADER, SIGNATURE_HEADER]
)
@pytest.mark.parametrize("value", [None, "", "\u0661\u0662\u0663", "a b\n", "x" * 2000])
def test_a_missing_or_odd_header_is_malformed(header: str, value: str | None) -> None:
    """Absent, empty, not ASCII, with blanks, endless: refused before any RSA."""
    headers = message_headers()
    if value is None:
        del headers[header]
    else:
        headers[header] = value
    with pytest.raises(MalformedSignature):
        VERIFIER.verify_message(headers, BODY, now_s=NOW_S)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/orders?a=1"), ("POST", "/v1/orders"), ("POST", "/v1/orders?")]
)
def test_a_request_signed_for_another_method_or_path_is_forged(method: str, path: str) -> None:
    """A signature for one call is no signature for another."""
    headers = SIGNER.sign_request(
        method="POST", path="/v1/orders?a=1", timestamp=NOW_S, nonce=NONCE, body=BODY
    )
    VERIFIER.verify_request("POST", "/v1/orders?a=1", headers, BODY, now_s=NOW_S)
    with pytest.raises(ForgedSignature):
        VERIFIER.verify_request(method, path, headers, BODY, now_s=NOW_S)


def test_keys_rotate_by_serial() -> None:
    """Two keys side by side; each message names its own."""
    new_private, new_public = generate_key_pair()
    both = Verifier({"key-1": PUBLIC, "key-2": new_public})
    new = Signer(new_private, "key-2")
    headers = new.sign_message(timestamp=NOW_S, nonce=NONCE, body=BODY)
    both.verify_message(headers, BODY, now_s=NOW_S)
    both.verify_message(message_headers(), BODY, now_s=NOW_S)
    with pytest.raises(ForgedSignature):
        both.verify_message({**headers, SERIAL_HEADER: "key-1"}, BODY, now_s=NOW_S)


def test_a_serial_follows_from_the_key() -> None:
    """Both sides come to the same name without talking."""
    assert Signer(PRIVATE).serial == serial_of(PUBLIC)
    assert len(serial_of(PUBLIC)) == 32


def test_notification_signature_is_stripes_format() -> None:
    """HMAC-SHA256 over `timestamp.body`; the vector was made with openssl."""
    header = sign_notification(b"whsec_test", timestamp=1_700_000_000, body=b'{"id":"evt_1"}')
    assert header == (
        "t=1700000000,v1=c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925"
    )


SECRET = b"s3cret"


def test_notification_is_accepted_and_survives_a_rotation_of_the_secret() -> None:
    """While two secrets are in use the header carries both signatures; one match is enough."""
    header = sign_notification(SECRET, timestamp=NOW_S, body=BODY)
    other = sign_notification(b"old", timestamp=NOW_S, body=BODY).partition(",")[2]
    verify_notification(SECRET, header=header, body=BODY, now_s=NOW_S + 300)
    verify_notification(SECRET, header=f"{header}, {other},v2=x", body=BODY, now_s=NOW_S)


def _changed(header: str) -> str:
    return header[:-1] + ("0" if header[-1] != "0" else "1")


@pytest.mark.parametrize(
    ("change", "body", "now_s", "error"),
    [
        (_changed, BODY, NOW_S, ForgedSignature),
        (lambda header: header, BODY + b" ", NOW_S, ForgedSignature),
        (lambda header: header.replace("t=18", "t=17"), BODY, NOW_S, StaleTimestamp),
        (lambda header: header, BODY, NOW_S + 301, StaleTimestamp),
        (lambda header: header, BODY, NOW_S - 301, StaleTimestamp),
        (lambda header: "", BODY, NOW_S, MalformedSignature),
        (lambda header: header.replace("v1", "v0"), BODY, NOW_S, MalformedSignature),
        (lambda header: header.replace("t=", "t=-"), BODY, NOW_S, MalformedSignature),
        (lambda header: f"t=1,{header}", BODY, NOW_S, MalformedSignature),
        (lambda header: header + ",v1=" + "a" * 2000, BODY, NOW_S, MalformedSignature),
    ],
)
def test_a_notification_that_is_not_ours_is_refused(
    change: Callable[[str], str], body: bytes, now_s: int, error: type[SignatureError]
) -> None:
    """Each way to be wrong has its own error."""
    header = change(sign_notification(SECRET, timestamp=NOW_S, body=BODY))
    with pytest.raises(error):
        verify_notification(SECRET, header=header, body=body, now_s=now_s)


def test_an_empty_secret_is_refused() -> None:
    """Everybody knows the empty key."""
    with pytest.raises(ValueError, match="empty"):
        sign_notification(b"", timestamp=NOW_S, body=BODY)
