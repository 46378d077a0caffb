"""Key files: what is written is read again, and nothing else is."""

import re
from ipaddress import ip_network

import pytest

from prr.trust.credential import Credential, Holder, encode_credential
from prr.trust.describing import describe_key
from prr.trust.key_file import (
    credential_text,
    keyring_text,
    pruned,
    read_key_file,
    rotated,
    without_keys,
)
from prr.trust.keyring import SECRETS_MAX, Held, Keyring, secret_id
from prr.trust.token import TOKEN_CHARACTERS_MAX, held_in_token, operator_of, token_of
from tests.keys import APP, BILLING, ME, OTHER, SECRET, held

NETWORKS = (ip_network("10.0.0.0/24"), ip_network("2001:db8::/48"))
CREDENTIALS = [
    BILLING,
    Credential(Holder.SERVER, "a", 0, NETWORKS),
    Credential(Holder.SERVER, "b.c_d-9", 255, NETWORKS[:1]),
    APP,
    ME,
]


@pytest.mark.parametrize("credential", CREDENTIALS, ids=str)
def test_a_credential_is_read_as_it_was_written(credential):
    issued = held(credential)
    assert read_key_file(credential_text(issued)) == issued


def test_a_keyring_is_read_as_it_was_written():
    keyring = read_key_file(keyring_text(SECRET))
    assert (keyring.secrets, keyring.revoked) == ((SECRET,), frozenset())


def test_a_rotated_keyring_signs_with_the_new_secret_and_believes_the_old_one():
    text = rotated(keyring_text(SECRET), OTHER)
    assert read_key_file(text).secrets == (OTHER, SECRET)
    assert read_key_file(pruned(text)).secrets == (OTHER,)
    assert read_key_file(pruned(pruned(text))).secrets == (OTHER,)


@pytest.mark.parametrize(
    "written",
    [
        'secrets = ["{old}"]\n',
        'revoked = ["web-7"]\nsecrets = [ # ] newest first\n  "{old}", # from ["spring"]\n]\n',
        "secrets = ['{old}'] # [1]\nrevoked = ['web-7']\n",
        '# secrets = ["no"]\nsecrets=["{old}"]\n\nrevoked = [] # "none"\n',
    ],
)
def test_rotate_and_prune_change_the_secrets_and_nothing_else(written):
    text = written.replace("{old}", re.findall('"(.{48})"', keyring_text(SECRET))[0])
    before = read_key_file(text)
    for changed in (rotated(text, OTHER), pruned(rotated(text, OTHER))):
        after = read_key_file(changed)
        assert after.secrets[0] == OTHER
        assert after.revoked == before.revoked
        assert changed.replace("\n", "").startswith(text.partition("secrets")[0].strip())
        assert changed.rstrip().endswith(text.rpartition("]")[2].strip())


def test_a_keyring_takes_no_more_secrets_than_are_believed():
    text = keyring_text(SECRET)
    for number in range(1, SECRETS_MAX):
        text = rotated(text, bytes([number]) * 32)
    with pytest.raises(ValueError, match="key prune"):
        rotated(text, bytes([99]) * 32)


def test_what_rotate_cannot_edit_is_left_alone():
    inside = keyring_text(SECRET).replace("secrets = [", '"secrets" = [')
    assert read_key_file(inside).secrets == (SECRET,)
    with pytest.raises(ValueError, match="another way than usual"):
        rotated(inside, OTHER)
    with pytest.raises(ValueError, match="a credential, not a keyring"):
        rotated(credential_text(held(APP)), OTHER)


def damaged_texts():
    """Every key file there is, with one character of what is not a comment changed."""
    for whole in (keyring_text(SECRET), *(credential_text(held(one)) for one in CREDENTIALS)):
        for number, line in enumerate(lines := whole.splitlines()):
            for at in range(len(line.partition("#")[0])):
                for mark in ("A", "7", "z", '"', "ä"):
                    if line[at] != mark:
                        changed = line[:at] + mark + line[at + 1 :]
                        yield whole, "\n".join([*lines[:number], changed, *lines[number + 1 :]])


