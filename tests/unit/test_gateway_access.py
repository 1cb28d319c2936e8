"""Who may call the gateway: keys and their scopes, this machine without one, and pages of other sites never."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from signalbox.errors import ConfigurationError, UsageError
from signalbox.gateway.access import ALL_SCOPES, COOKIE, Access, Keyless
from signalbox.gateway.keys import KeyRing, add_key, read_keys, remove_key
from signalbox.gateway.problems import ForbiddenError, NoKeyError, problem_of
from signalbox.gateway.rate import RateLimit

AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "keys.json"


def access(file: Path, keyless: Keyless = "loopback", times: list[float] | None = None) -> Access:
    clock = iter(times or [float(n) for n in range(1000)])
    return Access(KeyRing(file, lambda: next(clock)), keyless)


def headers(**given: str) -> dict[str, str]:
    named = {name.replace("_", "-"): value for name, value in given.items()}
    return {"host": "127.0.0.1:8000", **named}


def test_a_key_is_shown_once_and_only_its_digest_is_kept(file: Path) -> None:
    """The file has name, scopes and digest, and only its owner reads it."""
    key = add_key(file, "crm", ["send"], AT)

    assert key.startswith("sbx_")
    assert key not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [(one.name, one.scopes) for one in read_keys(file)] == [("crm", {"send"})]


def test_a_key_lets_its_holder_in_with_its_scopes_from_anywhere(file: Path) -> None:
    """As a bearer token or as `X-API-Key`."""
    key = add_key(file, "crm", ["send"], AT)

    for given in (headers(authorization=f"Bearer {key}"), headers(x_api_key=key)):
        caller = access(file).caller("203.0.113.7", given)
        assert (caller.name, caller.scopes) == ("crm", {"send"})


@pytest.mark.parametrize(
    "given", [{}, {"authorization": "Bearer sbx_wrong"}, {"x_api_key": ""}, {"authorization": "x"}]
)
def test_without_a_known_key_nobody_from_elsewhere_comes_in(
    file: Path, given: dict[str, str]
) -> None:
    """Missing, wrong or malformed: 401 each."""
    add_key(file, "crm", ["send"], AT)

    with pytest.raises(NoKeyError):
        access(file).caller("203.0.113.7", headers(**given))


def test_this_machine_needs_no_key_unless_the_settings_say_so(file: Path) -> None:
    """`loopback` lets it in with every scope; `never` does not."""
    assert access(file).caller("127.0.0.1", headers()).scopes == ALL_SCOPES
    assert access(file).caller("::1", headers()).scopes == ALL_SCOPES
    assert access(file, "anyone").caller("172.17.0.1", headers()).scopes == ALL_SCOPES
    with pytest.raises(NoKeyError):
        access(file, "never").caller("127.0.0.1", headers())


def test_a_wrong_key_from_this_machine_is_refused_like_any_other(file: Path) -> None:
    """Whoever sends a key wants to be known by it."""
    with pytest.raises(NoKeyError):
        access(file).caller("127.0.0.1", headers(x_api_key="sbx_old"))


def test_what_a_proxy_forwards_is_not_from_this_machine(file: Path) -> None:
    """Else everybody behind the proxy would need no key."""
    for name in (
        "x_forwarded_for",
        "forwarded",
        "x_real_ip",
        "via",
        "x_forwarded_proto",
        "x_forwarded_host",
    ):
        with pytest.raises(NoKeyError):
            access(file).caller("127.0.0.1", headers(**{name: "127.0.0.1"}))


@pytest.mark.parametrize(
    "given",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec_fetch_site": "cross-site", "sec_fetch_dest": "image"},
        {"sec_fetch_site": "same-site", "sec_fetch_dest": "empty"},
        {"sec_fetch_site": "cross-site", "sec_fetch_dest": "iframe"},
        {"host": "evil.example:8000"},
        {"host": "evil.example:8000", "origin": "http://evil.example:8000"},
        {"host": ""},
    ],
)
@pytest.mark.parametrize("keyless", ["loopback", "anyone"])
def test_a_page_of_another_site_cannot_use_this_machines_right(
    file: Path, given: dict[str, str], keyless: Keyless
) -> None:
    """Neither by its origin, nor as a picture or a frame, nor by a name that was pointed at this machine."""
    if given == {"host": ""}:
        assert access(file, keyless).caller("127.0.0.1", headers(**given))  # no browser sends none
        return
    with pytest.raises(ForbiddenError):
        access(file, keyless).caller("127.0.0.1", headers(**given))


def test_a_page_of_the_gateway_may(file: Path) -> None:
    """Its origin is the host that it asks."""
    assert access(file).caller("127.0.0.1", headers(origin="http://127.0.0.1:8000"))
    assert access(file).caller(
        "127.0.0.1", headers(host="localhost:8000", origin="http://localhost:8000")
    )


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", "none"])
def test_a_link_from_elsewhere_may_be_followed(file: Path, site: str) -> None:
    """A browser then shows the page, and whoever had the link sees nothing of it."""
    assert access(file).caller("127.0.0.1", headers(sec_fetch_site=site, sec_fetch_dest="document"))


def test_another_sites_page_cannot_take_a_stream_with_the_cookie(file: Path) -> None:
    """A picture or a stream has no origin; the browser's word for it counts. A key that a program sends is its own."""
    key = add_key(file, "eye", ["read"], AT)
    foreign = {"sec_fetch_site": "same-site", "sec_fetch_dest": "empty"}

    with pytest.raises(ForbiddenError):
        access(file).caller("203.0.113.7", headers(cookie=f"{COOKIE}={key}", **foreign))
    assert access(file).caller("203.0.113.7", headers(x_api_key=key, **foreign))


