"""chatd.webhook_signature: against the vectors of the specification's own libraries."""

import base64

import pytest

from chatd.webhook_signature import headers, key_of, new_secret, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID, AT = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330
BODY = b'{"test": 2432232314}'


def test_a_signature_is_what_the_specification_makes_of_it() -> None:
    assert sign(SECRET, MESSAGE_ID, AT, BODY) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_everything_that_is_signed_matters() -> None:
    signatures = {
        sign(SECRET, MESSAGE_ID, AT, BODY),
        sign(SECRET, MESSAGE_ID, AT, BODY + b" "),
        sign(SECRET, MESSAGE_ID, AT + 1, BODY),
        sign(SECRET, MESSAGE_ID + "x", AT, BODY),
        sign(new_secret(), MESSAGE_ID, AT, BODY),
    }
    assert len(signatures) == 5


def test_what_goes_along() -> None:
    assert headers(SECRET, MESSAGE_ID, AT, BODY) == {
        "Content-Type": "application/json",
        "webhook-id": MESSAGE_ID,
        "webhook-timestamp": f"{AT}",
        "webhook-signature": sign(SECRET, MESSAGE_ID, AT, BODY),
    }


def test_secrets_are_random_and_long_enough() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(len(key_of(secret)) == 32 for secret in secrets)


@pytest.mark.parametrize("size", [24, 64])
def test_a_key_of_a_good_size(size: int) -> None:
    assert len(key_of("whsec_" + base64.b64encode(bytes(size)).decode())) == size


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_AAAA",
        "whsec_!" + "A" * 43,
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
    ],
)
def test_what_is_no_secret(secret: str) -> None:
    with pytest.raises(ValueError, match="24 to 64"):
        key_of(secret)
