"""Secrets of object stores: which variables hold one."""

from __future__ import annotations

import json

import pytest

from batchgen.files.store_variables import secrets_of

KEY = "-----BEGIN PRIVATE KEY-----\n" + "\n".join(f"line{n}" * 8 for n in range(6)) + "\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("name", "value", "secrets"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wJalr", ["wJalr"]),
        ("AWS_SESSION_TOKEN", "IQoJb", ["IQoJb"]),
        ("AWS_ACCESS_KEY_ID", "AKIA", []),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/token", []),
        ("AWS_ENDPOINT_URL", "https://user:word@store.example", ["word"]),
        ("AWS_ENDPOINT_URL", "http://[", []),
        ("AZURE_STORAGE_ACCOUNT_KEY", "abc==", ["abc=="]),
        ("AZURE_STORAGE_SAS_TOKEN", "?sv=1&sig=a%2Fb", ["?sv=1&sig=a%2Fb", "a/b"]),
        ("AZURE_STORAGE_CONNECTION_STRING", "X=1;AccountKey=k==", ["X=1;AccountKey=k==", "k=="]),
        ("AZURE_STORAGE_ACCOUNT_NAME", "shop", []),
        ("GOOGLE_APPLICATION_CREDENTIALS", "key.json", []),
        ("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps({"private_key": KEY}), KEY.splitlines()[3:6]),
        ("GOOGLE_SERVICE_ACCOUNT_KEY", "{", []),
        ("HOME", "/root", []),
    ],
)
def test_secrets_are_those_that_open_a_store(name, value, secrets):
    assert list(secrets_of({name: value})) == secrets