def test_a_revoked_key_is_refused_without_a_restart(file: Path) -> None:
    """The file is looked at once a second."""
    key = add_key(file, "crm", ["send"], AT)
    known = access(file)
    assert known.caller("203.0.113.7", headers(x_api_key=key))

    assert remove_key(file, "crm")
    assert not remove_key(file, "crm")

    with pytest.raises(NoKeyError):
        known.caller("203.0.113.7", headers(x_api_key=key))


def test_names_are_unique_and_scopes_exist(file: Path) -> None:
    """Nothing is written otherwise."""
    add_key(file, "crm", ["send"], AT)
    for name, scopes in (("crm", ["send"]), ("other", ["everything"]), ("a b", ["send"])):
        with pytest.raises(UsageError):
            add_key(file, name, scopes, AT)

    assert len(read_keys(file)) == 1


def test_a_file_that_is_none_of_keys_is_named(file: Path) -> None:
    """With the command that writes one."""
    file.parent.mkdir()
    file.write_text("{}}")

    with pytest.raises(ConfigurationError, match="signalbox keys create"):
        read_keys(file)


def test_rate_a_caller_has_its_own_bucket_that_fills_with_time() -> None:
    """What is too much is told how long to wait; the others are not concerned."""
    rate = RateLimit(2)

    assert [rate.wait_of("a", 0.0) for _ in range(3)] == [0.0, 0.0, 0.5]
    assert rate.wait_of("b", 0.0) == 0.0
    assert rate.wait_of("a", 0.5) == 0.0
    assert rate.wait_of("a", 0.5) == 0.5
    assert [rate.wait_of("a", 100.0) for _ in range(3)] == [0.0, 0.0, 0.5]


@pytest.mark.parametrize("given", [{"host": "["}, {"host": "[::1"}, {"origin": "http://["}])
def test_a_host_or_origin_that_is_none_is_refused_like_a_foreign_one(
    file: Path, given: dict[str, str]
) -> None:
    """It is the caller's mistake, not ours."""
    with pytest.raises(ForbiddenError):
        access(file).caller("127.0.0.1", headers(**given))


def test_a_broken_file_of_keys_tells_a_caller_nothing_of_this_machine(file: Path) -> None:
    """The log has the path; the answer has the code."""
    file.parent.mkdir(parents=True)
    file.write_text("{oops")
    with pytest.raises(ConfigurationError) as caught:
        access(file).caller("203.0.113.7", headers(x_api_key="sbx_any"))

    told = problem_of(caught.value)

    assert told.status_code == 500
    assert str(file).encode() not in told.body
