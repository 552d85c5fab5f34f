"""chatd.auth"""

import base64
import json
from typing import Any

import jwt
import pytest

from chatd.auth import (
    TOKEN_SECONDS,
    InvalidToken,
    Principal,
    Tokens,
    check_password_strength,
    hash_password,
    hash_refresh_token,
    password_matches,
)
from chatd.errors import ChatError
from protocol.errors import ErrorCode
from tests.support.builders import NOW_MS, SECRET

NOW = NOW_MS // 1000
TOKENS = Tokens(SECRET)
CLAIMS: dict[str, Any] = {
    "sub": "alice",
    "sid": "phone",
    "iat": NOW,
    "iam": NOW_MS,
    "exp": NOW + 60,
}


def refused(token: str, now_ms: int = NOW_MS) -> str:
    with pytest.raises(InvalidToken) as error:
        TOKENS.verify(token, now_ms)
    assert token == "" or token not in str(error.value)
    return str(error.value)


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_token_says_who_was_signed_for() -> None:
    claims = TOKENS.verify(TOKENS.sign("alice", "phone", NOW_MS, 60), NOW_MS)
    assert claims.principal == Principal("alice", "phone", NOW + 60)
    assert claims.issued_at_ms == NOW_MS


def test_a_token_is_good_for_seven_days() -> None:
    assert TOKEN_SECONDS == 7 * 24 * 3600
    claims = TOKENS.verify(TOKENS.sign("alice", "phone", NOW_MS), NOW_MS)
    assert claims.principal.expires_at == NOW + TOKEN_SECONDS


def test_a_token_ends_by_our_clock() -> None:
    token = TOKENS.sign("alice", "phone", NOW_MS, 60)
    TOKENS.verify(token, NOW_MS + 59_999)
    assert refused(token, NOW_MS + 60_000) == "the token has expired"
    assert refused(token, NOW_MS + 10**9) == "the token has expired"


def test_a_clock_that_stepped_back_does_not_refuse_a_token() -> None:
    TOKENS.verify(TOKENS.sign("alice", "phone", NOW_MS), NOW_MS - 3_600_000)


def test_another_secret_is_refused() -> None:
    refused(Tokens(SECRET[::-1]).sign("alice", "phone", NOW_MS))


def test_a_changed_token_is_refused() -> None:
    header, claims, signature = TOKENS.sign("alice", "phone", NOW_MS).split(".")
    other = segment(CLAIMS | {"sub": "bob"})
    for token in (
        f"{header}.{other}.{signature}",
        f"{header}.{claims}.",
        f"{header}.{claims}",
        f"{header}.{claims}.{signature[::-1]}",
    ):
        refused(token)


@pytest.mark.parametrize("algorithm", ["none", "None", "HS512", "HS384", "RS256", ""])
def test_no_other_algorithm_is_accepted(algorithm: str) -> None:
    unsigned = f"{segment({'alg': algorithm, 'typ': 'JWT'})}.{segment(CLAIMS)}."
    refused(unsigned)
    refused(unsigned + "AAAA")


def test_another_hmac_of_our_secret_is_refused() -> None:
    refused(jwt.encode(CLAIMS, SECRET * 2, algorithm="HS512"))
    same_secret = Tokens(SECRET * 2)
    with pytest.raises(InvalidToken):
        same_secret.verify(jwt.encode(CLAIMS, SECRET * 2, algorithm="HS512"), NOW_MS)


@pytest.mark.parametrize("missing", ["sub", "sid", "iam", "exp"])
def test_a_token_without_a_claim_is_refused(missing: str) -> None:
    claims = {name: value for name, value in CLAIMS.items() if name != missing}
    refused(jwt.encode(claims, SECRET, algorithm="HS256"))


@pytest.mark.parametrize(
    ("claim", "value"), [("exp", "soon"), ("exp", None), ("iam", "now"), ("iam", []), ("sub", 7)]
)
def test_a_claim_of_another_kind_is_refused(claim: str, value: object) -> None:
    refused(jwt.encode(CLAIMS | {claim: value}, SECRET, algorithm="HS256"))


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "\0", "é.é.é", "x" * 10_000])
def test_what_is_no_token_is_refused(token: str) -> None:
    refused(token)


@pytest.mark.parametrize("password", ["12345678", "x" * 72, "é" * 36, "        "])
def test_a_password_of_8_to_72_bytes_is_strong_enough(password: str) -> None:
    check_password_strength(password)


@pytest.mark.parametrize("password", ["", "1234567", "x" * 73, "é" * 37, "1234\x005678"])
def test_another_password_is_weak(password: str) -> None:
    with pytest.raises(ChatError) as weak:
        check_password_strength(password)
    assert weak.value.code is ErrorCode.WEAK_PASSWORD
    assert not password or password not in str(weak.value)


def test_a_password_matches_its_hash_and_no_other_does() -> None:
    hashed = hash_password("correct horse", 4)
    assert hashed.startswith("$2b$04$")
    assert "correct" not in hashed
    assert password_matches("correct horse", hashed)
    assert not password_matches("Correct horse", hashed)
    assert not password_matches("", hashed)


def test_equal_passwords_have_different_hashes() -> None:
    assert hash_password("correct horse", 4) != hash_password("correct horse", 4)


def test_the_cost_is_the_hashes_own() -> None:
    assert password_matches("correct horse", hash_password("correct horse", 5))


def test_a_password_that_could_not_be_set_matches_nothing() -> None:
    hashed = hash_password("x" * 72, 4)
    assert password_matches("x" * 72, hashed)
    assert not password_matches("x" * 73, hashed)
    assert not password_matches("x" * 72 + "\0", hashed)
    assert not password_matches("12345678\0", hash_password("12345678", 4))


def test_a_refresh_token_is_stored_as_a_hash() -> None:
    assert hash_refresh_token("token") == hash_refresh_token("token")
    assert hash_refresh_token("token") != hash_refresh_token("Token")
    assert "token" not in hash_refresh_token("token")
