"""What holds for an address: address before domain before the closest `*.x` before global, each with its origin."""

import pytest

from ime_gateway.settings.inheritance import (
    RecipientSettings,
    Setting,
    recipient_settings,
    sender_settings,
)
from ime_gateway.settings.site import AddressSettings, ManagedDomain, PartnerDomain, Policy

DAVE = "dave@b.a.example"
THUMBPRINT = "sha256:" + "ab" * 32


def partners(*tables: PartnerDomain) -> dict[str, PartnerDomain]:
    return {table.name: table for table in tables}


def settings(
    *tables: PartnerDomain, policy: Policy | None = None, of: AddressSettings | None = None, address: str = DAVE
) -> RecipientSettings:
    addresses = {} if of is None else {of.address: of}
    return recipient_settings(policy or Policy(), partners(*tables), addresses, address)


def test_nobody_says_anything() -> None:
    found = settings()
    assert found.partner == ""
    assert found.encryption == Setting("on-request", "default")
    assert found.route == Setting("", "default")
    assert found.bound_recipients == Setting(False, "default")
    assert (found.selection, found.use) == (Setting("automatic", "default"), Setting((), "default"))


def test_each_level_beats_those_above_it() -> None:
    policy = Policy(encryption="never")
    far = PartnerDomain(name="*.example", encryption="mandatory")
    near = PartnerDomain(name="*.a.example", encryption="on-request")
    domain = PartnerDomain(name="b.a.example", encryption="opportunistic")
    dave = AddressSettings(address=DAVE, encryption="mandatory")
    assert settings(policy=policy).encryption == Setting("never", "global")
    assert settings(far, policy=policy).encryption == Setting("mandatory", "*.example")
    assert settings(far, near, policy=policy).encryption == Setting("on-request", "*.a.example")
    assert settings(far, near, domain, policy=policy).encryption == Setting("opportunistic", "domain b.a.example")
    assert settings(far, near, domain, policy=policy, of=dave).encryption == Setting("mandatory", f"address {DAVE}")


def test_a_table_hands_down_what_it_does_not_name() -> None:
    above = PartnerDomain(name="*.a.example", encryption="mandatory", route="smtp://relay.example:25")
    found = settings(above, PartnerDomain(name="b.a.example", exchange_address="x@b.a.example"))
    assert found.partner == "b.a.example"
    assert found.encryption == Setting("mandatory", "*.a.example")
    assert found.route == Setting("smtp://relay.example:25", "*.a.example")
    assert found.exchange_address == Setting("x@b.a.example", "domain b.a.example")


def test_a_named_default_ends_the_search() -> None:
    above = PartnerDomain(name="*.a.example", route="smtp://relay.example:25", bound_recipients=True)
    found = settings(above, PartnerDomain(name="b.a.example", route="", bound_recipients=False))
    assert found.route == Setting("", "domain b.a.example")
    assert found.bound_recipients == Setting(False, "domain b.a.example")


def test_a_partner_for_whom_nobody_names_a_mode_is_opportunistic() -> None:
    quiet = PartnerDomain(name="b.a.example")
    assert settings(quiet).encryption == Setting("opportunistic", "default")
    assert settings(quiet, policy=Policy(encryption="on-request")).encryption == Setting("on-request", "global")


def test_a_pattern_covers_what_is_below_it_and_not_itself() -> None:
    table = PartnerDomain(name="*.a.example", encryption="mandatory")
    assert settings(table, address="x@a.example").partner == ""
    assert settings(table, address="x@c.b.a.example").partner == "*.a.example"
    assert settings(table, address="x@nota.example").partner == ""


def test_a_pattern_inherits_from_the_patterns_above_it() -> None:
    far = PartnerDomain(name="*.example", incoming_clear="refuse")
    near = PartnerDomain(name="*.a.example", encryption="mandatory")
    found = settings(far, near, address="*.a.example")
    assert found.encryption == Setting("mandatory", "*.a.example")
    assert found.incoming_clear == Setting("refuse", "*.example")


def test_settings_of_an_address_are_for_nobody_else() -> None:
    dave = AddressSettings(address=DAVE, selection="manual", use=(THUMBPRINT,))
    found = settings(of=dave)
    assert (found.selection.value, found.use.value) == ("manual", (THUMBPRINT,))
    assert found.encryption == Setting("on-request", "default"), "it names no mode"
    assert settings(of=dave, address="eve@b.a.example").selection == Setting("automatic", "default")
    assert settings(of=dave, address="b.a.example").selection == Setting("automatic", "default")


def test_what_holds_for_senders_of_ours() -> None:
    managed = {"acme.example": ManagedDomain(name="acme.example", deliver_to="mx", sign_outgoing="always")}
    anna = {"anna@acme.example": AddressSettings(address="anna@acme.example", sign_outgoing="never")}
    assert sender_settings(managed, anna, "anna@acme.example").sign_outgoing == Setting(
        "never", "address anna@acme.example"
    )
    bob = sender_settings(managed, anna, "bob@acme.example")
    assert (bob.domain, bob.sign_outgoing) == ("acme.example", Setting("always", "domain acme.example"))
    stranger = AddressSettings(address="x@out.example", sign_outgoing="always")
    outside = sender_settings(managed, {"x@out.example": stranger}, "x@out.example")
    assert (outside.domain, outside.sign_outgoing) == ("", Setting("never", "default")), "nobody signs for strangers"


def test_the_closest_table_is_found_for_hostile_names_too() -> None:
    table = partners(PartnerDomain(name="*.a.example", encryption="mandatory"))
    nowhere, below = (recipient_settings(Policy(), table, {}, name) for name in ("." * 300, "x." * 126 + "a.example"))
    assert nowhere.encryption.value != "mandatory"
    assert below.encryption == Setting("mandatory", "*.a.example")


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"selection": "manual"}, "needs use"),
        ({"use": (THUMBPRINT,)}, 'needs selection = "manual"'),
        ({"selection": "manual", "use": ("sha256:1234",)}, "64 hexadecimal digits"),
        ({"selection": "manual", "use": (THUMBPRINT, THUMBPRINT)}, "twice"),
    ],
)
def test_a_choice_by_hand_is_whole(keys: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        AddressSettings.model_validate({"address": DAVE} | keys)


def test_what_rests_has_only_what_was_named() -> None:
    table = PartnerDomain(name="b.a.example", smime_certificates=("x.pem",), route="")
    assert table.at_rest().as_stored() == {"name": "b.a.example", "route": ""}
    assert PartnerDomain(name="x").as_stored() != PartnerDomain(name="x", encryption="opportunistic").as_stored()
    assert Policy(additional_certificates=("a.pem",)).at_rest().as_stored() == {}