@pytest.mark.smoke
def test_a_damaged_file_is_refused_whatever_was_damaged_and_its_error_has_nothing_of_it():
    secret = re.findall("[A-Za-z0-9+/]{40}", keyring_text(SECRET) + credential_text(held(ME)))
    count = 0
    for whole, text in damaged_texts():
        try:
            found = read_key_file(text)
        except ValueError as error:
            assert not re.search("[A-Za-z0-9+/=_-]{16}", str(error).replace("secret_id", "")), error
            assert not any(one[:12] in str(error) for one in secret)
            assert error.__context__ is None or error.__suppress_context__
            count += 1
        else:  # spaces and commas may be anything; then it is as if nothing had happened
            assert describe_key(found) == describe_key(read_key_file(whole))
    assert count > 3000


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no key in it"),
        ("# only this\n", "no key in it"),
        ("secrets = []", "0 secrets; use 1 to"),
        ("secrets = 7", "arrays of texts"),
        ("secrets = [7]", "arrays of texts"),
        ("secrets = ['short']", "damaged"),
        ('secrets = ["ä"]', "damaged"),
        (keyring_text(SECRET).replace("revoked = []", 'revokd = ["web-7"]'), "'revokd'"),
        (keyring_text(SECRET).replace("revoked = []", "revoked = 'web-7'"), "arrays of texts"),
        (keyring_text(SECRET).replace("revoked = []", "revoked = ['Web 7']"), "not an id"),
        ("[binder]\nlease = 7", "'binder'"),
        ("a" * 99, "not valid TOML"),
        ("a = " + "[" * 9999, "not valid TOML"),
        (credential_text(held(APP)).replace('"client"', '"operator"'), "damaged"),
        (credential_text(held(BILLING)).replace('"billing"', '"other"'), "damaged"),
        (credential_text(held(BILLING)).replace('"billing"', "256"), "damaged"),
        (credential_text(held(BILLING)).replace('"billing"', "true"), "damaged"),
        (credential_text(held(BILLING)).replace("hosts = []", 'hosts = ["10.0.0.0/8"]'), "damaged"),
        (credential_text(held(BILLING)).replace("hosts = []", 'hosts = ["10.0.0.1/8"]'), "network"),
        (credential_text(held(APP)) + "service = 7", "neither service nor hosts"),
        (credential_text(held(APP)) + "secrets = []", "'holder'"),
        (re.sub('key = ".*"', "", credential_text(held(APP))), "missing"),
        (re.sub('token = ".*"', "token = 7", credential_text(held(ME))), "token"),
    ],
)
def test_what_is_wrong_is_said(text, why):
    with pytest.raises(ValueError, match=re.escape(why)):
        read_key_file(text)


def test_a_secret_may_not_stand_twice():
    row = re.search(' *".{48}", .*\n', keyring_text(SECRET))[0]
    with pytest.raises(ValueError, match="twice"):
        read_key_file(keyring_text(SECRET).replace(row, row + row))


def test_what_a_key_is_can_be_told_without_it():
    keyring = Keyring((OTHER, SECRET), frozenset({"web-7", "a"}))
    numbers = [secret_id(one).hex() for one in (OTHER, SECRET)]
    assert describe_key(keyring) == [
        f"keyring: secret {numbers[0]} signs",
        f"secret {numbers[1]} is still believed",
        "revoked: a, web-7",
    ]
    assert describe_key(held(Credential(Holder.SERVER, "a", 7, NETWORKS[:1]))) == [
        "credential of server a",
        "service: type 7",
        "host: 10.0.0.0/24",
        f"of secret {numbers[1]}",
    ]


def test_a_token_is_the_operator_s_credential():
    keyring = Keyring((OTHER, SECRET))
    token = token_of(held(ME))
    assert re.fullmatch("[A-Za-z0-9_-]{50,}", token)
    assert held_in_token(token) == held(ME)
    assert operator_of(token, keyring) == "me"
    assert operator_of(token, Keyring((OTHER,))) is None
    assert operator_of(token, Keyring((SECRET,), frozenset({"me"}))) is None
    longest = Credential(Holder.SERVER, "a" * 32, "b" * 63, NETWORKS[1:] * 4)
    assert len(token_of(held(longest))) <= TOKEN_CHARACTERS_MAX
    assert held_in_token(token_of(held(longest))) == held(longest)


def test_no_other_token_is_an_operator_s():
    keyring = Keyring((SECRET,))
    token = token_of(held(ME))
    changed = [
        token[:at] + mark + token[at + 1 :]
        for at in range(len(token))
        for mark in "Aa0_-"
        if token[at] != mark
    ]
    cut = [token[:at] for at in range(len(token))]
    others = [token_of(held(one)) for one in CREDENTIALS if one is not ME]
    forged = held(ME)
    forged = Held(forged.credential, forged.secret_id, bytes(32))
    odd = [token + "A", token + "=", f" {token}", token * 9, "ä", "+/", token_of(forged)]
    for one in [*changed, *cut, *others, *odd]:
        assert operator_of(one, keyring) is None, one


def test_a_longer_token_is_not_even_decoded():
    assert held_in_token("A" * (TOKEN_CHARACTERS_MAX + 1)) is None


def test_nothing_that_may_be_a_key_is_quoted():
    text = keyring_text(SECRET) + credential_text(held(ME))
    for key in re.findall('"([^" ]{40,})"', text):
        assert without_keys(f"cannot read {key!r}: why") == "cannot read '(not shown)': why"
    without_digits = "QxCgPbzTkVuWmRhEaLdYsNfJoIKeGwXiBtMvHqZcUySnArDlFpOjQkTzVbWm"
    assert without_keys(without_digits) == "(not shown)"
    path = "/var/lib/a-directory-with-a-long-name/and-another/cluster-7.key"
    assert without_keys(path) == path


def test_a_credential_and_a_keyring_show_nothing_by_themselves():
    keyring = Keyring((SECRET,))
    shown = repr([keyring, held(ME), keyring.key(secret_id(SECRET), encode_credential(ME))])
    assert shown == "[Keyring(1 secrets), Held(...), Key(...)]"
