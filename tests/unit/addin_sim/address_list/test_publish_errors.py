"""What directory servers say, in sentences for people; answers of Active Directory stand here as it gives them."""

import ssl

import pytest

from addin_sim.address_list.ldap_errors import LdapError, connection_lost, no_ticket, refused, unreachable, untrusted

AD_REFUSAL = "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data {data}, v4563"
SERVER = "ldaps://dc1.acme.example"


def result(code: str, message: str = "", **more: object) -> dict[str, object]:
    return {"description": code, "message": message, **more}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("525", "there is no such user"),
        ("52e", "the password is wrong"),
        ("530", "may not log in at this hour"),
        ("531", "from this machine"),
        ("532", "the password has expired"),
        ("533", "the account is disabled"),
        ("701", "the account has expired"),
        ("773", "must be changed at the next login"),
        ("775", "the account is locked"),
        ("80090346", "bound to its TLS channel"),
        ("dead", "user or password is wrong"),
    ],
)
def test_active_directory_hides_the_reason_of_a_refused_login(data: str, words: str) -> None:
    error = refused("login as imesvc", SERVER, result("invalidCredentials", AD_REFUSAL.format(data=data)))
    assert words in str(error) and f"invalidCredentials: data {data}" in str(error)
    assert "DSID" not in str(error)


def test_kerberos_without_signatures_is_not_taken_for_a_login_without_tls() -> None:
    text = str(
        refused("gssapi login", SERVER, result("strongerAuthRequired", "SASL:[GSSAPI]: Sign or Seal are required"))
    )
    assert "wants Kerberos to sign" in text and "without TLS" not in text


def test_kerberos_without_a_ticket() -> None:
    said = "Major (458752): No credentials were supplied, Minor (2529639053): No Kerberos credentials available (x)"
    text = str(no_ticket("gssapi login", SERVER, RuntimeError(said)))
    assert text.startswith(f"The gssapi login at {SERVER} fails in Kerberos: No Kerberos credentials available (x). ")
    assert "kinit" in text


def test_a_login_refused_without_reason() -> None:
    text = str(refused("login as imesvc", SERVER, result("invalidCredentials")))
    assert text == (
        f"{SERVER} refuses the login as imesvc: user or password is wrong (invalidCredentials). "
        "Correct user and password (or what password_env names) in [address_list.ldap]."
    )


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("strongerAuthRequired", "it takes no login without TLS"),
        ("insufficientAccessRights", "the account has no right to do it"),
        ("noSuchObject", "there is no such entry"),
        ("busy", "try again later"),
        ("constraintViolation", "ask the administrator"),
        ("sizeLimitExceeded", "no more answers at once"),
    ],
)
def test_refusals_have_a_reason_and_advice(code: str, words: str) -> None:
    error = refused("change of CN=x", SERVER, result(code, "the server's own words"))
    assert words.lower() in str(error).lower() and "the server's own words" in str(error)
    assert error.code == code and not error.lost and str(error).endswith(".")
    assert "in the settings" not in str(error)


def test_a_referral_is_named_and_not_followed() -> None:
    error = refused("search in DC=x", SERVER, result("referral", referrals=["ldap://dc2.acme.example/DC=x"]))
    assert "ldap://dc2.acme.example/DC=x" in str(error) and "not followed" in str(error)


def test_the_state_stands_between_what_happened_and_what_to_do() -> None:
    error = LdapError("It broke", "Mend it").with_state("Nothing was changed")
    assert str(error) == "It broke. Nothing was changed. Mend it."


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (TimeoutError("timed out"), "it does not answer in time"),
        (OSError("socket connection error while opening: [Errno 113] No route to host"), "No route to host"),
    ],
)
def test_a_server_that_cannot_be_reached(error: Exception, words: str) -> None:
    assert str(unreachable(SERVER, error)).startswith(f"{SERVER} cannot be reached: {words}. ")


def test_a_lost_connection_leaves_a_doubt() -> None:
    assert connection_lost("change of CN=x", SERVER, OSError(104, "Connection reset by peer")).lost


def _verification(message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = message
    return error


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("self-signed certificate in certificate chain", "not signed by the CA in ca.pem"),
        ("unable to get local issuer certificate", "not signed by the CA in ca.pem"),
        ("Hostname mismatch, certificate is not valid for 'dc1'.", "for another name"),
        ("IP address mismatch, certificate is not valid for '127.0.0.1'.", "for another name"),
        ("certificate has expired", "out of time"),
    ],
)
def test_certificates_that_are_not_trusted(message: str, words: str) -> None:
    text = str(untrusted(SERVER, "ca.pem", _verification(message)))
    assert words in text and "the password was not sent" in text and ".)" not in text


def test_a_port_without_tls() -> None:
    assert "port 636" in str(untrusted(SERVER, None, ssl.SSLError(1, "wrong version number")))
